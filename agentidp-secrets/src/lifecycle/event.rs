//! What an operator may want to know of.

use std::fmt;
use std::time::Duration;

use super::compare::Difference;
use crate::credential::CredentialKey;
use crate::error::Error;
use crate::record::BackendId;

/// Something that happened in a sequence and is no answer to its caller. `Display` is a line for a log, without place, record
/// or secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A secret that was written and never shown became the new one.
    Adopted(CredentialKey),
    /// The current secret is written anew, before versions that nobody vouches for evict it.
    Repaired(CredentialKey),
    /// A new credential took longer than its lease, and none was made.
    GivenUp(CredentialKey),
    /// A write that failed could not be closed: the next one waits until its lease ends.
    NotClosed(CredentialKey),
    /// The answer to a commit was lost, and it took place.
    AnswerLost(CredentialKey),
    /// A record was put into today's form, or got its selector.
    Upgraded {
        /// Whose.
        key: CredentialKey,
        /// What kept the secret.
        from: BackendId,
        /// What keeps it now; the same where the parameters are new, or the selector is.
        to: BackendId,
    },
    /// An upgrade failed; a later login tries again.
    NotUpgraded {
        /// Whose.
        key: CredentialKey,
        /// What keeps the secret.
        from: BackendId,
        /// What was to keep it.
        to: BackendId,
        /// The failure, for a log.
        why: Box<str>,
    },
    /// A previous secret that no client used any more was ended before its time.
    OverlapEnded(CredentialKey),
    /// A backend has forgotten a secret that does not count.
    Forgotten(CredentialKey),
    /// A backend did not forget such a secret, and is asked again after this time.
    NotForgotten(CredentialKey, Error, Duration),
    /// A backend could not be asked for the current secret that was being written anew when its process ended, and is asked again after
    /// this time.
    NotRepaired(CredentialKey, Error, Duration),
    /// The rows and a backend differ: told by a comparison in the background.
    Differs(Difference),
    /// A comparison came to no end.
    NotCompared(Box<str>),
    /// The database failed in the background.
    LedgerFailed(Box<str>),
}

impl Event {
    /// Whether it is worth a warning.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Adopted(_) | Self::AnswerLost(_) | Self::Upgraded { .. } => false,
            Self::OverlapEnded(_) | Self::Forgotten(_) => false,
            Self::Differs(difference) => difference.kind.needs_operator(),
            _ => true,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn key(&self) -> Option<&CredentialKey> {
        match self {
            Self::Adopted(key)
            | Self::Repaired(key)
            | Self::GivenUp(key)
            | Self::NotClosed(key)
            | Self::AnswerLost(key)
            | Self::Upgraded { key, .. }
            | Self::NotUpgraded { key, .. }
            | Self::OverlapEnded(key)
            | Self::Forgotten(key)
            | Self::NotForgotten(key, ..)
            | Self::NotRepaired(key, ..) => Some(key),
            Self::Differs(_) | Self::NotCompared(_) | Self::LedgerFailed(_) => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted(_) => f.write_str("a secret that was written and never shown is taken"),
            Self::Repaired(_) => f.write_str(
                "the backend holds later versions that no row points to, and would soon drop the one that counts: it is \
                 written anew",
            ),
            Self::GivenUp(_) => {
                f.write_str("a new credential took longer than its lease: it is given up, and none was made")
            }
            Self::NotClosed(_) => {
                f.write_str("a write that failed could not be closed: the next one waits until its lease ends")
            }
            Self::AnswerLost(_) => f.write_str("the answer to a commit was lost, and it took place"),
            Self::Upgraded { .. } => f.write_str("a credential's record was put into today's form"),
            Self::NotUpgraded { why, .. } => write!(f, "a credential was not upgraded; a later login tries again: {why}"),
            Self::OverlapEnded(_) => f.write_str("a previous secret that no client used any more was ended"),
            Self::Forgotten(_) => f.write_str("a backend has forgotten a secret"),
            Self::NotForgotten(_, error, wait) => write!(
                f,
                "a backend did not forget a secret; it no longer authenticates, and the backend is asked again in {} s: \
                 {error}",
                wait.as_secs()
            ),
            Self::NotRepaired(_, error, wait) => write!(
                f,
                "a secret was being written anew when its process ended, and the backend cannot be asked for it; it is asked again in \
                 {} s: {error}",
                wait.as_secs()
            ),
            Self::Differs(difference) => write!(f, "a row and a backend differ: {difference}"),
            Self::NotCompared(why) => write!(f, "the rows could not be compared with a backend: {why}"),
            Self::LedgerFailed(why) => write!(f, "the database failed, and is asked again in a few seconds: {why}"),
        }
    }
}
