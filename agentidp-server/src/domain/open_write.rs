//! Writes to Vault that are about to happen, or whose commit never came.

use std::fmt;

use agentidp_secrets::ClientSecret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::named::named_enum;

named_enum! {
    /// What a write is for.
    OpenWriteKind {
        /// The first secret of a new credential.
        Create = "create",
        /// The first secret at a place, of a credential that moves there.
        Move = "move",
        /// The next version of a place that the row pins.
        Rotate = "rotate",
        /// The current secret once more, before newer versions evict it.
        Repair = "repair",
        /// No write: the row is to pin the version that it means.
        Pin = "pin",
        /// A blank version of a place that the credential has left.
        Blank = "blank",
    }
}

/// The right to write to a credential's place, for a limited time.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row; sequences build it")]
pub struct OpenWrite {
    /// The credential.
    pub credential_id: Uuid,
    /// The agent whose credential it is.
    pub client_id: Uuid,
    /// What it is for.
    pub kind: OpenWriteKind,
    /// The place: a path without a version.
    pub vault_path: String,
    /// The version that the row pins there; 0 where it pins none.
    pub base: u64,
    /// Whose it is. The commit makes it the row's revision.
    pub attempt: Uuid,
    /// Of the secret that is about to be written: a generated one, or the current one in a repair.
    pub digest: Option<SecretDigest>,
}

/// Without place and digest.
impl fmt::Debug for OpenWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenWrite")
            .field("credential_id", &self.credential_id)
            .field("kind", &self.kind)
            .field("base", &self.base)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// A salted digest of a generated secret: a server that takes a write over recognises by it what an earlier one wrote.
///
/// SHA-256 is enough for 256 random bits. A secret of any other form gets none.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretDigest(String);

/// Stands before the digest of a current secret, which a repair writes anew: it is pinned and never shown, and what was generated
/// and never shown must not be taken for it.
const CURRENT: &str = "current:";

impl SecretDigest {
    /// Of `secret`, with a salt of its own; none where the secret is not of the generated form.
    #[must_use]
    pub fn of(secret: &ClientSecret) -> Option<Self> {
        secret.has_generated_form().then(|| Self::salted(Uuid::new_v4(), secret))
    }

    /// Of `secret`, the current one, which a repair writes once more.
    #[must_use]
    pub fn of_current(secret: &ClientSecret) -> Option<Self> {
        Self::of(secret).map(|Self(digest)| Self(format!("{CURRENT}{digest}")))
    }

    /// Whether it is of a current secret.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.0.starts_with(CURRENT)
    }

    /// Reads the form of [`as_str`](Self::as_str); what is no digest matches nothing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// `salt:digest`, in hexadecimal digits, after `current:` where it is of a current secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is of `secret`.
    #[must_use]
    pub fn is_of(&self, secret: &ClientSecret) -> bool {
        let digest = self.0.strip_prefix(CURRENT).unwrap_or(&self.0);
        let salt = digest.split_once(':').and_then(|(salt, _)| Uuid::try_parse(salt).ok());
        salt.is_some_and(|salt| Self::salted(salt, secret).0.as_bytes().ct_eq(digest.as_bytes()).into())
    }

    fn salted(salt: Uuid, secret: &ClientSecret) -> Self {
        let digest = Sha256::new().chain_update(salt).chain_update(secret.expose_secret()).finalize();
        Self(format!("{}:{}", salt.simple(), hex::encode(digest)))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest([REDACTED])")
    }
}

/// What an earlier holder left whose commit never came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row; repositories build it")]
pub struct LeftWrite {
    /// What it was for.
    pub kind: OpenWriteKind,
    /// The digests that were noted for the base that the row still pins.
    pub digests: Vec<SecretDigest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_recognises_its_secret_and_no_other() {
        let (one, two) = (ClientSecret::generate().unwrap(), ClientSecret::generate().unwrap());
        let digest = SecretDigest::of(&one).unwrap();
        assert!(digest.is_of(&one) && !digest.is_of(&two));
        assert_ne!(SecretDigest::of(&one), Some(digest.clone()), "each has a salt of its own");
        assert!(SecretDigest::parse(digest.as_str()).is_of(&one) && !digest.is_current());
        let current = SecretDigest::parse(SecretDigest::of_current(&one).unwrap().as_str());
        assert!(current.is_current() && current.is_of(&one) && !current.is_of(&two));
        for damaged in ["", ":", "x:y", &digest.as_str()[..40]] {
            assert!(!SecretDigest::parse(damaged).is_of(&one), "{damaged}");
        }
    }

    #[test]
    fn a_chosen_secret_gets_no_digest() {
        assert_eq!(SecretDigest::of(&ClientSecret::from("correct horse")), None);
    }

    #[test]
    fn debug_shows_neither_digest_nor_place() {
        let secret = ClientSecret::generate().unwrap();
        let digest = SecretDigest::of(&secret).unwrap();
        let write = OpenWrite {
            credential_id: Uuid::nil(),
            client_id: Uuid::nil(),
            kind: OpenWriteKind::Rotate,
            vault_path: "secret/data/canary".to_owned(),
            base: 1,
            attempt: Uuid::nil(),
            digest: Some(digest.clone()),
        };
        let left = LeftWrite { kind: OpenWriteKind::Rotate, digests: vec![digest.clone()] };
        let shown = format!("{write:?} {write:#?} {left:?} {digest:?}");
        assert!(!shown.contains("canary") && !shown.contains(digest.as_str()), "{shown}");
    }
}
