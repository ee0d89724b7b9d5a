//! What the protocol has noted of a credential, and how that changes. No waiting here, and no asking: each function is a step
//! that a ledger's transaction carries out.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::digest::SecretDigest;

use super::rows::{Revision, State};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// No lease and no claim lasts longer. One that ends later was made by a wrong clock, and is over.
const LONGEST_LEASE: Duration = Duration::from_secs(1800);

/// A place is deleted once more so long after each deletion. Vault ends a request after 90 s unless set; the later ones catch
/// what a proxy or a paused machine held back.
const REPEATED_AFTER: [Duration; 3] =
    [Duration::from_secs(90), Duration::from_secs(3600), Duration::from_secs(24 * 3600)];

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
    /// Of the secrets that were about to be written for this base.
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

/// What became of an attempt to open a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It is ours, and this is what an earlier holder left, if there was one.
    Ours(Option<Vec<SecretDigest>>),
    /// Another holds it.
    Busy,
}

/// The right to have a debt's place forgotten, for a limited time.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) debt: Debt,
    pub(super) until: SystemTime,
}

impl OpenWrite {
    fn is_held(&self, now: SystemTime) -> bool {
        self.lease_until > now && self.lease_until <= now + LONGEST_LEASE
    }

    fn is_repair(&self) -> bool {
        self.digests.iter().any(SecretDigest::is_current)
    }
}

impl Debt {
    fn new(place: StoredSecret, kind: DebtKind, due: SystemTime) -> Self {
        Self { place, kind, due, claimed_until: None, attempts: 0, deletions: 0 }
    }

