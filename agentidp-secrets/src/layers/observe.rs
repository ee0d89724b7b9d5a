//! One event for every operation.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::backend::{BackendInfo, Held, Pointer, SecretBackend, SharedBackend, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::credential::CredentialKey;
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
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use futures_util::FutureExt;

    use super::*;
    use crate::backend::Custody;
    use crate::clock::ManualClock;
    use crate::layer::stack;
    use crate::layers::WarmLayer;
    use crate::testkit::broken::BrokenBackend;
    use crate::testkit::{Fault, FaultLayer};

    #[derive(Debug, Default)]
    struct Journal(Mutex<Vec<Event>>);

    impl Observer for Journal {
        fn record(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    impl Journal {
        fn take(&self) -> Vec<(Operation, Outcome)> {
            self.0.lock().unwrap().drain(..).map(|event| (event.operation, event.outcome)).collect()
        }
    }

    fn observed() -> (Arc<Journal>, Arc<ManualClock>, FaultLayer, SharedBackend) {
        let (journal, faults) = (Arc::<Journal>::default(), FaultLayer::new());
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let layer = ObserveLayer::new(Arc::clone(&journal) as Arc<dyn Observer>).clock(Arc::clone(&clock) as _);
        let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults, &layer]);
        (journal, clock, faults, backend)
    }

    #[tokio::test]
    async fn every_operation_is_reported_once_with_its_outcome() {
        let (journal, _, faults, backend) = observed();
        let key = CredentialKey::parse("a", "c").unwrap();
        let (secret, wrong) = (ClientSecret::from("right"), ClientSecret::from("wrong"));
        let stored = backend.store(&key, &secret).await.unwrap();
        let _ = backend.verify(&key, &stored, &secret).await.unwrap();
        let _ = backend.verify(&key, &stored, &wrong).await.unwrap();
        faults.once(Operation::Verify, Fault::Fail(ErrorKind::Unavailable));
        backend.verify(&key, &stored, &secret).await.unwrap_err();
        backend.rotate(&key, &stored, &wrong).await.unwrap();
        backend.revoke(&key, &stored).await.unwrap();
        backend.probe().await.unwrap();
        assert_eq!(
            journal.take(),
            [
                (Operation::Store, Outcome::Done),
                (Operation::Verify, Outcome::Match),
                (Operation::Verify, Outcome::Mismatch),
                (Operation::Verify, Outcome::Failed(ErrorKind::Unavailable)),
                (Operation::Rotate, Outcome::Done),
                (Operation::Revoke, Outcome::Done),
                (Operation::Probe, Outcome::Done),
            ]
        );
    }

    #[tokio::test]
    async fn what_is_recalled_is_reported_as_a_verification() {
        let (journal, warm) = (Arc::<Journal>::default(), WarmLayer::builder().build().unwrap());
        let layer = ObserveLayer::new(Arc::clone(&journal) as Arc<dyn Observer>);
        let backend = stack(BrokenBackend::sound(Custody::Record), &[&warm, &layer]);
        let key = CredentialKey::parse("a", "c").unwrap();
        let stored = backend.store(&key, &"right".into()).await.unwrap();
        journal.take();
        assert_eq!(backend.recall(&key, &stored, &"right".into()), Some(Verdict::Match));
        assert_eq!(backend.recall(&key, &StoredSecret::new(BackendId::MEMORY, "other"), &"right".into()), None);
        assert_eq!(journal.take(), [(Operation::Verify, Outcome::Match)]);
    }

    #[tokio::test]
    async fn a_dropped_call_is_reported_as_cancelled_with_its_time() {
        let (journal, clock, faults, backend) = observed();
        faults.once(Operation::Probe, Fault::Hang);
        let mut call = backend.probe();
        assert!((&mut call).now_or_never().is_none());
        clock.advance(Duration::from_secs(7));
        drop(call);
        let event = journal.0.lock().unwrap().pop().unwrap();
        assert_eq!((event.outcome, event.elapsed), (Outcome::Cancelled, Duration::from_secs(7)));
        assert_eq!(event.backend, backend.info().id);
    }

    #[test]
    fn outcomes_are_words_for_labels() {
        assert_eq!(Outcome::Done.to_string(), "ok");
        assert_eq!(Outcome::Failed(ErrorKind::NotFound).to_string(), "not_found");
        assert_eq!(Outcome::from(Verdict::MatchOutdated).to_string(), "match_outdated");
        assert_eq!(Outcome::from(Verdict::MatchStale).to_string(), "match_stale");
    }
}
