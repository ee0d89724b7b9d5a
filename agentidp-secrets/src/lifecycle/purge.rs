//! Making backends forget what does not count any more.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all, join3, select};
use futures_util::stream;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::compare::{Difference, Mode};
use super::flaw::Flaw;
use super::ledger::Ledger;
use super::note::{Claim, Debt, DebtKind};
use super::rows::State;
use super::{Event, Failure, Lifecycle};
use crate::backend::Custody;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation};
use crate::record::StoredSecret;

/// Time between two looks at what is due.
const PERIOD: Duration = Duration::from_secs(5);

/// Time between two looks for overlaps that no client needs.
const SHORTEST_LOOK: Duration = Duration::from_secs(60);
const LONGEST_LOOK: Duration = Duration::from_secs(3600);

/// Credentials of one round; the rest waits for the next.
const BATCH: usize = 32;

/// Credentials that a round works on at a time, each with one connection to the database and one call of a backend.
const AT_ONCE: usize = 4;

/// How long a sequence waits for a backend to forget. What takes longer is left to the background.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// How long the background waits: above the deadlines of a call (5 s with the usual settings), far below a claim's life.
const IN_THE_BACKGROUND: Duration = Duration::from_secs(20);

/// How long a claim lasts whose process was killed. The rest above one attempt is for a process that stalls between its claim
/// and its call; should it stall longer, its deletion is late, and finds nothing that counts.
const CLAIM_LIFE: Duration = Duration::from_secs(60);

/// Wait after the first failure; each further one doubles it up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Wait for a place on another mount or prefix than the backend's: only a change of settings brings it within reach.
const ELSEWHERE_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What one round of the background came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Round {
    /// Credentials that were due.
    pub due: usize,
    /// Places that were forgotten.
    pub forgotten: usize,
    /// Places whose backend failed, or whose turn did not come.
    pub failed: usize,
}

impl Round {
    /// Whether more may be due, and is being worked off: then go straight on, and do not wait for the next look.
    #[must_use]
    pub fn leaves_more(&self) -> bool {
        self.due == BATCH && self.forgotten > 0
    }
}

/// What is to be done for a credential.
enum Job {
    Forget(Box<Claim>),
    FinishRepair(StoredSecret),
}

