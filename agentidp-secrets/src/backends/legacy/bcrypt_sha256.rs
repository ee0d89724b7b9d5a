//! bcrypt over SHA-256, which takes secrets of any length: in the forms of Django and passlib.

use std::fmt;

use bcrypt::HashParts;
use hex::encode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::code::{fields, number, setting};
use super::parts::{Bounds, within};
use crate::backend::Verdict;
use crate::error::{Error, ErrorKind, Result};

/// A bcrypt digest of a digest.
pub(super) struct BcryptSha256 {
    inner: Inner,
    cost: u32,
    /// In bcrypt's own form.
    outer: String,
}

/// What bcrypt is given for the secret.
enum Inner {
    /// SHA-256 in hexadecimal digits.
    Django,
    /// SHA-256 in base64.
    PasslibV1,
    /// HMAC-SHA-256 under the salt's characters, in base64.
    PasslibV2 { salt: String },
}

impl BcryptSha256 {
    /// Whether the text has the form. It may still be damaged.
    pub(super) fn is_in(text: &str) -> bool {
        text.starts_with("bcrypt_sha256$") || text.starts_with("$bcrypt-sha256$")
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(outer) = text.strip_prefix("bcrypt_sha256$") {
            return Self::new(Inner::Django, outer.to_owned());
        }
        let [parameters, salt, output] = fields(text.strip_prefix("$bcrypt-sha256$")?)?;
        let (inner, kind, rounds) = match setting(parameters, "v") {
            Some("2") => {
                (Inner::PasslibV2 { salt: salt.to_owned() }, setting(parameters, "t")?, setting(parameters, "r")?)
            }
            Some(_) => return None,
            None => {
                let (kind, rounds) = parameters.split_once(',')?;
                (Inner::PasslibV1, kind, rounds)
            }
        };
        Self::new(inner, format!("${kind}${:02}${salt}{output}", number(rounds)?))
    }

    pub(super) fn check(&self, bounds: &Bounds) -> Result<()> {
        within("as its bcrypt cost", self.cost.into(), bounds.bcrypt_cost, "max_bcrypt_cost")
    }

    /// # Errors
    /// `Internal` when a sound digest cannot be computed.
    #[expect(clippy::disallowed_methods, reason = "what bcrypt is given here is 64 bytes long at most")]
    pub(super) fn verify(&self, secret: &[u8]) -> Result<Verdict> {
        let inner = Zeroizing::new(match &self.inner {
            Inner::Django => encode(Sha256::digest(secret)),
            Inner::PasslibV1 => base64(&Sha256::digest(secret)),
            Inner::PasslibV2 { salt } => {
                let mac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).map_err(|_| not_computed())?;
                base64(&mac.chain_update(secret).finalize().into_bytes())
            }
        });
        match bcrypt::verify(inner.as_bytes(), &self.outer) {
            Ok(true) => Ok(Verdict::Match),
            Ok(false) => Ok(Verdict::Mismatch),
            Err(_) => Err(not_computed()),
        }
    }

    fn new(inner: Inner, outer: String) -> Option<Self> {
        // The parser takes a sign for a digit.
        let parts = outer.parse::<HashParts>().ok().filter(|_| !outer.contains('+'))?;
        let cost = parts.get_cost();
        (4..=31).contains(&cost).then_some(Self { inner, cost, outer })
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn not_computed() -> Error {
    Error::new(ErrorKind::Internal, "a sound bcrypt digest could not be computed")
}

/// Shows the cost, and nothing of the digest.
impl fmt::Debug for BcryptSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BcryptSha256").field("cost", &self.cost).finish_non_exhaustive()
    }
}
