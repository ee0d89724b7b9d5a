//! What has to be forgotten: what is owed, who is at it, and when it is paid.

use std::time::{Duration, SystemTime};

use super::parts::{Debt, DebtKind, Note, OpenWrite, OpenWriteKind};
use crate::lifecycle::digest::SecretDigest;
use crate::lifecycle::rows::State;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// A place is deleted once more so long after each deletion. Vault ends a request after 90 s unless set; the later ones catch
/// what a proxy or a paused machine held back.
const REPEATED_AFTER: [Duration; 3] =
    [Duration::from_secs(90), Duration::from_secs(3600), Duration::from_secs(24 * 3600)];

/// The right to have a debt's place forgotten, for a limited time.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) debt: Debt,
    pub(crate) until: SystemTime,
    /// By what is recognised what may be deleted there. Where there is none, all is.
    pub(crate) written: Vec<SecretDigest>,
}

impl Claim {
    pub(crate) fn recognises(&self, secret: &ClientSecret) -> bool {
        self.written.iter().any(|digest| digest.is_of(secret))
    }
}

impl Note {
    /// Owes what has to become of a place; a debt that it has already takes the kind and the time, and begins anew. A claim on it
    /// stands, and its holder leaves the debt to be paid once more.
    pub(crate) fn owe(&mut self, place: StoredSecret, kind: DebtKind, due: SystemTime) {
        match self.debts.iter_mut().find(|debt| debt.place == place) {
            Some(debt) => (debt.kind, debt.due, debt.deletions) = (kind, due, 0),
            None => self.debts.push(Debt::new(place, kind, due)),
        }
    }

    /// Names the places as `place_of` does. What is owed at one place under two names is owed once: the more, and the later.
    pub(crate) fn name_places(&mut self, place_of: impl Fn(&StoredSecret) -> StoredSecret) {
        let weight = |kind| [DebtKind::Rest, DebtKind::Blank, DebtKind::Delete].iter().position(|known| *known == kind);
        for debt in std::mem::take(&mut self.debts) {
            let debt = Debt { place: place_of(&debt.place), ..debt };
            match self.debts.iter_mut().find(|known| known.place == debt.place) {
                Some(known) if weight(known.kind) < weight(debt.kind) => *known = debt,
                Some(known) if known.kind == debt.kind => known.due = known.due.max(debt.due),
                Some(_) => {}
                None => self.debts.push(debt),
            }
        }
    }

    /// What is owed at a place that counts is void.
    pub(crate) fn void(&mut self, place: &StoredSecret) {
        self.debts.retain(|debt| debt.place != *place);
    }

    /// The credential has ended, or was given up: what lies at these places is deleted, and all else that is kept in mind.
    pub(crate) fn end(&mut self, places: impl IntoIterator<Item = StoredSecret>, now: SystemTime) {
        let open = self.open.take().map(|open| open.place);
        let mut places: Vec<_> = places.into_iter().chain(open).collect();
        places.extend(self.debts.iter().map(|debt| debt.place.clone()));
        for place in places {
            self.owe(place, DebtKind::Delete, now);
        }
    }

    /// A new credential is given up: what was written for it is deleted. Its digest stays as long as that is owed, for the place may be
    /// another database's by then.
    pub(crate) fn give_up(&mut self, dead: OpenWrite, now: SystemTime) {
        self.owe(dead.place.clone(), DebtKind::Delete, now);
        self.open = Some(OpenWrite { lease_until: now, ..dead }).filter(OpenWrite::recognises);
    }

    /// Nothing at the place is ours.
    pub(crate) fn let_be(&mut self, claim: &Claim) {
        if self.holds(claim) {
            self.paid(&claim.debt.place);
        }
    }

    /// Nothing has to become of the place any more.
    pub(crate) fn paid(&mut self, place: &StoredSecret) {
        self.void(place);
        self.open.take_if(|open| open.recognises() && open.place == *place);
    }

    /// What a crash left becomes a debt: a new credential that was never committed, whose id is never used again, and what is kept
    /// in mind of a credential that was ended elsewhere.
    ///
    /// `counting`: the places where something counts, with the end of what is a previous secret. A debt there is void, or has to wait.
    pub(crate) fn settle_dead(
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
            if *state == State::Absent && self.debts.iter().any(|debt| debt.place == dead.place) {
                self.open = Some(dead).filter(OpenWrite::recognises);
            } else if *state == State::Absent {
                // Without a row, only a new credential's secret is known to be ours.
                if dead.kind == OpenWriteKind::Create {
                    self.give_up(dead, now);
                }
            } else {
                self.owe(dead.place, DebtKind::Delete, now);
            }
        }
        for debt in self.debts.iter_mut().filter(|debt| debt.kind != DebtKind::Delete) {
            (debt.kind, debt.due) = (DebtKind::Delete, now);
        }
    }

    /// Claims a debt that is due and that `may` be carried out, until then.
    pub(crate) fn claim(&mut self, now: SystemTime, until: SystemTime, may: impl Fn(&Debt) -> bool) -> Option<Claim> {
        let debt = self.debts.iter_mut().find(|debt| debt.is_due(now) && may(debt))?;
        (debt.claimed_until, debt.due) = (Some(until), until);
        let debt = debt.clone();
        let dead = self.open.iter().filter(|open| open.recognises() && open.place == debt.place);
        let written = dead.flat_map(|open| open.digests.iter().cloned()).collect();
        Some(Claim { debt, until, written })
    }

    /// Tries what is due not before `until`.
    pub(crate) fn put_off(&mut self, now: SystemTime, until: SystemTime) {
        for debt in self.debts.iter_mut().filter(|debt| debt.is_due(now)) {
            debt.due = until;
        }
    }

    /// Whether something may be under way to have the place forgotten.
    pub(crate) fn awaits_deletion(&self, place: &StoredSecret, now: SystemTime) -> bool {
        self.debts.iter().any(|debt| debt.place == *place && debt.claimed_until.is_some_and(|until| until > now))
    }

    /// The place was forgotten. A deletion is repeated, for a first write that arrives after it; a place that was blanked is kept
    /// in mind. What was owed again meanwhile only loses the claim.
    pub(crate) fn done(&mut self, claim: &Claim, now: SystemTime) {
        let Some(index) = self.claimed(claim) else { return };
        let debt = &mut self.debts[index];
        debt.claimed_until = None;
        if debt.due != claim.until || debt.kind != claim.debt.kind {
            return;
        }
        match debt.kind {
            DebtKind::Delete => match REPEATED_AFTER.get(debt.deletions as usize) {
                Some(wait) => (debt.due, debt.deletions, debt.attempts) = (now + *wait, debt.deletions + 1, 0),
                None => self.paid(&claim.debt.place),
            },
            DebtKind::Blank | DebtKind::Rest => debt.kind = DebtKind::Rest,
        }
    }

    /// It failed; try again at `next`.
    pub(crate) fn failed(&mut self, claim: &Claim, next: SystemTime) {
        if let Some(index) = self.claimed(claim) {
            let debt = &mut self.debts[index];
            (debt.due, debt.attempts, debt.claimed_until) = (next, debt.attempts.saturating_add(1), None);
        }
    }

    /// Whether the claim has not passed to another.
    pub(crate) fn holds(&self, claim: &Claim) -> bool {
        self.claimed(claim).is_some()
    }

    /// A claim that has passed to another changes nothing.
    fn claimed(&self, claim: &Claim) -> Option<usize> {
        let ours = |debt: &Debt| debt.place == claim.debt.place && debt.claimed_until == Some(claim.until);
        self.debts.iter().position(ours)
    }
}
