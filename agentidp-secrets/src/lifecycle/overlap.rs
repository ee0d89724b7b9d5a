//! The end of an overlap, before its time.

use std::time::{Duration, SystemTime};

use super::commit::{Committed, Replacement, Why, Write};
use super::ledger::{Change, Ledger};
use super::places::without_past;
use super::revision::Revision;
use super::rows::Row;
use super::usage::{LATEST_WRITE, Usage};
use super::{ATTEMPTS, Event, Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::store::CredentialSecrets;

/// Credentials of one read.
const PAGE: usize = 1000;

/// What has to be known of the previous secret's use.
#[derive(Clone, Copy)]
enum Evidence {
    None,
    /// Nothing is known of a use within so long.
    NoUseWithin(Duration),
    /// It was not used for so long.
    IdleFor(Duration),
}

impl Evidence {
    /// When the secret was used, or may have been, if that is too lately.
    fn contradicted_by(self, usage: &Usage, now: SystemTime) -> Option<SystemTime> {
        let (at, rest) = match self {
            Self::None => return None,
            Self::NoUseWithin(time) => (usage.previous_last_used_at?, time),
            Self::IdleFor(time) => (idle_since(usage).unwrap_or(now), time.saturating_add(LATEST_WRITE)),
        };
        at.checked_add(rest).is_none_or(|end| end > now).then_some(at)
    }
}

/// The previous secret's last use, or the rotation that made it the previous one. None where nothing is known of that rotation: then
/// nothing is known of what came after it.
fn idle_since(usage: &Usage) -> Option<SystemTime> {
    usage.since.map(|since| usage.previous_last_used_at.map_or(since, |at| at.max(since)))
}

impl<L: Ledger> Lifecycle<L> {
    /// Ends the overlap of a rotation early: the previous secret does not work any more when this returns.
    ///
    /// # Errors
    /// [`Failure`]: `NoPrevious` where there is none that counts.
    pub async fn end_previous(&self, key: &CredentialKey, change: impl Change<L>) -> Result<(), Failure<L::Error>> {
        self.end_previous_where(key, Evidence::None, change).await
    }

    /// The same, unless the previous secret was proved `within` so long: then whoever uses it would be refused. Other processes
    /// tell of a use up to a minute late, so take more than that. Without [`with_usage`](Self::with_usage) nothing is known of any use.
    ///
    /// # Errors
    /// [`Failure`]: `NoPrevious` as above, and `PreviousInUse`.
    pub async fn end_previous_unless_used(
        &self,
        key: &CredentialKey,
        within: Duration,
        change: impl Change<L>,
    ) -> Result<(), Failure<L::Error>> {
        let evidence = if within.is_zero() { Evidence::None } else { Evidence::NoUseWithin(within) };
        self.end_previous_where(key, evidence, change).await
    }

    /// Has [`work`](Self::work) end overlaps whose previous secret is [idle](Self::end_idle_overlaps) for so long, without waiting for
    /// their time. It looks ten times within `idle`, at most once a minute and at least once an hour. One process is enough.
    #[must_use]
    pub fn with_idle_overlaps(self, idle: Duration) -> Self {
        self.with(|inner| inner.idle_overlaps = Some(idle))
    }

    /// Ends each overlap whose previous secret was not proved for `idle`, neither since the rotation nor since its last use; how many
    /// they were. The end of the overlap stays the latest time. `change` makes what is written with each end.
    ///
    /// Processes write uses up to a minute late, so it waits two minutes longer than `idle`. It needs
    /// [`with_usage`](Self::with_usage) in every process since before the rotation: an overlap of whose rotation the usage knows nothing
    /// lasts until its time. Where a rotation was noted, and a process without it makes the next one, the time of the first is taken for
    /// the second: so switch it on when no such process is left.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::{Duration, SystemTime};
    /// # use std::sync::Arc;
    /// # use agentidp_secrets::backends::Memory;
    /// # use agentidp_secrets::lifecycle::{Lifecycle, MemoryLedger};
    /// # use agentidp_secrets::{Clock, CredentialKey, ManualClock, SecretStore};
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// # let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + DAY));
    /// # let store = SecretStore::builder(Memory::new()).clock(Arc::<ManualClock>::clone(&clock)).build()?;
    /// # let ledger = MemoryLedger::with_clock(Arc::<ManualClock>::clone(&clock));
    /// # let life = Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task))).with_usage();
    /// # let key = CredentialKey::parse("agent-7", "credential-1")?;
    /// # life.issue(&key, ()).await?;
    /// life.rotate(&key, 30 * DAY, ()).await?;
    /// // A week later:
    /// # clock.advance(7 * DAY + Duration::from_secs(120));
    /// assert_eq!(life.end_idle_overlaps(7 * DAY, |_key| ()).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Failure::Ledger`] where rows or their usage cannot be read, `Backend`, `Unknown` and `Cut`. What was ended until then has ended.
    pub async fn end_idle_overlaps<C: Change<L>>(
        &self,
        idle: Duration,
        change: impl Fn(&CredentialKey) -> C + Send + Sync,
    ) -> Result<u64, Failure<L::Error>> {
        let (evidence, mut after, mut ended) = (Evidence::IdleFor(idle), None, 0);
        loop {
            let mut rows = self.0.ledger.page(after.as_ref(), PAGE).await.map_err(Failure::Ledger)?;
            let Some(last) = rows.last() else { return Ok(ended) };
            after = Some(last.key.clone());
            let now = self.0.store.now();
            let overlaps = |secrets: &CredentialSecrets| without_past(secrets, now).previous.is_some();
            rows.retain(|row| row.secrets.as_ref().is_some_and(overlaps));
            let keys: Vec<_> = rows.into_iter().map(|row| row.key).collect();
            let usages = if keys.is_empty() { Vec::new() } else { self.usages(&keys).await? };
            for (key, usage) in keys.iter().zip(usages) {
                if evidence.contradicted_by(&usage, now).is_some() {
                    continue;
                }
                match self.end_previous_where(key, evidence, change(key)).await {
                    Ok(()) => {
                        ended += 1;
                        self.tell(&Event::OverlapEnded(key.clone()));
                    }
                    // It was used, rotated or ended since it was read, or is being changed now.
                    Err(
                        Failure::PreviousInUse(_)
                        | Failure::NoPrevious
                        | Failure::NotFound
                        | Failure::Ended
                        | Failure::Busy,
                    ) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
    }

    async fn end_previous_where(
        &self,
        key: &CredentialKey,
        evidence: Evidence,
        change: impl Change<L>,
    ) -> Result<(), Failure<L::Error>> {
        let (life, key) = (self.clone(), key.clone());
        self.uncut(async move { life.previous_ended(&key, evidence, &change).await }).await
    }

    async fn previous_ended(
        &self,
        key: &CredentialKey,
        evidence: Evidence,
        change: &dyn Change<L>,
    ) -> Result<(), Failure<L::Error>> {
        for _ in 0..ATTEMPTS {
            let (row, now) = self.active(key).await?;
            let secrets = row.secrets.as_ref().filter(|secrets| without_past(secrets, now).previous.is_some());
            let secrets = secrets.ok_or(Failure::NoPrevious)?;
            if !matches!(evidence, Evidence::None) {
                let usage = self.usage(key).await?;
                evidence.contradicted_by(&usage, now).map_or(Ok(()), |at| Err(Failure::PreviousInUse(at)))?;
            }
            let secrets = CredentialSecrets { previous: None, ..secrets.clone() };
            let after = Row { secrets: Some(secrets), ..row.clone() };
            let write = Write::Replace { before: row.revision, after, kind: Replacement::OfTheSame };
            match self.commit(key, &write, Revision::fresh()?, change).await? {
                Committed::Done(_) => {
                    self.0.ledger.acknowledge(key.client_id()).await;
                    self.purge_now(key).await;
                    return Ok(());
                }
                Committed::Lost(Why::Changed | Why::WriteLost) => {}
                Committed::Lost(why) => return Err(why.into()),
            }
        }
        Err(Failure::Busy)
    }
}
