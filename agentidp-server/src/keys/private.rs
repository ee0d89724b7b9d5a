//! Private halves, read once: `jsonwebtoken` would read and check the whole key again for every signature.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType, OctetKeyPairParameters,
    OctetKeyPairType, RSAKeyParameters, RSAKeyType,
};
use zeroize::Zeroizing;

use super::pem::{self, Block};
use super::{KeyAlgorithm, KeyError, SignError};

/// Bytes of the longest signature: that of an RSA key of 8192 bits.
const LONGEST: usize = 1024;

/// Curves that are told apart from what is no key at all.
const OTHER_CURVES: [&EcdsaSigningAlgorithm; 3] =
    [&ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P521_SHA512_FIXED_SIGNING, &ECDSA_P256K1_SHA256_FIXED_SIGNING];

/// A private key. No `Debug`.
pub(super) enum PrivateKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads `PRIVATE KEY` (PKCS #8), `RSA PRIVATE KEY` (PKCS #1) and `EC PRIVATE KEY` (SEC 1).
    pub(super) fn from_block(block: &Block) -> Result<Self, KeyError> {
        match block.label.as_str() {
            "PRIVATE KEY" => Self::from_pkcs8(&block.der),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&block.der).map(Self::Rsa).map_err(rsa_rejected),
            "EC PRIVATE KEY" => p256(&block.der),
            _ => Err(KeyError::Unreadable),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::Ed25519(key));
        }
        match RsaKeyPair::from_pkcs8(der) {
            Ok(key) => Ok(Self::Rsa(key)),
            Err(rejected) if rsa_rejected(rejected) == KeyError::RsaSize => Err(KeyError::RsaSize),
            Err(_) => p256(der),
        }
    }

    /// A new key as a PKCS #8 PEM, wiped from memory after use. RSA has 2048 bits.
    pub(super) fn generate_pem(algorithm: KeyAlgorithm) -> Result<Zeroizing<String>, KeyError> {
        let pem = match algorithm {
            KeyAlgorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)
                .and_then(|key| Ok(pem::write_pkcs8(AsDer::<Pkcs8V1Der<'_>>::as_der(&key)?.as_ref()))),
            KeyAlgorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .and_then(|key| Ok(pem::write_pkcs8(key.to_pkcs8v1()?.as_ref()))),
            KeyAlgorithm::EdDsa => {
                Ed25519KeyPair::generate().and_then(|key| Ok(pem::write_pkcs8(key.to_pkcs8v1()?.as_ref())))
            }
        };
        pem.map_err(|_| KeyError::Generate)
    }

    pub(super) fn algorithm(&self) -> KeyAlgorithm {
        match self {
            Self::Rsa(_) => KeyAlgorithm::Rs256,
            Self::P256(_) => KeyAlgorithm::Es256,
            Self::Ed25519(_) => KeyAlgorithm::EdDsa,
        }
    }

    /// The public half, as a JSON Web Key has it.
    pub(super) fn public(&self) -> AlgorithmParameters {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => AlgorithmParameters::RSA(RSAKeyParameters {
                key_type: RSAKeyType::RSA,
                n: text(key.public_key().modulus().big_endian_without_leading_zero()),
                e: text(key.public_key().exponent().big_endian_without_leading_zero()),
            }),
            Self::P256(key) => {
                // SEC 1 §2.3.3: a byte that says "not compressed", then the coordinates in 32 bytes each.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                    key_type: EllipticCurveKeyType::EC,
                    curve: EllipticCurve::P256,
                    x: text(x),
                    y: text(y),
                })
            }
            Self::Ed25519(key) => AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
                key_type: OctetKeyPairType::OctetKeyPair,
                curve: EllipticCurve::Ed25519,
                x: text(key.public_key().as_ref()),
            }),
        }
    }

    /// Appends the signature of what `token` holds, in the form of RFC 7515 §7.1.
    pub(super) fn sign(&self, token: &mut String) -> Result<(), SignError> {
        let failed = |_| SignError::Failed;
        let message = token.as_bytes();
        let mut rsa = [0; LONGEST];
        let other;
        let signature = match self {
            Self::Rsa(key) => {
                let signature = rsa.get_mut(..key.public_modulus_len()).ok_or(SignError::Failed)?;
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, signature).map_err(failed)?;
                signature
            }
            Self::P256(key) => {
                other = key.sign(&SystemRandom::new(), message).map_err(failed)?;
                other.as_ref()
            }
            Self::Ed25519(key) => {
                other = key.try_sign(message).map_err(failed)?;
                other.as_ref()
            }
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, token);
        Ok(())
    }
}

fn p256(der: &[u8]) -> Result<PrivateKey, KeyError> {
    let read = |curve| EcdsaKeyPair::from_private_key_der(curve, der);
    match read(&ECDSA_P256_SHA256_FIXED_SIGNING) {
        Ok(key) => Ok(PrivateKey::P256(key)),
        Err(_) if OTHER_CURVES.into_iter().any(|curve| read(curve).is_ok()) => Err(KeyError::Curve),
        Err(_) => Err(KeyError::Unreadable),
    }
}

fn rsa_rejected(rejected: KeyRejected) -> KeyError {
    match rejected.to_string().as_str() {
        "TooSmall" | "TooLarge" => KeyError::RsaSize,
        _ => KeyError::Unreadable,
    }
}