impl<L: Ledger> Lifecycle<L> {
    /// Does what is due every few seconds, compares as [`with_comparison`](Self::with_comparison) says, ends overlaps as
    /// [`with_idle_overlaps`](Self::with_idle_overlaps) says, and writes what was noted of uses, until `stop` is done. Run
    /// it in every process: each follows the ledger's clock by it, by which overlaps end, and they share what is due.
    pub async fn work(&self, stop: impl Future<Output = ()> + Send) {
        let rounds = async {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // What a move of many has left does not wait.
                while self.round().await.leaves_more() {}
            }
        };
        let stopped = Notify::new();
        let work = async {
            select(pin!(stop), pin!(join3(rounds, self.comparisons(), self.idle_overlaps()))).await;
            stopped.notify_one();
        };
        join(work, self.keep_usage(stopped.notified())).await;
    }

    async fn comparisons(&self) {
        join_all(self.0.comparisons.iter().map(async |(inventory, period)| {
            let mut ticks = interval(*period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let mut tell = |difference: &Difference| self.tell(&Event::Differs(difference.clone()));
                if let Err(failure) = self.compare(inventory.as_ref(), Mode::Repair, &mut tell).await {
                    self.tell(&Event::NotCompared(failure.to_string().into()));
                }
            }
        }))
        .await;
    }

    async fn idle_overlaps(&self) {
        let Some(idle) = self.0.idle_overlaps else { return };
        let mut ticks = interval((idle / 10).clamp(SHORTEST_LOOK, LONGEST_LOOK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(failure) = self.end_idle_overlaps(idle, |_| ()).await {
                self.tell(&Event::LedgerFailed(failure.to_string().into()));
            }
        }
    }

    /// Does once what is due, up to 32 credentials. What fails is tried again later.
    pub async fn round(&self) -> Round {
        // Where it fails, so does what comes next, and says so.
        drop(self.follow_time().await);
        let keys = match self.0.ledger.due(BATCH).await {
            Ok(keys) => keys,
            Err(error) => {
                self.tell(&Event::LedgerFailed(error.to_string().into()));
                return Round::default();
            }
        };
        let (due, is_full) = (keys.len(), keys.len() == BATCH);
        let purges = stream::iter(keys).map(async |key| self.purge_or_put_off(&key, is_full).await);
        let purged: Vec<_> = purges.buffer_unordered(AT_ONCE).collect().await;
        Round {
            due,
            forgotten: purged.iter().map(|(forgotten, _)| forgotten).sum(),
            failed: purged.iter().map(|(_, failed)| failed).sum(),
        }
    }

    /// Does what is due of one credential. What cannot be done now makes room for others where `others_wait`.
    async fn purge_or_put_off(&self, key: &CredentialKey, others_wait: bool) -> (usize, usize) {
        let purged = self.purge(key, IN_THE_BACKGROUND).await;
        if others_wait && matches!(purged, Ok((0, 0))) {
            self.make_room(key).await;
        }
        purged.unwrap_or_else(|failure| {
            self.tell(&Event::LedgerFailed(failure.to_string().into()));
            (0, 1)
        })
    }

    /// Tries at once what is due of one credential, for a bounded time. What fails is still owed.
    pub(super) async fn purge_now(&self, key: &CredentialKey) {
        self.at_stage("purge");
        if let Err(failure) = self.purge(key, ON_THE_SPOT).await {
            self.tell(&Event::LedgerFailed(failure.to_string().into()));
        }
    }

    /// Does what is due of one credential; how many places were forgotten, and how many were not.
    async fn purge(&self, key: &CredentialKey, bound: Duration) -> Result<(usize, usize), Failure<L::Error>> {
        let (mut forgotten, mut failed, mut may_repair) = (0, 0, true);
        while let Some(job) = self.claim(key, may_repair).await? {
            match job {
                Job::Forget(claim) => match self.carry_out(key, &claim, bound).await? {
                    true => forgotten += 1,
                    false => failed += 1,
                },
                Job::FinishRepair(place) => {
                    may_repair = false;
                    failed += usize::from(!self.repair_or_put_off(key, &place).await?);
                }
            }
        }
        Ok((forgotten, failed))
    }

    async fn claim(&self, key: &CredentialKey, may_repair: bool) -> Result<Option<Job>, Failure<L::Error>> {
        self.edit(key, |state, note, now| {
            let secrets = state.active().and_then(|row| row.secrets.as_ref());
            note.name_places(|noted| self.place_of(noted));
            note.settle_dead(state, &secrets.map(|secrets| self.counting(secrets, now)).unwrap_or_default(), now);
            if let (State::Active(_), Some(place), true) = (state, note.repair_due(now), may_repair) {
                return Some(Job::FinishRepair(place));
            }
            let waits =
                self.has(Flaw::WaitsForDeletions) && note.open.as_ref().is_some_and(|open| open.lease_until > now);
            let may_forget = |debt: &Debt| !waits && self.may_delete(debt.place.backend());
            let claim = note.claim(now, now + CLAIM_LIFE, may_forget);
            claim.map(|claim| Job::Forget(Box::new(claim)))
        })
        .await
    }

    /// Puts off what the gate keeps from being carried out, so that it does not take the turn of what may be.
    async fn make_room(&self, key: &CredentialKey) {
        let put_off = self.edit(key, |_, note, now| note.put_off(now, now + FIRST_WAIT));
        if let Err(failure) = put_off.await {
            self.tell(&Event::LedgerFailed(failure.to_string().into()));
        }
    }

    /// Finishes a repair that was left, or tries it again later, and says whether it has not failed.
    async fn repair_or_put_off(&self, key: &CredentialKey, place: &StoredSecret) -> Result<bool, Failure<L::Error>> {
        let error = match self.finish_repair(key, place).await {
            // A write of another is under way, and looks after it.
            Ok(()) | Err(Failure::Busy | Failure::Ended) => return Ok(true),
            Err(Failure::Backend(error)) => error,
            Err(failure) => return Err(failure),
        };
        let wait = self
            .edit(key, |_, note, now| {
                let attempts = note.failed_repairs(place);
                let wait = if error.kind() == ErrorKind::Malformed { ELSEWHERE_WAIT } else { wait_after(attempts) };
                note.repair_failed(place, now + wait);
                wait
            })
            .await?;
        let error = error.with_operation(Operation::Rotate).with_backend(place.backend().clone());
        self.tell(&Event::NotRepaired(key.clone(), error, wait));
        Ok(false)
    }

    /// Says whether the place was forgotten, or nothing has to be there.
    async fn carry_out(&self, key: &CredentialKey, claim: &Claim, bound: Duration) -> Result<bool, Failure<L::Error>> {
        let outcome = match timeout(bound, self.forget(key, claim)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the backend is slow to forget").into()),
        };
        let error = match outcome {
            Ok(false) => {
                self.edit(key, |_, note, _| note.let_be(claim)).await?;
                return Ok(true);
            }
            Ok(true) => {
                self.edit(key, |_, note, now| {
                    note.done(claim, now);
                    if claim.debt.kind == DebtKind::Delete && self.has(Flaw::DeletesOnce) {
                        note.paid(&claim.debt.place);
                    }
                })
                .await?;
                self.tell(&Event::Forgotten(key.clone()));
                return Ok(true);
            }
            Err(Failure::Backend(error)) => error,
            Err(Failure::Busy) => Error::new(ErrorKind::Conflict, "another write of this credential is under way"),
            Err(failure) => return Err(failure),
        };
        let wait = if error.kind() == ErrorKind::Malformed { ELSEWHERE_WAIT } else { wait_after(claim.debt.attempts) };
        self.edit(key, |_, note, now| note.failed(claim, now + wait)).await?;
        let error = error.with_operation(Operation::Revoke).with_backend(claim.debt.place.backend().clone());
        self.tell(&Event::NotForgotten(key.clone(), error, wait));
        Ok(false)
    }

    /// Says no where nothing of what was owed is there, and another's is.
    async fn forget(&self, key: &CredentialKey, claim: &Claim) -> Result<bool, Failure<L::Error>> {
        let (backend, _) = self.0.store.claim(Operation::Revoke, &claim.debt.place)?;
        if backend.info().custody == Custody::Record && backend.info().id == *claim.debt.place.backend() {
            // A digest, noted while its backend was not configured: it went with the row.
            return Ok(false);
        }
        let backend = self.backend_at(key, &claim.debt.place)?;
        let forgets = self.has(Flaw::DeletesLeftPlaces) || self.has(Flaw::WaitsForDeletions);
        match claim.debt.kind {
            DebtKind::Delete => return self.delete(key, backend, claim).await,
            DebtKind::Blank if forgets => backend.forget(key).await?,
            DebtKind::Blank | DebtKind::Rest => self.blank(key, backend, claim).await?,
        }
        Ok(true)
    }
}

fn wait_after(attempts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempts)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits = [0, 1, 2, 5, 6, 40, u32::MAX].map(|attempts| wait_after(attempts).as_secs());
        assert_eq!(waits, [5, 10, 20, 160, 300, 300, 300]);
    }
}
