//! What goes into the store and what comes out.

use std::iter;
use std::time::SystemTime;

use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// The records of one credential, as the caller's row holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it from their rows")]
pub struct CredentialSecrets {
    /// The record of the present secret.
    pub current: StoredSecret,
    /// The record before it, while its grace period lasts.
    pub previous: Option<Previous>,
}

/// A record that a rotation has replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it from their rows")]
pub struct Previous {
    /// The replaced record.
    pub stored: StoredSecret,
    /// The first moment at which it no longer verifies.
    pub valid_until: SystemTime,
}

/// A new credential's secret and record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Issued {
    /// To be shown once, to its owner.
    pub secret: ClientSecret,
    /// To be kept.
    pub stored: StoredSecret,
}

/// A credential's new secret and record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// To be shown once, to its owner.
    pub secret: ClientSecret,
    /// To be kept, in place of the old one.
    pub stored: StoredSecret,
    /// The old record with the end of its grace period; `None` without one.
    pub previous: Option<Previous>,
}

/// Proof that a candidate was the secret. Only the store makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Which of the credential's secrets it was.
    pub generation: Generation,
    /// Whether the record is worth an [`upgrade`](crate::SecretStore::upgrade): made with weaker parameters than
    /// today's, or by a backend that is not the primary.
    pub outdated: bool,
    /// Whether the backend could not be asked, and a proof from before decided: worth a line in the audit. Only behind
    /// a [`WarmLayer`](crate::layers::WarmLayer) with a stale window.
    pub stale: bool,
}

/// Which of a credential's secrets was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "one previous secret is the rule; a list would multiply the work of a guess"
)]
pub enum Generation {
    /// The present one.
    Current,
    /// The one before, within its grace period: worth a line in the audit.
    Previous,
}

impl CredentialSecrets {
    /// The records that count by now, in the order in which they are tried.
    pub(super) fn valid_at(
        &self,
        now: impl FnOnce() -> SystemTime,
    ) -> impl Iterator<Item = (Generation, &StoredSecret)> {
        let previous = self.previous.as_ref().filter(|previous| now() < previous.valid_until);
        iter::once((Generation::Current, &self.current))
            .chain(previous.map(|previous| (Generation::Previous, &previous.stored)))
    }
}

impl From<StoredSecret> for CredentialSecrets {
    fn from(current: StoredSecret) -> Self {
        Self { current, previous: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BackendId;

    #[test]
    fn no_type_shows_a_secret_or_a_digest() {
        let stored = StoredSecret::new(BackendId::BCRYPT, "canary-digest");
        let secret = ClientSecret::from("canary-secret");
        let previous = Some(Previous { stored: stored.clone(), valid_until: SystemTime::UNIX_EPOCH });
        let secrets = CredentialSecrets { current: stored.clone(), previous: previous.clone() };
        let issued = Issued { secret: secret.clone(), stored: stored.clone() };
        let rotated = Rotated { secret, stored, previous };
        let shown = format!("{secrets:?} {secrets:#?} {issued:?} {issued:#?} {rotated:?} {rotated:#?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
