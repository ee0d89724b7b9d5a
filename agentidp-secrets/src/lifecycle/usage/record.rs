//! What is kept of uses.

use std::time::SystemTime;

use crate::credential::CredentialKey;

/// When a credential's secrets were last proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "ledgers make it")]
pub struct Usage {
    /// The current secret; none when never.
    pub last_used_at: Option<SystemTime>,
    /// The one before it, whether it still counts or not; none when never.
    pub previous_last_used_at: Option<SystemTime>,
    /// When the current secret was committed by a rotation; none for the first.
    pub since: Option<SystemTime>,
}

/// Uses of a credential's secrets that a ledger is to note: the latest of each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests make it")]
pub struct Use {
    /// Whose.
    pub key: CredentialKey,
    /// The secret that was the current one then.
    pub current: Option<SystemTime>,
    /// The secret that was the previous one then.
    pub previous: Option<SystemTime>,
}

impl Usage {
    /// The same with a use. Later times stay. What was the current secret until [`since`](Self::since) is the previous one now, and
    /// what was the previous one before it is no more.
    #[must_use]
    pub fn with(self, used: &Use) -> Self {
        let is_of_previous = |at: &SystemTime| self.since.is_some_and(|since| *at <= since);
        let (older, current) = (used.current.filter(is_of_previous), used.current.filter(|at| !is_of_previous(at)));
        let previous = used.previous.filter(|at| self.since.is_none_or(|since| *at >= since));
        Self {
            last_used_at: self.last_used_at.max(current),
            previous_last_used_at: self.previous_last_used_at.max(older).max(previous),
            since: self.since,
        }
    }

    /// The same after a rotation at `now`.
    #[must_use]
    pub fn rotated(self, now: SystemTime) -> Self {
        Self { last_used_at: None, previous_last_used_at: self.last_used_at, since: Some(now) }
    }
}