    fn is_due(&self, now: SystemTime) -> bool {
        let waits = self.due > now || self.claimed_until.is_some_and(|until| until > now);
        self.kind != DebtKind::Rest && (!waits || self.claimed_until.is_some_and(|until| until > now + LONGEST_LEASE))
    }
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
        let awaited = |open: &&OpenWrite| open.kind == OpenWriteKind::Create || open.is_repair();
        let open = self.open.iter().filter(awaited).map(|open| open.lease_until);
        let owed = self.debts.iter().filter(|debt| debt.kind != DebtKind::Rest).map(|debt| debt.due);
        open.chain(owed).min()
    }

    /// Opens a write, or takes over one whose lease is over. What the attempt holds already it opens again, for another purpose.
    /// Digests that were noted for another version, or another place, are of no use any more.
    pub(super) fn open(&mut self, mut write: OpenWrite, now: SystemTime) -> Opened {
        let Some(found) = self.open.take() else {
            self.open = Some(write);
            return Opened::Ours(None);
        };
        let is_ours = found.attempt == write.attempt;
        if !is_ours && found.is_held(now) {
            self.open = Some(found);
            return Opened::Busy;
        }
        let continues = found.place == write.place && found.base == write.base && write.base > 0;
        if found.place != write.place {
            self.keep_in_mind(found.place);
        }
        let left: Vec<_> =
            found.digests.into_iter().filter(|left| continues && !write.digests.contains(left)).collect();
        write.digests.splice(0..0, left.iter().cloned());
        self.open = Some(write);
        Opened::Ours(Some(left).filter(|left| !is_ours || !left.is_empty()))
    }

    /// Extends the lease of the attempt; says whether it still has it. If it has, nobody else has written since it was opened.
    pub(super) fn renew(&mut self, attempt: Revision, until: SystemTime) -> bool {
        self.of(attempt).map(|open| open.lease_until = until).is_some()
    }

    /// The backend has definitely written nothing. What an earlier holder left stays.
    pub(super) fn close(&mut self, attempt: Revision, now: SystemTime) {
        let Some(open) = self.of(attempt) else { return };
        let writes_no_place = matches!(open.kind, OpenWriteKind::Rotate | OpenWriteKind::Pin | OpenWriteKind::Blank);
        if writes_no_place && open.digests.len() < 2 && open.is_held(now) {
            self.open = None;
        } else {
            open.lease_until = now;
        }
    }

    /// The backend may have written something, or has, and there is no commit. What was noted stays for the next writer.
    pub(super) fn end_lease(&mut self, attempt: Revision, now: SystemTime) {
        if let Some(open) = self.of(attempt) {
            open.lease_until = now;
        }
    }

    /// A repair was looked for and is not there: nobody has to look again.
    pub(super) fn drop_repair(&mut self, attempt: Revision, now: SystemTime) {
        if let Some(open) = self.of(attempt) {
            open.digests.retain(|digest| !digest.is_current());
            open.lease_until = now;
        }
    }

    /// Takes away the open write of the attempt that is about to count; says whether it was there.
    pub(super) fn redeem(&mut self, attempt: Revision) -> bool {
        self.of(attempt).is_some() && self.open.take().is_some()
    }

    /// Whether the id of a new credential was used before. Then a write to its place, or a deletion, may still be under way.
    pub(super) fn is_of_another(&self, attempt: Revision) -> bool {
        !self.debts.is_empty() || self.open.as_ref().is_some_and(|open| open.attempt != attempt)
    }

    /// Gives up a dead write at the place, so that it is never committed. Not while somebody holds it.
    pub(super) fn give_up_at(&mut self, place: &StoredSecret, now: SystemTime) -> bool {
        let open = self.open.take_if(|open| open.place == *place && !open.is_held(now));
        open.is_some() || self.open.as_ref().is_none_or(|open| open.place != *place)
    }

    /// Whether somebody is writing.
    pub(super) fn is_being_written(&self, now: SystemTime) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_held(now))
    }

    /// Whether the secret was about to be written over `base` at the place.
    pub(super) fn has_noted(&self, place: &StoredSecret, base: u64, secret: &ClientSecret) -> bool {
        let open = self.open.as_ref().filter(|open| open.place == *place && open.base == base);
        open.is_some_and(|open| open.digests.iter().any(|digest| digest.is_of(secret)))
    }

    /// Whether a write to the place, or what has to become of it, is noted.
    pub(super) fn is_about(&self, place: &StoredSecret) -> bool {
        let mut debts = self.debts.iter().map(|debt| &debt.place);
        self.open.as_ref().is_some_and(|open| open.place == *place) || debts.any(|owed| owed == place)
    }

    /// Whether the write is the attempt's.
    pub(super) fn is_of(&self, attempt: Revision) -> bool {
        self.open.as_ref().is_some_and(|open| open.attempt == attempt)
    }

    fn of(&mut self, attempt: Revision) -> Option<&mut OpenWrite> {
        self.open.as_mut().filter(|open| open.attempt == attempt)
    }

    /// Owes what has to become of a place; a debt that it has already takes the kind and the time, and begins anew. A claim on it
    /// stands, and its holder leaves the debt to be paid once more.
    pub(super) fn owe(&mut self, place: StoredSecret, kind: DebtKind, due: SystemTime) {
        match self.debts.iter_mut().find(|debt| debt.place == place) {
            Some(debt) => (debt.kind, debt.due, debt.deletions) = (kind, due, 0),
            None => self.debts.push(Debt::new(place, kind, due)),
        }
    }

    /// Something may lie at the place, to be deleted when the credential ends.
    pub(super) fn keep_in_mind(&mut self, place: StoredSecret) {
        if self.debts.iter().all(|debt| debt.place != place) {
            self.debts.push(Debt::new(place, DebtKind::Rest, SystemTime::UNIX_EPOCH));
        }
    }

    /// What is owed at a place that counts is void.
    pub(super) fn void(&mut self, place: &StoredSecret) {
        self.debts.retain(|debt| debt.place != *place);
    }

    /// The credential has ended, or was given up: what lies at these places is deleted, and all else that is kept in mind.
    pub(super) fn end(&mut self, places: impl IntoIterator<Item = StoredSecret>, now: SystemTime) {
        let open = self.open.take().map(|open| open.place);
        let mut places: Vec<_> = places.into_iter().chain(open).collect();
        places.extend(self.debts.iter().map(|debt| debt.place.clone()));
        for place in places {
            self.owe(place, DebtKind::Delete, now);
        }
    }

    /// What a crash left becomes a debt: a new credential that was never committed, whose id is never used again, and what is kept
    /// in mind of a credential that was ended elsewhere.
    ///
    /// `counting`: the places where something counts, with the end of what is a previous secret. A debt there is void, or has to wait.
    pub(super) fn settle_dead(
        &mut self,
        state: &State,
        counting: &[(StoredSecret, Option<SystemTime>)],
        now: SystemTime,
    ) {
        if state.active().is_some() {
            let counts = |debt: &Debt, until: bool| {
                let is_due = debt.kind != DebtKind::Rest && debt.due <= now;
                counting.iter().find(|(place, end)| is_due && *place == debt.place && end.is_some() == until)
            };
            self.debts.retain(|debt| counts(debt, false).is_none());
            for debt in &mut self.debts {
                if let Some((_, Some(end))) = counts(debt, true) {
                    debt.due = *end;
                }
            }
            // Nobody deletes a place of a credential that counts, whatever row was restored.
            for debt in self.debts.iter_mut().filter(|debt| debt.kind == DebtKind::Delete) {
                debt.kind = DebtKind::Rest;
            }
            return;
        }
        if let Some(dead) = self.open.take_if(|open| !open.is_held(now)) {
            self.owe(dead.place, DebtKind::Delete, now);
        }
        for debt in self.debts.iter_mut().filter(|debt| debt.kind != DebtKind::Delete) {
            (debt.kind, debt.due) = (DebtKind::Delete, now);
        }
    }

    /// Claims a debt that is due, until then.
    pub(super) fn claim(&mut self, now: SystemTime, until: SystemTime) -> Option<Claim> {
        let debt = self.debts.iter_mut().find(|debt| debt.is_due(now))?;
        (debt.claimed_until, debt.due) = (Some(until), until);
        Some(Claim { debt: debt.clone(), until })
    }

    /// Whether something may be under way to have the place forgotten.
    pub(super) fn awaits_deletion(&self, place: &StoredSecret, now: SystemTime) -> bool {
        self.debts.iter().any(|debt| debt.place == *place && debt.claimed_until.is_some_and(|until| until > now))
    }

    /// The place of an unfinished repair whose writer is gone.
    pub(super) fn awaits_repair(&self, now: SystemTime) -> Option<StoredSecret> {
        let dead = self.open.as_ref().filter(|open| open.is_repair() && !open.is_held(now));
        dead.map(|open| open.place.clone())
    }

    /// The place was forgotten. A deletion is repeated, for a first write that arrives after it; a place that was blanked is kept
    /// in mind. What was owed again meanwhile only loses the claim.
    pub(super) fn done(&mut self, claim: &Claim, now: SystemTime) {
        let Some(index) = self.claimed(claim) else { return };
        let debt = &mut self.debts[index];
        debt.claimed_until = None;
        if debt.due != claim.until || debt.kind != claim.debt.kind {
            return;
        }
        match debt.kind {
            DebtKind::Delete => match REPEATED_AFTER.get(debt.deletions as usize) {
                Some(wait) => (debt.due, debt.deletions, debt.attempts) = (now + *wait, debt.deletions + 1, 0),
                None => drop(self.debts.swap_remove(index)),
            },
            DebtKind::Blank | DebtKind::Rest => debt.kind = DebtKind::Rest,
        }
    }

    /// It failed; try again at `next`.
    pub(super) fn failed(&mut self, claim: &Claim, next: SystemTime) {
        if let Some(index) = self.claimed(claim) {
            let debt = &mut self.debts[index];
            (debt.due, debt.attempts, debt.claimed_until) = (next, debt.attempts.saturating_add(1), None);
        }
    }

    /// Whether the claim has not passed to another.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        self.claimed(claim).is_some()
    }

    /// A claim that has passed to another changes nothing.
    fn claimed(&self, claim: &Claim) -> Option<usize> {
        let ours = |debt: &Debt| debt.place == claim.debt.place && debt.claimed_until == Some(claim.until);
        self.debts.iter().position(ours)
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

#[cfg(test)]
mod tests;
