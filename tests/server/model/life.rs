//! What may happen, and what the model knows of it.

use std::collections::BTreeMap;

use agentidp_server::domain::{Credential, CredentialStatus, Timestamp};
use uuid::Uuid;

use super::fate::Death;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Act(Act),
    /// At the same time.
    Both(Act, Act),
    /// In minutes.
    Advance(u64),
    /// The process will die, in whatever it does then.
    DieLater(Death),
    Outage(Outage),
    Restart(Mode),
}

/// Numbers beyond what there is mean the first one again, and so on; times are in minutes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Create(usize, Option<u64>),
    /// With an `Idempotency-Key`.
    CreateOnce(usize),
    Rotate(usize, Option<u64>),
    /// With an `Idempotency-Key`.
    RotateOnce(usize),
    /// A request that had a key, once more; 0 is the last of them.
    Again(usize),
    Revoke(usize),
    Suspend(usize),
    Reactivate(usize),
    Decommission(usize),
    /// One of the secrets that were shown.
    Verify(usize),
    Purge,
}

/// How Vault is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outage {
    /// Well.
    None,
    Down,
    /// It does what it is asked, and nobody hears of it.
    AnswersLost,
}

/// The settings of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    pub(super) vault: bool,
    pub(super) upgrading: bool,
    pub(super) selecting: bool,
}

/// A credential as the model knows it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) agent: Uuid,
    pub(super) id: Uuid,
    /// The secret that counts; none when the answer that would have shown it was lost.
    pub(super) current: Option<String>,
    pub(super) rotations: usize,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) ended: bool,
    /// Whether a token was had for the secret that counts.
    pub(super) used: bool,
}

impl Life {
    pub(super) fn new(agent: Uuid, id: Uuid, current: Option<String>, expires_at: Option<Timestamp>) -> Self {
        Self { agent, id, current, rotations: 0, expires_at, ended: false, used: false }
    }

    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        !self.ended && self.expires_at.is_none_or(|at| at > now)
    }

    pub(super) fn rotated(&mut self, secret: Option<String>, expires_at: Option<Timestamp>) {
        self.rotations += 1;
        (self.current, self.expires_at, self.used) = (secret, expires_at, false);
    }

    /// The trail and the row tell the same story as the model.
    pub(super) fn check(&self, row: &Credential, told: &BTreeMap<String, usize>) {
        let count = |action: &str| told.get(action).copied().unwrap_or_default();
        assert_eq!(count("credential.generated"), 1, "{self:?}");
        assert_eq!(count("credential.rotated"), self.rotations, "{self:?}");
        assert_eq!(count("credential.revoked"), usize::from(self.ended), "{self:?}");
        assert_eq!(row.status == CredentialStatus::Revoked, self.ended, "{self:?}");
        assert_eq!(row.expires_at, self.expires_at, "{self:?}");
    }
}
