//! When secrets were last proved.
//!
//! A proof is noted in memory and costs its answer nothing more. Once a minute what was noted is written in batches, so a credential
//! takes one write a minute of each process, however often it is used, and a process that dies loses the last minute.
//!
//! A rotation makes the current secret the previous one. What is written after it of uses before it is told apart by time.

mod noted;

use std::fmt;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::{Either, select};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub(super) use self::noted::Noted;
use super::ledger::Ledger;
use super::{Event, Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::store::Generation;

/// Time between two writes, and what a kill may lose.
const PERIOD: Duration = Duration::from_secs(60);

/// Credentials of one statement.
const BATCH: usize = 1000;

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
    /// The same with a use. Later times stay. What was the current secret before [`since`](Self::since) is the previous one now, and
    /// what was the previous one is no more.
    #[must_use]
    pub fn with(self, used: &Use) -> Self {
        let is_older = |at: &SystemTime| self.since.is_some_and(|since| *at < since);
        let (older, current) = (used.current.filter(is_older), used.current.filter(|at| !is_older(at)));
        let previous = used.previous.filter(|at| !is_older(at));
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

/// A ledger that keeps the [`Usage`] of its credentials, in a table of its own: a use changes nothing that authentication reads, and
/// must wake nobody who keeps rows in memory. [`Lifecycle::with_usage`] switches it on.
#[async_trait]
pub trait UsageLedger: Ledger {
    /// Adds uses as [`Usage::with`] says, all of them in one statement, in the order in which they are given, so that two processes wait
    /// for each other and never in a circle. No key is among them twice.
    ///
    /// # Errors
    /// Those of the database; the uses are given again.
    async fn note_uses(&self, uses: &[Use]) -> Result<(), Self::Error>;

    /// Changes the usage as [`Usage::rotated`] says, in one statement: a read before it would lose what is noted between the two.
    ///
    /// # Errors
    /// Those of the database.
    async fn rotate_usage(&self, tx: &mut Self::Tx, key: &CredentialKey, now: SystemTime) -> Result<(), Self::Error>;

    /// What is kept of a credential.
    ///
    /// # Errors
    /// Those of the database.
    async fn usage(&self, key: &CredentialKey) -> Result<Usage, Self::Error>;
}

/// The same for a lifecycle whose ledger need not be one.
#[async_trait]
pub(super) trait Keeper<L: Ledger>: Send + Sync {
    async fn note_uses(&self, ledger: &L, uses: &[Use]) -> Result<(), L::Error>;
    async fn rotate(&self, ledger: &L, tx: &mut L::Tx, key: &CredentialKey, now: SystemTime) -> Result<(), L::Error>;
    async fn usage(&self, ledger: &L, key: &CredentialKey) -> Result<Usage, L::Error>;
}

struct Direct;

#[async_trait]
impl<L: UsageLedger> Keeper<L> for Direct {
    async fn note_uses(&self, ledger: &L, uses: &[Use]) -> Result<(), L::Error> {
        ledger.note_uses(uses).await
    }

    async fn rotate(&self, ledger: &L, tx: &mut L::Tx, key: &CredentialKey, now: SystemTime) -> Result<(), L::Error> {
        ledger.rotate_usage(tx, key, now).await
    }

    async fn usage(&self, ledger: &L, key: &CredentialKey) -> Result<Usage, L::Error> {
        ledger.usage(key).await
    }
}

/// What a lifecycle has that keeps usage.
pub(super) struct Kept<L> {
    noted: Noted,
    keeper: Box<dyn Keeper<L>>,
}

impl<L: UsageLedger> Lifecycle<L> {
    /// Notes which credential was proved, by which of its secrets, and when. [`work`](Self::work) writes it once a minute; a process that
    /// does not call it calls [`keep_usage`](Self::keep_usage).
    #[must_use]
    pub fn with_usage(self) -> Self {
        self.with(|inner| inner.usage = Some(Kept { noted: Noted::default(), keeper: Box::new(Direct) }))
    }

    /// When the credential's secrets were last proved: by this process until now, by others until at most a minute ago.
    ///
    /// # Errors
    /// [`Failure::Ledger`].
    pub async fn usage(&self, key: &CredentialKey) -> Result<Usage, Failure<L::Error>> {
        let kept = self.0.ledger.usage(key).await.map_err(Failure::Ledger)?;
        let noted = self.0.usage.as_ref().and_then(|usage| usage.noted.of(key));
        Ok(noted.map_or(kept, |noted| kept.with(&noted)))
    }
}

impl<L: Ledger> Lifecycle<L> {
    /// Writes once a minute what was noted of uses, until `stop` is done, and then once more. Each process does it for itself. What
    /// cannot be written stays noted. Does nothing without [`with_usage`](Self::with_usage).
    pub async fn keep_usage(&self, stop: impl Future<Output = ()> + Send) {
        let Some(usage) = &self.0.usage else { return stop.await };
        let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = pin!(stop);
        loop {
            let due = async {
                select(pin!(ticks.tick()), pin!(usage.noted.is_full())).await;
            };
            let is_over = matches!(select(stop.as_mut(), pin!(due)).await, Either::Left(_));
            self.write_uses().await;
            if is_over {
                return;
            }
        }
    }

    /// Writes now what was noted of uses; how many credentials they are of.
    pub async fn write_uses(&self) -> usize {
        let Some(usage) = &self.0.usage else { return 0 };
        let uses = usage.noted.take();
        let mut written = 0;
        for batch in uses.chunks(BATCH) {
            if let Err(error) = usage.keeper.note_uses(&self.0.ledger, batch).await {
                self.tell(&Event::LedgerFailed(error.to_string().into()));
                uses.iter().skip(written).for_each(|left| usage.noted.add(left));
                break;
            }
            written += batch.len();
        }
        written
    }

    pub(super) fn note_use(&self, key: &CredentialKey, generation: Generation) {
        if let Some(usage) = &self.0.usage {
            usage.noted.note(key, generation, self.0.store.now());
        }
    }

    /// The current secret becomes the previous one, in the transaction of that.
    pub(super) async fn rotate_usage(
        &self,
        tx: &mut L::Tx,
        key: &CredentialKey,
        now: SystemTime,
    ) -> Result<(), L::Error> {
        match &self.0.usage {
            Some(usage) => usage.keeper.rotate(&self.0.ledger, tx, key, now).await,
            None => Ok(()),
        }
    }

    /// When the previous secret was last proved, as far as this process knows. None without [`with_usage`](Self::with_usage).
    pub(super) async fn previous_use(&self, key: &CredentialKey) -> Result<Option<SystemTime>, Failure<L::Error>> {
        let Some(usage) = &self.0.usage else { return Ok(None) };
        let kept = usage.keeper.usage(&self.0.ledger, key).await.map_err(Failure::Ledger)?;
        let all = usage.noted.of(key).map_or(kept, |noted| kept.with(&noted));
        Ok(all.previous_last_used_at)
    }
}

impl<L> fmt::Debug for Kept<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
