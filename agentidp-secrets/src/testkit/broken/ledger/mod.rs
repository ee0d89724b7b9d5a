//! A ledger with a flaw.

mod flaw;
mod reading;
mod writing;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

pub use self::flaw::LedgerFlaw;
use crate::clock::{Clock, SystemClock};
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::{
    AsOf, ClientRows, CommitError, Entry, Freshness, Ledger, MemoryError, MemoryLedger, MemoryTx, Note, Row,
};
use crate::selector::Selector;
use crate::testkit::ledger_harness::LedgerHarness;

/// A ledger in memory with a flaw, or with none. Clones are handles on one database, and the ledger is its own harness.
///
/// Its clock is a year behind the machine's.
#[derive(Clone)]
pub struct BrokenLedger {
    flaw: Option<LedgerFlaw>,
    inner: MemoryLedger,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    loses_answer: AtomicBool,
    everything: Arc<AsyncMutex<()>>,
    state: Mutex<FlawState>,
}

/// What flaws remember.
#[derive(Default)]
struct FlawState {
    served: HashMap<ClientId, ClientRows>,
    first_due: HashMap<CredentialKey, Option<SystemTime>>,
    ended: HashSet<CredentialKey>,
}

/// A transaction of a [`BrokenLedger`].
pub struct BrokenTx {
    tx: Option<MemoryTx>,
    ledger: BrokenLedger,
    locks_everything: Option<OwnedMutexGuard<()>>,
    rows: usize,
    has_failed: bool,
    time: Option<SystemTime>,
}

impl BrokenLedger {
    /// A ledger with this flaw.
    #[must_use]
    pub fn new(flaw: LedgerFlaw) -> Self {
        Self { flaw: Some(flaw), ..Self::sound() }
    }

    /// A ledger without a flaw.
    #[must_use]
    pub fn sound() -> Self {
        Self { flaw: None, inner: MemoryLedger::with_clock(Arc::new(YearBehind)), shared: Arc::default() }
    }

    fn has(&self, flaw: LedgerFlaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn state(&self) -> MutexGuard<'_, FlawState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BrokenTx {
    /// The transaction below; one that has written nothing, after the commit.
    fn below(&mut self) -> &mut MemoryTx {
        self.tx.get_or_insert_default()
    }
}

impl Drop for BrokenTx {
    fn drop(&mut self) {
        if self.ledger.has(LedgerFlaw::CommitsOnDrop) {
            // In memory a commit does not wait.
            let _ = self.tx.take().and_then(|tx| self.ledger.inner.commit(tx).now_or_never());
        }
    }
}

#[async_trait]
impl Ledger for BrokenLedger {
    type Tx = BrokenTx;
    type Error = MemoryError;

    async fn begin(&self) -> Result<BrokenTx, MemoryError> {
        let tx = Some(self.inner.begin().await?);
        Ok(BrokenTx { tx, ledger: self.clone(), locks_everything: None, rows: 0, has_failed: false, time: None })
    }

    async fn commit(&self, mut tx: BrokenTx) -> Result<(), CommitError<MemoryError>> {
        let below = tx.tx.take().unwrap_or_default();
        if tx.has_failed && self.has(LedgerFlaw::AbortedIsDone) {
            return Ok(());
        }
        self.inner.commit(below).await?;
        let is_lost = self.shared.loses_answer.swap(false, Ordering::SeqCst);
        let lost = || MemoryError::new("the answer was lost");
        match self.flaw {
            _ if !is_lost => Ok(()),
            Some(LedgerFlaw::LostIsDone) => Ok(()),
            Some(LedgerFlaw::LostIsNotDone) => Err(CommitError::NotDone(lost())),
            _ => Err(CommitError::Unknown(lost())),
        }
    }

    async fn now(&self, tx: &mut BrokenTx) -> Result<SystemTime, MemoryError> {
        let now = self.inner.now(tx.below()).await?;
        Ok(match self.flaw {
            Some(LedgerFlaw::TimeStandsStill) => *tx.time.get_or_insert(now),
            Some(LedgerFlaw::TimeGoesBack) => {
                let earlier = tx.time.unwrap_or(now) - Duration::from_millis(1);
                *tx.time.insert(earlier)
            }
            _ => now,
        })
    }

    async fn lock(&self, tx: &mut BrokenTx, key: &CredentialKey) -> Result<Entry, MemoryError> {
        self.locked(tx, key).await
    }

    async fn insert(&self, tx: &mut BrokenTx, row: &Row) -> Result<(), MemoryError> {
        self.insert_row(tx, row).await
    }

    async fn replace(&self, tx: &mut BrokenTx, row: &Row) -> Result<(), MemoryError> {
        self.replace_row(tx, row).await
    }

    async fn end(&self, tx: &mut BrokenTx, key: &CredentialKey) -> Result<(), MemoryError> {
        self.end_row(tx, key).await
    }

    async fn note(&self, tx: &mut BrokenTx, key: &CredentialKey, note: Option<&Note>) -> Result<(), MemoryError> {
        self.write_note(tx, key, note).await
    }

    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>, MemoryError> {
        self.due_keys(limit).await
    }

    async fn rows(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, MemoryError> {
        self.rows_of(client, freshness).await
    }

    async fn find(&self, selectors: &[Selector]) -> Result<Option<Vec<(ClientId, ClientRows)>>, MemoryError> {
        let found = self.inner.find(selectors).await?;
        let has_current = |rows: &ClientRows| {
            let candidates = rows.known.iter().flat_map(|known| known.candidates());
            candidates.filter_map(|(_, secrets)| secrets.selector.as_ref()).any(|selector| selectors.contains(selector))
        };
        let keeps = |rows: &ClientRows| !self.has(LedgerFlaw::FindsCurrentOnly) || has_current(rows);
        Ok(found.map(|found| found.into_iter().filter(|(_, rows)| keeps(rows)).collect()))
    }

    async fn unfindable(&self, limit: usize) -> Result<Vec<ClientId>, MemoryError> {
        self.inner.unfindable(limit).await
    }

    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, MemoryError> {
        self.page_of(after, limit).await
    }

    fn is_current(&self, _client: &ClientId, _as_of: AsOf, _expires_at: Option<SystemTime>) -> bool {
        self.has(LedgerFlaw::AlwaysCurrent)
    }
}

#[async_trait]
impl LedgerHarness for BrokenLedger {
    type Ledger = Self;

    async fn ledger(&self) -> Self {
        self.clone()
    }

    async fn expire(&self, key: &CredentialKey) -> bool {
        self.inner.expire(key).await
    }

    async fn suspend(&self, client: &ClientId) -> bool {
        LedgerHarness::suspend(&self.inner, client).await
    }

    async fn damage(&self, key: &CredentialKey) -> bool {
        self.inner.damage(key).await
    }

    async fn lose_next_answer(&self) -> bool {
        self.shared.loses_answer.store(true, Ordering::SeqCst);
        true
    }
}

impl fmt::Debug for BrokenLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenLedger").field("flaw", &self.flaw).field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Debug for BrokenTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenTx").field("tx", &self.tx).finish_non_exhaustive()
    }
}

/// Tells a ledger that obeys its own time from one that obeys the machine's.
#[derive(Debug)]
struct YearBehind;

impl Clock for YearBehind {
    fn now(&self) -> SystemTime {
        SystemClock.now() - Duration::from_secs(365 * 24 * 3600)
    }

    fn instant(&self) -> Instant {
        SystemClock.instant()
    }
}

#[cfg(test)]
mod tests;
