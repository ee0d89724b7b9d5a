//! One event for every operation.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::backend::{BackendInfo, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{ErrorKind, Operation, Result};
use crate::layer::Layer;
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// Gets an [`Event`] for every operation: the place for metrics, logs and alarms.
///
/// It is called on the thread that serves the request, and while a dropped call is being cleaned up: it must neither
/// block nor panic.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Takes note of one operation.
    fn record(&self, event: &Event);
}

/// What happened. It names nobody: no key, no record, no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The verb.
    pub operation: Operation,
    /// The backend that was asked.
    pub backend: BackendId,
    /// How it ended.
    pub outcome: Outcome,
    /// From the call to its end, waiting in inner layers included.
    pub elapsed: Duration,
}

/// How an operation ended. `Display` gives a short `snake_case` word that can be a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The caller dropped the call before it was decided (a client that hung up, a deadline further out), or it
    /// panicked. Whether a write took effect is unknown.
    Cancelled,
    /// Anything but `verify` succeeded.
    Done,
    /// An error of this kind.
    Failed(ErrorKind),
    /// The candidate is the secret.
    Match,
    /// The candidate is the secret, and the record is worth an upgrade.
    MatchOutdated,
    /// The candidate was the secret when the backend could last be asked.
    MatchStale,
    /// The candidate is not the secret.
    Mismatch,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Done => f.write_str("ok"),
            Self::Failed(kind) => kind.fmt(f),
            Self::Match => f.write_str("match"),
            Self::MatchOutdated => f.write_str("match_outdated"),
            Self::MatchStale => f.write_str("match_stale"),
            Self::Mismatch => f.write_str("mismatch"),
        }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Match => Self::Match,
            Verdict::MatchOutdated => Self::MatchOutdated,
            Verdict::MatchStale => Self::MatchStale,
            Verdict::Mismatch => Self::Mismatch,
        }
    }
}

/// Reports every operation to an [`Observer`], exactly once, dropped calls too: clients that give up on a slow backend
/// are what an operator needs to see.
///
/// # Order
/// Outermost. Inside of [`TimeoutLayer`](super::TimeoutLayer) a backend that hangs shows as cancelled calls instead of
/// failures; inside of [`RetryLayer`](super::RetryLayer) one request counts as several, and the pauses are missing from
/// the time.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
}

impl ObserveLayer {
    /// Reports to `observer`.
    #[must_use]
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, clock: Arc::new(SystemClock) }
    }

    /// Sets the clock that durations are measured with.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Layer for ObserveLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Observe { inner, layer: self.clone() })
    }
}

#[derive(Debug)]
struct Observe {
    inner: SharedBackend,
    layer: ObserveLayer,
}

impl Observe {
    async fn observed<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T>> + Send,
        outcome: fn(&T) -> Outcome,
    ) -> Result<T>
    where
        T: Send,
    {
        let started = self.layer.clock.instant();
        let mut report = Report { observe: self, operation, started, outcome: Outcome::Cancelled };
        let result = call.await;
        report.outcome = match &result {
            Ok(value) => outcome(value),
            Err(error) => Outcome::Failed(error.kind()),
        };
        result
    }
}

/// Reports when it is dropped, so that a dropped call reports too.
struct Report<'a> {
    observe: &'a Observe,
    operation: Operation,
    started: Instant,
    outcome: Outcome,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let ObserveLayer { observer, clock } = &self.observe.layer;
        observer.record(&Event {
            operation: self.operation,
            backend: self.observe.inner.info().id.clone(),
            outcome: self.outcome,
            elapsed: clock.instant().saturating_duration_since(self.started),
        });
    }
}

/// Reports each record that is recalled. Opening the memory counts towards the first.
struct Recalling<'a> {
    observe: &'a Observe,
    inner: Box<dyn Recall + 'a>,
    /// When the work on the next record began: at the end of the last one, if that was recalled.
    started: Option<Instant>,
}

impl Recall for Recalling<'_> {
    fn recall(&mut self, key: &CredentialKey, stored: &StoredSecret) -> Option<Verdict> {
        let ObserveLayer { observer, clock } = &self.observe.layer;
        let started = self.started.take().unwrap_or_else(|| clock.instant());
        let verdict = self.inner.recall(key, stored)?;
        let ended = clock.instant();
        self.started = Some(ended);
        observer.record(&Event {
            operation: Operation::Verify,
            backend: self.observe.inner.info().id.clone(),
            outcome: verdict.into(),
            elapsed: ended.saturating_duration_since(started),
        });
        Some(verdict)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Observe {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        self.inner.place(key)
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        self.inner.points_to(stored)
    }

    fn recognises(&self, text: &str) -> bool {
        self.inner.recognises(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.observed(Operation::Store, self.inner.store(key, secret), |_| Outcome::Done).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let call = self.inner.verify(key, stored, candidate);
        self.observed(Operation::Verify, call, |&verdict| verdict.into()).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        let started = self.layer.clock.instant();
        let recalled = self.inner.recall(key, stored, candidate);
        if let Some(verdict) = recalled {
            drop(Report { observe: self, operation: Operation::Verify, started, outcome: verdict.into() });
        }
        recalled
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        let started = self.layer.clock.instant();
        Box::new(Recalling { observe: self, inner: self.inner.recall_for(client, candidate), started: Some(started) })
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.observed(Operation::Pin, self.inner.pin(key, stored), |_| Outcome::Done).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.observed(Operation::Pin, self.inner.inspect(key, version), |_| Outcome::Done).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.observed(Operation::Rotate, self.inner.overwrite(key, latest, secret), |_| Outcome::Done).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.observed(Operation::Reveal, self.inner.reveal(key, stored), |_| Outcome::Done).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.observed(Operation::Rotate, self.inner.rotate(key, current, secret), |_| Outcome::Done).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.observed(Operation::Revoke, self.inner.revoke(key, stored), |()| Outcome::Done).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.observed(Operation::Revoke, self.inner.forget(key), |()| Outcome::Done).await
    }

    async fn probe(&self) -> Result<()> {
        self.observed(Operation::Probe, self.inner.probe(), |()| Outcome::Done).await
    }
}

#[cfg(test)]
mod tests;
