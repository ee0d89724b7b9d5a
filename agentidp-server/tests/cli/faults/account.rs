//! What the driver knows of the credentials of one agent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::now;

/// What another server does by itself counts on this one within a second.
pub(super) const TOLD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Account {
    pub(super) agent: String,
    pub(super) credentials: Vec<Entry>,
    /// Creations of which nobody knows what has become.
    pub(super) creations: usize,
    /// Made before Vault came, and never touched since.
    pub(super) digests: bool,
}

/// A credential. Its secrets stay out of `Debug`.
pub(super) struct Entry {
    pub(super) id: String,
    /// The secret that counts; none where the answer that had it was lost.
    pub(super) current: Option<String>,
    pub(super) retired: Vec<String>,
    pub(super) ended: bool,
    pub(super) rotations: i64,
    /// A change whose answer was lost: until the next check nobody knows which secret counts.
    pub(super) uncertain: Option<Change>,
    /// The last change, and the server that made it.
    pub(super) changed: (Instant, usize),
    /// Whether each server has proved the current secret.
    pub(super) warm: [bool; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Rotation,
    Revocation,
}

impl Entry {
    pub(super) fn new(id: String, current: Option<String>, by: usize) -> Self {
        let changed = (now(), by);
        Self {
            id,
            current,
            retired: Vec::new(),
            ended: false,
            rotations: 0,
            uncertain: None,
            changed,
            warm: [false; 2],
        }
    }

    /// Whether this server has to know of the last change.
    pub(super) fn is_known_to(&self, server: usize) -> bool {
        self.changed.1 == server || now() - self.changed.0 > TOLD
    }

    pub(super) fn rotated(&mut self, secret: Option<String>, by: usize) {
        self.rotations += 1;
        self.retired.extend(std::mem::replace(&mut self.current, secret));
        (self.changed, self.warm) = ((now(), by), [false; 2]);
    }

    pub(super) fn revoked(&mut self, by: usize) {
        self.ended = true;
        self.retired.extend(self.current.take());
        self.changed = (now(), by);
    }

    /// The trail tells what has become of a change whose answer was lost, and nothing but what is known otherwise.
    pub(super) fn settle(&mut self, told: &BTreeMap<String, i64>) {
        let count = |action: &str| told.get(action).copied().unwrap_or_default();
        let uncertain = self.uncertain.take();
        if uncertain == Some(Change::Rotation) && count("credential.rotated") == self.rotations + 1 {
            self.rotated(None, self.changed.1);
        }
        if uncertain == Some(Change::Revocation) && count("credential.revoked") == 1 {
            self.revoked(self.changed.1);
        }
        assert_eq!(count("credential.generated"), 1, "{self:?}");
        assert_eq!(count("credential.rotated"), self.rotations, "{self:?}");
        assert_eq!(count("credential.revoked"), i64::from(self.ended), "{self:?}");
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Entry");
        shown.field("id", &self.id).field("ended", &self.ended).field("rotations", &self.rotations);
        shown.finish_non_exhaustive()
    }
}
