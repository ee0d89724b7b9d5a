//! What a note is made of.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::lifecycle::digest::SecretDigest;
use crate::lifecycle::revision::Revision;
use crate::record::StoredSecret;

/// No lease and no claim lasts longer. One that ends later was made by a wrong clock, and is over.
const LONGEST_LEASE: Duration = Duration::from_secs(1800);

/// What the protocol has noted of a credential: a write to a backend that is about to happen, and places that have to be
/// forgotten.
///
/// For a ledger it is a value to keep: as [text](Self::to_text), or in columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "ledgers may keep it in columns")]
pub struct Note {
    /// At most one write of a credential is open.
    pub open: Option<OpenWrite>,
    /// At most one a place.
    pub debts: Vec<Debt>,
}

/// The right to write to a credential's place, for a limited time.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "ledgers may keep it in columns")]
pub struct OpenWrite {
    /// What it is for.
    pub kind: OpenWriteKind,
    /// The place.
    pub place: StoredSecret,
    /// The version that the row pins there; 0 where it pins none.
    pub base: u64,
    /// Whose it is. The commit makes it the row's revision.
    pub attempt: Revision,
    /// Of the generated secrets that were about to be written for this base. Of a new credential it is kept until what it has left is
    /// deleted.
    pub digests: Vec<SecretDigest>,
    /// When another may take it over.
    pub lease_until: SystemTime,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "ledgers may keep it in columns")]
pub enum OpenWriteKind {
    /// The first secret of a new credential.
    Create,
    /// The first secret at a place, of a credential that moves there.
    Move,
    /// The next version of a place that the row pins.
    Rotate,
    /// The current secret once more, before newer versions evict it.
    Repair,
    /// No write: the row is to pin the version that it means.
    Pin,
    /// A blank version of a place that the credential has left.
    Blank,
}

/// A place that has to be forgotten.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "ledgers may keep it in columns")]
pub struct Debt {
    /// The place.
    pub place: StoredSecret,
    /// What has to become of it.
    pub kind: DebtKind,
    /// Not to be tried before.
    pub due: SystemTime,
    /// Until when somebody is at it. Tells claims apart.
    pub claimed_until: Option<SystemTime>,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// How often it was deleted.
    pub deletions: u32,
}

/// What has to become of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "ledgers may keep it in columns")]
pub enum DebtKind {
    /// It is deleted with all versions: its credential has ended, or was never committed.
    Delete,
    /// Blank versions push out the secrets: its credential has moved away, and may come back.
    Blank,
    /// Nothing yet. Something may lie there, which is deleted when the credential ends.
    Rest,
}

impl Note {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.debts.is_empty()
    }

    /// When somebody has to look at it; none when it waits for the credential's next change.
    #[must_use]
    pub fn due(&self) -> Option<SystemTime> {
        let is_owed = |open: &OpenWrite| self.debts.iter().any(|debt| debt.place == open.place);
        let awaited = |open: &&OpenWrite| open.kind == OpenWriteKind::Create && !is_owed(open) || open.is_repair();
        let open = self.open.iter().filter(awaited).map(|open| self.put_off_until(open).max(open.lease_until));
        let owed = self.debts.iter().filter(|debt| debt.kind != DebtKind::Rest).map(|debt| debt.due);
        open.chain(owed).min()
    }

    /// A repair that has failed is not tried before: its place's debt says when.
    fn put_off_until(&self, repair: &OpenWrite) -> SystemTime {
        let rests = |debt: &&Debt| debt.kind == DebtKind::Rest && debt.place == repair.place;
        self.debts.iter().find(rests).map_or(SystemTime::UNIX_EPOCH, |debt| debt.due)
    }

    /// The place of an unfinished repair that is to be tried now.
    pub(crate) fn repair_due(&self, now: SystemTime) -> Option<StoredSecret> {
        let place = self.awaits_repair(now)?;
        self.open.as_ref().is_some_and(|open| self.put_off_until(open) <= now).then_some(place)
    }

    /// How often it was tried in vain.
    pub(crate) fn failed_repairs(&self, place: &StoredSecret) -> u32 {
        self.debts.iter().find(|debt| debt.place == *place).map_or(0, |debt| debt.attempts)
    }

    /// It failed; try again at `next`. The place is kept in mind with that.
    pub(crate) fn repair_failed(&mut self, place: &StoredSecret, next: SystemTime) {
        self.keep_in_mind(place.clone());
        let rests = |debt: &&mut Debt| debt.kind == DebtKind::Rest && debt.place == *place;
        if let Some(debt) = self.debts.iter_mut().find(rests) {
            (debt.due, debt.attempts) = (next, debt.attempts.saturating_add(1));
        }
    }

    /// Whether a write to the place, or what has to become of it, is noted.
    pub(crate) fn is_about(&self, place: &StoredSecret) -> bool {
        let mut debts = self.debts.iter().map(|debt| &debt.place);
        self.open.as_ref().is_some_and(|open| open.place == *place) || debts.any(|owed| owed == place)
    }

    /// Something may lie at the place, to be deleted when the credential ends.
    pub(crate) fn keep_in_mind(&mut self, place: StoredSecret) {
        if self.debts.iter().all(|debt| debt.place != place) {
            self.debts.push(Debt::new(place, DebtKind::Rest, SystemTime::UNIX_EPOCH));
        }
    }
}

impl OpenWrite {
    pub(super) fn is_held(&self, now: SystemTime) -> bool {
        self.lease_until > now && self.lease_until <= now + LONGEST_LEASE
    }

    /// Whether it tells what was written for a new credential.
    pub(super) fn recognises(&self) -> bool {
        self.kind == OpenWriteKind::Create && !self.digests.is_empty()
    }

    pub(super) fn is_repair(&self) -> bool {
        self.digests.iter().any(SecretDigest::is_current)
    }
}

impl Debt {
    pub(super) fn new(place: StoredSecret, kind: DebtKind, due: SystemTime) -> Self {
        Self { place, kind, due, claimed_until: None, attempts: 0, deletions: 0 }
    }

    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        let waits = self.due > now || self.claimed_until.is_some_and(|until| until > now);
        self.kind != DebtKind::Rest && (!waits || self.claimed_until.is_some_and(|until| until > now + LONGEST_LEASE))
    }
}

/// Without place and digests.
impl fmt::Debug for OpenWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenWrite")
            .field("kind", &self.kind)
            .field("base", &self.base)
            .field("attempt", &self.attempt)
            .field("lease_until", &self.lease_until)
            .finish_non_exhaustive()
    }
}

/// Without the place.
impl fmt::Debug for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debt")
            .field("kind", &self.kind)
            .field("due", &self.due)
            .field("claimed_until", &self.claimed_until)
            .field("attempts", &self.attempts)
            .field("deletions", &self.deletions)
            .finish_non_exhaustive()
    }
}
