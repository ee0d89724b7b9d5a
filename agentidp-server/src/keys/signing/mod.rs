//! The key that signs.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde::Serialize;
use zeroize::Zeroizing;

use super::private::PrivateKey;
use super::{KeyAlgorithm, KeyError, SignError, VerifyingKey, pem};

/// Bytes of the longest signature that is usual, in base64url: RSA with 4096 bits and the point before it.
const SIGNATURE_ROOM: usize = 684;

/// A private key, with its public half ready to be published. Cheap to clone.
///
/// `Debug` shows the algorithm and the key id only.
#[derive(Clone)]
pub struct SigningKey {
    private: Arc<PrivateKey>,
    public: VerifyingKey,
}

impl SigningKey {
    /// Reads an unencrypted private key from a PEM: RSA of 2048 to 8192 bits, P-256 or Ed25519, as `PRIVATE KEY`,
    /// `RSA PRIVATE KEY` or `EC PRIVATE KEY`. Line ends may be written as `\n`, because a setting is often one line.
    ///
    /// # Errors
    /// `Unreadable`, `RsaSize` or `Curve` when it is none of these.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = pem::read(&pem::lines(text)).ok_or(KeyError::Unreadable)?;
        let private = PrivateKey::from_block(&block)?;
        let public = VerifyingKey::new(private.algorithm(), private.public())?;
        Ok(Self { private: Arc::new(private), public })
    }

    /// Generates a key (RSA: 2048 bits) and writes it as a PKCS #8 PEM, wiped from memory after use.
    ///
    /// # Errors
    /// `Generate` when the cryptographic library fails.
    pub fn generate_pem(algorithm: KeyAlgorithm) -> Result<Zeroizing<String>, KeyError> {
        PrivateKey::generate_pem(algorithm)
    }

    /// The first part of every token of type `typ`, and the point behind it.
    pub(crate) fn header(&self, typ: &str) -> String {
        let (kid, typ) = (Some(self.kid().to_owned()), Some(typ.to_owned()));
        let header = Header { typ, kid, ..Header::new(self.algorithm().jwt()) };
        // Infallible: nothing but texts is in it.
        format!("{}.", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).unwrap_or_default()))
    }

    /// A token with this [`header`](Self::header) and these claims that only [`SigningKey::sign`] is missing from.
    pub(crate) fn unsigned(&self, header: &str, claims: &impl Serialize) -> Result<String, SignError> {
        let claims = serde_json::to_vec(claims).map_err(|_| SignError::Failed)?;
        let mut token = String::with_capacity(header.len() + claims.len().div_ceil(3) * 4 + SIGNATURE_ROOM);
        token.push_str(header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        Ok(token)
    }

    /// Makes a token of an unsigned one, in the compact form of RFC 7515 §7.1.
    pub(crate) fn sign(&self, unsigned: String) -> Result<String, SignError> {
        let mut token = unsigned;
        self.private.sign(&mut token)?;
        Ok(token)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm()
    }

    /// The key id: the RFC 7638 thumbprint, so that replicas that share the key agree on it.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
