//! The least that a signed token costs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Result;

/// As long as what the server signs: header and claims.
const MESSAGE: usize = 420;

/// A fresh key.
pub(crate) enum Signer {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn generate(algorithm: &str) -> Result<Self> {
        Ok(match algorithm {
            "RS256" => Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048)?),
            "ES256" => Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?),
            "EdDSA" => Self::EdDsa(Ed25519KeyPair::generate()?),
            _ => return Err("ALGORITHM is RS256, ES256 or EdDSA".into()),
        })
    }

    /// A message and its signature in the form of a token.
    pub(crate) fn token(&self) -> Result<String> {
        let message = [b'a'; MESSAGE];
        let mut token = String::with_capacity(MESSAGE + 1 + 344);
        token.extend(message.iter().map(|byte| char::from(*byte)));
        token.push('.');
        match self {
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature)?;
                URL_SAFE_NO_PAD.encode_string(signature, &mut token);
            }
            Self::Es256(key) => {
                let signature = key.sign(&SystemRandom::new(), &message)?;
                URL_SAFE_NO_PAD.encode_string(signature, &mut token);
            }
            Self::EdDsa(key) => URL_SAFE_NO_PAD.encode_string(key.sign(&message), &mut token),
        }
        Ok(token)
    }
}
