//! When secrets were last proved.
//!
//! A proof is noted in memory and costs its answer nothing more. Once a minute what was noted is written in batches, so a credential
//! takes one write a minute of each process, however often it is used, and a process that dies loses the last minute. It takes another
//! one when its row was changed within the minute, and where more than 50,000 are used, the minute is shorter.
//!
//! A rotation makes the current secret the previous one. What is written after it of uses before it is told apart by time.

mod kept;
mod ledger;
mod noted;
mod record;

use std::future::pending;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::kept::Direct;
pub(crate) use self::kept::Kept;
pub use self::ledger::UsageLedger;
pub use self::record::{Usage, Use};
use super::flaw::Flaw;
use super::ledger::Ledger;
use super::revision::Revision;
use super::{Event, Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::store::Generation;

/// Time between two writes, and what a kill may lose.
const PERIOD: Duration = Duration::from_secs(60);

/// How much later than its use a process has written it, unless the database keeps it from that: twice as long, since a write takes
/// its time.
pub(super) const LATEST_WRITE: Duration = PERIOD.saturating_mul(2);

impl<L: UsageLedger> Lifecycle<L> {
    /// Notes which credential was proved, by which of its secrets, and when. [`work`](Self::work) writes it once a minute; a process that
    /// does not call it calls [`keep_usage`](Self::keep_usage).
    ///
    /// So a credential costs at most one write a minute of each process that proves it, and another one when its row was changed within
    /// the minute. Beyond 50,000 credentials that were used since the last write, a process does not wait for the minute.
    #[must_use]
    pub fn with_usage(self) -> Self {
        self.with(|inner| inner.usage = Some(Kept::by(Direct)))
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
        let mut has_failed = false;
        loop {
            let early = async {
                // What cannot be written is tried again once a minute, however many there are.
                if has_failed { pending().await } else { usage.noted.is_full().await }
            };
            let due = async {
                select(pin!(ticks.tick()), pin!(early)).await;
            };
            let is_over = matches!(select(stop.as_mut(), pin!(due)).await, Either::Left(_));
            has_failed = self.write(usage).await.is_none();
            if is_over {
                return;
            }
        }
    }

    /// Writes now what was noted of uses; how many credentials they are of, or 0 where not all of it could be written: then it stays
    /// noted. Call it once more when nothing logs in any more.
    pub async fn write_uses(&self) -> usize {
        match &self.0.usage {
            Some(usage) => self.write(usage).await.unwrap_or_default(),
            None => 0,
        }
    }

    async fn write(&self, usage: &Kept<L>) -> Option<usize> {
        let _writer = usage.writer.lock().await;
        let batches = usage.noted.begin();
        for batch in &batches {
            if let Err(error) = usage.keeper.note_uses(&self.0.ledger, batch).await {
                self.tell(&Event::LedgerFailed(error.to_string().into()));
                return None;
            }
        }
        usage.noted.written();
        Some(batches.iter().map(Vec::len).sum())
    }

    pub(super) fn note_use(&self, key: &CredentialKey, by: Option<Revision>, generation: Generation, at: SystemTime) {
        if let Some(usage) = &self.0.usage {
            let by = by.filter(|_| !self.has(Flaw::NotesOneTime));
            usage.noted.note(key, by, generation, at);
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

    /// When the credential's secrets were last proved: by this process until now, by others until at most a minute ago. Nothing without
    /// [`with_usage`](Self::with_usage).
    ///
    /// # Errors
    /// [`Failure::Ledger`].
    pub async fn usage(&self, key: &CredentialKey) -> Result<Usage, Failure<L::Error>> {
        Ok(self.usages(std::slice::from_ref(key)).await?.first().copied().unwrap_or_default())
    }

    /// When each of up to a thousand credentials was made, as far as the ledger knows.
    pub(super) async fn created(&self, keys: &[CredentialKey]) -> Result<Vec<Option<SystemTime>>, Failure<L::Error>> {
        match &self.0.usage {
            Some(usage) => usage.keeper.created(&self.0.ledger, keys).await.map_err(Failure::Ledger),
            None => Ok(vec![None; keys.len()]),
        }
    }

    /// The same of each of up to a thousand credentials.
    pub(super) async fn usages(&self, keys: &[CredentialKey]) -> Result<Vec<Usage>, Failure<L::Error>> {
        let Some(usage) = &self.0.usage else { return Ok(vec![Usage::default(); keys.len()]) };
        // First, since what is written meanwhile is noted no more.
        let noted: Vec<_> = keys.iter().map(|key| usage.noted.of(key)).collect();
        let kept = usage.keeper.usages(&self.0.ledger, keys).await.map_err(Failure::Ledger)?;
        let mut usages: Vec<_> =
            kept.into_iter().zip(&noted).map(|(kept, noted)| noted.iter().fold(kept, Usage::with)).collect();
        if self.has(Flaw::EndsUsedOverlaps) {
            usages.iter_mut().for_each(|usage| usage.previous_last_used_at = None);
        }
        Ok(usages)
    }
}

#[cfg(test)]
mod tests;
