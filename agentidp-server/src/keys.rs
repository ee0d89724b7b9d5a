//! The key that signs tokens.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::Serialize;
use zeroize::Zeroizing;

/// Shortest modulus that is accepted (NIST SP 800-131A allows no shorter RSA key).
const MIN_MODULUS_BITS: usize = 2048;

/// An RSA key for RS256, with its public half ready to be published.
///
/// `Debug` shows the key id only.
#[derive(Clone)]
pub struct SigningKey {
    /// Read once: `jsonwebtoken` would read and check the whole key again for every signature.
    private: Arc<KeyPair>,
    pub(crate) public: DecodingKey,
    kid: String,
    jwks: String,
    /// The first part of every token.
    header: String,
}

/// Why a text is no signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text cannot be read as a private RSA key.
    #[error(
        "not a PEM with a private RSA key; make one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`"
    )]
    Unreadable,
    /// The key is too short.
    #[error(
        "the RSA key has fewer than 2048 bits; make one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`"
    )]
    TooShort,
    /// No key could be generated.
    #[error("no RSA key could be generated")]
    Generate,
    /// A token could not be signed.
    #[error("the token could not be signed")]
    Sign,
}

impl SigningKey {
    /// Reads a private RSA key from a PEM of either kind (`PRIVATE KEY` or `RSA PRIVATE KEY`). Line ends may be written
    /// as `\n`, because a setting is often one line.
    ///
    /// # Errors
    /// `Unreadable` when it is none, `TooShort` when its modulus has fewer than 2048 bits.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pem = Zeroizing::new(pem.replace("\\n", "\n"));
        let key = EncodingKey::from_rsa_pem(pem.trim().as_bytes()).map_err(|_| KeyError::Unreadable)?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).map_err(|_| KeyError::Unreadable)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| KeyError::Unreadable)?;
        let AlgorithmParameters::RSA(rsa) = &jwk.algorithm else { return Err(KeyError::Unreadable) };
        let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).map_err(|_| KeyError::Unreadable)?;
        if modulus.len() * 8 < MIN_MODULUS_BITS {
            return Err(KeyError::TooShort);
        }
        let private = KeyPair::from_der(key.as_bytes()).map_err(|_| KeyError::Unreadable)?;
        let public = DecodingKey::from_jwk(&jwk).map_err(|_| KeyError::Unreadable)?;
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::RS256) };
        let header = part(&header).map_err(|_| KeyError::Unreadable)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let jwks = serde_json::to_string(&JwkSet { keys: vec![jwk] }).map_err(|_| KeyError::Unreadable)?;
        Ok(Self { private: Arc::new(private), public, kid, jwks, header })
    }

    /// Signs a token with these claims: RS256 in the compact form (RFC 7515 §7.1).
    ///
    /// # Errors
    /// `Sign` when the claims are no JSON or the cryptographic library fails.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, KeyError> {
        let mut token = format!("{}.{}", self.header, part(claims).map_err(|_| KeyError::Sign)?);
        let mut signature = vec![0; self.private.public_modulus_len()];
        self.private
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| KeyError::Sign)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Generates an RSA key of 2048 bits and writes it as a PKCS#8 PEM, wiped from memory after use.
    ///
    /// # Errors
    /// `Generate` when the cryptographic library fails.
    pub fn generate_pem() -> Result<Zeroizing<String>, KeyError> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Generate)?;
        let encoded = Zeroizing::new(STANDARD.encode(der.as_ref()));
        // Capacity for the lines and their ends: a growing string would leave unwiped copies behind.
        let mut pem = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 64));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = tail;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// The key id: the RFC 7638 thumbprint, so that replicas that share the key agree on it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JSON Web Key Set (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }
}

/// One part of a token.
fn part(content: &impl Serialize) -> serde_json::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(content)?))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_reads_back_also_on_one_line() {
        let pem = SigningKey::generate_pem().unwrap();
        let key = SigningKey::from_pem(&pem).unwrap();
        let one_line = pem.trim().replace('\n', "\\n");
        assert_eq!(SigningKey::from_pem(&one_line).unwrap().kid(), key.kid());
        assert_eq!(key.kid().len(), 43, "a SHA-256 in base64url");
    }

    #[test]
    fn the_key_set_has_the_public_half_and_nothing_private() {
        let key = SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap();
        let set: serde_json::Value = serde_json::from_str(key.jwks()).unwrap();
        let members: Vec<&str> = set["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!(set["keys"][0]["kid"], key.kid());
    }

    #[test]
    fn what_is_no_private_rsa_key_is_refused() {
        let pem = SigningKey::generate_pem().unwrap();
        let cut = pem.replace("\nM", "\nN");
        for text in ["", "key", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", cut.as_str(), SHORT_PUBLIC] {
            assert_eq!(SigningKey::from_pem(text).unwrap_err(), KeyError::Unreadable, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let key = SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey {{ kid: {:?}, .. }}", key.kid()));
    }

    const SHORT_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL3WZ1xTWFtYVXYQOrlOtE8nDQhpWQJ0\n\
        -----END PUBLIC KEY-----";
}
