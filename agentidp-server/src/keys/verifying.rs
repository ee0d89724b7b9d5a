//! The public half of a key.

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, CommonParameters, Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{DecodingKey, Validation};
use serde::de::DeserializeOwned;

use super::private::PrivateKey;
use super::{KeyAlgorithm, KeyError, pem};

/// Shortest modulus that is accepted (NIST SP 800-131A allows no shorter RSA key).
const MIN_MODULUS_BITS: usize = 2048;

/// A key that tokens are checked with. It knows its one algorithm and takes no other, whatever a token says.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: KeyAlgorithm,
    kid: String,
    jwk: Jwk,
    key: DecodingKey,
    validation: Validation,
}

impl VerifyingKey {
    /// Reads a key from a PEM: its public half (`PUBLIC KEY`, `RSA PUBLIC KEY`), or a private key, of which only the
    /// public half is kept.
    ///
    /// # Errors
    /// `UnreadablePublic`, `RsaSize` or `Curve` when it is none that can be used.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let lines = pem::lines(text);
        let block = pem::read(&lines).ok_or(KeyError::UnreadablePublic)?;
        if block.label.ends_with("PRIVATE KEY") {
            let private = PrivateKey::from_block(&block).map_err(|error| match error {
                KeyError::Unreadable => KeyError::UnreadablePublic,
                told => told,
            })?;
            return Self::new(private.algorithm(), private.public());
        }
        if !matches!(block.label.as_str(), "PUBLIC KEY" | "RSA PUBLIC KEY") {
            return Err(KeyError::UnreadablePublic);
        }
        // Reads the whole key, checks that a point is on the curve.
        let reads =
            |algorithm: &KeyAlgorithm| ParsedPublicKey::new(algorithm.verification(), block.der.as_slice()).is_ok();
        let algorithm = KeyAlgorithm::ALL.into_iter().find(reads);
        let key = match algorithm {
            Some(KeyAlgorithm::Rs256) => DecodingKey::from_rsa_pem(lines.as_bytes()),
            Some(KeyAlgorithm::Es256) => DecodingKey::from_ec_pem(lines.as_bytes()),
            Some(KeyAlgorithm::EdDsa) => DecodingKey::from_ed_pem(lines.as_bytes()),
            None if DecodingKey::from_ec_pem(lines.as_bytes()).is_ok() => return Err(KeyError::Curve),
            None if DecodingKey::from_rsa_pem(lines.as_bytes()).is_ok() => return Err(KeyError::RsaSize),
            None => return Err(KeyError::UnreadablePublic),
        };
        let jwk = key.and_then(|key| Jwk::from_decoding_key(&key, None)).map_err(|_| KeyError::UnreadablePublic)?;
        Self::new(algorithm.unwrap_or_default(), jwk.algorithm)
    }

    pub(super) fn new(algorithm: KeyAlgorithm, parameters: AlgorithmParameters) -> Result<Self, KeyError> {
        if let AlgorithmParameters::RSA(rsa) = &parameters {
            let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).map_err(|_| KeyError::Unreadable)?;
            if modulus.len() * 8 < MIN_MODULUS_BITS {
                return Err(KeyError::RsaSize);
            }
        }
        let mut jwk = Jwk {
            common: CommonParameters {
                public_key_use: Some(PublicKeyUse::Signature),
                key_algorithm: Some(algorithm.jwt().into()),
                ..CommonParameters::default()
            },
            algorithm: parameters,
        };
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| KeyError::Unreadable)?;
        jwk.common.key_id = Some(kid.clone());
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| KeyError::Unreadable)?;
        let mut validation = Validation::new(algorithm.jwt());
        // `Tokens` decides about these, by our own clock and issuer.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Ok(Self { algorithm, kid, jwk, key, validation })
    }

    /// The claims of a token that this key signed, by its own algorithm. Whether it is over is not looked at.
    pub(crate) fn claims<T: DeserializeOwned>(&self, token: &str) -> jsonwebtoken::errors::Result<T> {
        jsonwebtoken::decode(token, &self.key, &self.validation).map(|token| token.claims)
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The key id: the RFC 7638 thumbprint, so that replicas that share the key agree on it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key as a JSON Web Key (RFC 7517, RFC 7518 §6, RFC 8037 §2).
    pub(crate) fn jwk(&self) -> &Jwk {
        &self.jwk
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
