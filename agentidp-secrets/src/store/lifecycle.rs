//! What goes into the store and what comes out.

use std::time::SystemTime;

use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::selector::Selector;

/// The records of one credential, as the caller's row holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it from their rows")]
pub struct CredentialSecrets {
    /// The record of the present secret.
    pub current: StoredSecret,
    /// What the row has beside it; `None` where there is nothing, or no keys.
    pub selector: Option<Selector>,
    /// The record before it, while its grace period lasts.
    pub previous: Option<Previous>,
}

/// A record that a rotation has replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it from their rows")]
pub struct Previous {
    /// The replaced record.
    pub stored: StoredSecret,
    /// What stood beside it.
    pub selector: Option<Selector>,
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
    /// To be kept beside it, in a store with selector keys.
    pub selector: Option<Selector>,
}

/// The record of a secret that the caller has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// To be kept.
    pub stored: StoredSecret,
    /// To be kept beside it, in a store with selector keys.
    pub selector: Option<Selector>,
}

/// A credential's new secret and record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// To be shown once, to its owner.
    pub secret: ClientSecret,
    /// To be kept, in place of the old one.
    pub stored: StoredSecret,
    /// To be kept beside it, in place of the old one: `None` where there is to be none.
    pub selector: Option<Selector>,
    /// The old record, pinned, with the end of its grace period. `None` without one, and where the backend no longer held the
    /// old secret.
    pub previous: Option<Previous>,
}

/// A newer record of the same secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upgraded {
    /// To be kept, in place of the old one.
    pub stored: StoredSecret,
    /// To be kept beside it, in place of the old one: `None` where there is to be none.
    pub selector: Option<Selector>,
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
    /// What to keep beside the record that was proved: there is no selector yet, or one under another key than the first.
    /// Write it where the row is still the one that was read: compare its revision, and set a fresh one. When that fails,
    /// another change was first, and the selector is of no use any more. A failure here is never a failure of the login.
    pub selector: Option<Selector>,
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
    /// The record of this generation, whether or not its time is over.
    pub(crate) fn record(&self, generation: Generation) -> Option<&StoredSecret> {
        match generation {
            Generation::Current => Some(&self.current),
            Generation::Previous => self.previous.as_ref().map(|previous| &previous.stored),
        }
    }
}

/// Without a selector.
impl From<StoredSecret> for CredentialSecrets {
    fn from(current: StoredSecret) -> Self {
        Self { current, selector: None, previous: None }
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
        let selector = Some(Selector::parse("k1:c0ffee00c0ffee00").unwrap());
        let previous = Some(Previous { stored: stored.clone(), selector, valid_until: SystemTime::UNIX_EPOCH });
        let secrets = CredentialSecrets { current: stored.clone(), selector, previous: previous.clone() };
        let issued = Issued { secret: secret.clone(), stored: stored.clone(), selector };
        let rotated = Rotated { secret, stored: stored.clone(), selector, previous };
        let verified = Verified { generation: Generation::Current, outdated: false, stale: false, selector };
        let imported = Imported { stored: stored.clone(), selector };
        let upgraded = Upgraded { stored, selector };
        let shown = format!(
            "{secrets:?} {secrets:#?} {issued:?} {issued:#?} {rotated:?} {rotated:#?} {verified:#?} {upgraded:#?} {imported:?}"
        );
        assert!(!shown.contains("canary") && !shown.contains("c0ffee"), "{shown}");
    }
}
