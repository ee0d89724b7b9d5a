//! By what a secret is recognised that was written and never shown.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::revision::Revision;
use crate::error::Result;
use crate::format::SecretFormats;
use crate::secret::ClientSecret;

/// Stands before the digest of a current secret, which a repair writes anew: it is pinned and never shown, and what was generated
/// and never shown must not be taken for it.
const CURRENT: &str = "current:";

/// A salted digest of a generated secret. Whoever takes a write over recognises by it what an earlier holder wrote.
///
/// SHA-256 is enough for 128 random bits and more. A secret of any other form gets none.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDigest(Box<str>);

impl SecretDigest {
    /// Of `secret`, with a salt of its own; none where the secret is not a generated one.
    pub(super) fn of(secret: &ClientSecret, formats: &SecretFormats) -> Result<Option<Self>> {
        if !formats.recognises(secret) {
            return Ok(None);
        }
        Ok(Some(Self(salted(Revision::fresh()?, secret).into())))
    }

    /// Of `secret`, the current one, which a repair writes once more.
    pub(crate) fn of_current(secret: &ClientSecret, formats: &SecretFormats) -> Result<Option<Self>> {
        Ok(Self::of(secret, formats)?.map(|Self(digest)| Self(format!("{CURRENT}{digest}").into())))
    }

    pub(super) fn is_current(&self) -> bool {
        self.0.starts_with(CURRENT)
    }

    /// Reads the form of [`as_str`](Self::as_str); what is no digest matches nothing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.into())
    }

    /// `salt:digest`, in hexadecimal digits, after `current:` where it is of a current secret. No blanks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_of(&self, secret: &ClientSecret) -> bool {
        let digest = self.0.strip_prefix(CURRENT).unwrap_or(&self.0);
        let salt = digest.split_once(':').and_then(|(salt, _)| Revision::parse(salt).ok());
        salt.is_some_and(|salt| salted(salt, secret).as_bytes().ct_eq(digest.as_bytes()).into())
    }
}

fn salted(salt: Revision, secret: &ClientSecret) -> String {
    let digest = Sha256::new().chain_update(salt.to_bytes()).chain_update(secret.expose_secret()).finalize();
    format!("{salt}:{}", hex::encode(digest))
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_recognises_its_secret_and_no_other() {
        let (one, two) = (ClientSecret::generate().unwrap(), ClientSecret::generate().unwrap());
        let digest = SecretDigest::of(&one, &SecretFormats::default()).unwrap().unwrap();
        assert!(digest.is_of(&one) && !digest.is_of(&two));
        assert_ne!(
            SecretDigest::of(&one, &SecretFormats::default()).unwrap(),
            Some(digest.clone()),
            "each has a salt of its own"
        );
        assert!(SecretDigest::parse(digest.as_str()).is_of(&one) && !digest.is_current());
        let current = SecretDigest::of_current(&one, &SecretFormats::default()).unwrap().unwrap();
        let current = SecretDigest::parse(current.as_str());
        assert!(current.is_current() && current.is_of(&one) && !current.is_of(&two));
        for damaged in ["", ":", "x:y", &digest.as_str()[..40]] {
            assert!(!SecretDigest::parse(damaged).is_of(&one), "{damaged}");
        }
    }

    #[test]
    fn a_chosen_secret_gets_no_digest() {
        assert_eq!(SecretDigest::of(&ClientSecret::from("correct horse"), &SecretFormats::default()).unwrap(), None);
    }

    #[test]
    fn debug_shows_no_digest() {
        let digest = SecretDigest::of(&ClientSecret::generate().unwrap(), &SecretFormats::default()).unwrap().unwrap();
        assert_eq!(format!("{digest:?}"), "SecretDigest([REDACTED])");
    }
}
