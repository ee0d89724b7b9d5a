//! A keeper whose database is out of reach, or slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::process;
use crate::credential::CredentialKey;
use crate::lifecycle::usage::Kept;
use crate::lifecycle::usage::kept::{Direct, Keeper};
use crate::lifecycle::{Lifecycle, MemoryError, MemoryLedger, MemoryTx, Usage, Use};

#[derive(Clone)]
pub(super) struct Disturbed(Arc<State>);

struct State {
    fails: AtomicBool,
    calls: AtomicUsize,
    /// Each call takes one.
    permits: Semaphore,
}

impl Disturbed {
    pub(super) fn new() -> Self {
        let permits = Semaphore::new(Semaphore::MAX_PERMITS);
        Self(Arc::new(State { fails: AtomicBool::new(false), calls: AtomicUsize::new(0), permits }))
    }

    /// A process like `other` that keeps its uses by this.
    pub(super) fn process(&self, other: &Lifecycle<MemoryLedger>) -> Lifecycle<MemoryLedger> {
        process(other.store(), other.ledger()).with(|inner| inner.usage = Some(Kept::by(self.clone())))
    }

    pub(super) fn fails(&self, fails: bool) {
        self.0.fails.store(fails, Ordering::Relaxed);
    }

    /// Calls come to no end from now on.
    pub(super) fn hold(&self) {
        self.0.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn release(&self) {
        self.0.permits.add_permits(Semaphore::MAX_PERMITS);
    }

    /// How many statements were begun.
    pub(super) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Keeper<MemoryLedger> for Disturbed {
    async fn note_uses(&self, ledger: &MemoryLedger, uses: &[Use]) -> Result<(), MemoryError> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let _permit = self.0.permits.acquire().await;
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(MemoryError::new("out of reach"));
        }
        Direct.note_uses(ledger, uses).await
    }

    async fn rotate(
        &self,
        ledger: &MemoryLedger,
        tx: &mut MemoryTx,
        key: &CredentialKey,
        now: SystemTime,
    ) -> Result<(), MemoryError> {
        Direct.rotate(ledger, tx, key, now).await
    }

    async fn usages(&self, ledger: &MemoryLedger, keys: &[CredentialKey]) -> Result<Vec<Usage>, MemoryError> {
        Direct.usages(ledger, keys).await
    }

    async fn created(
        &self,
        ledger: &MemoryLedger,
        keys: &[CredentialKey],
    ) -> Result<Vec<Option<SystemTime>>, MemoryError> {
        Direct.created(ledger, keys).await
    }
}
