//! An answer at once while a backend is down.

mod circuit;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::circuit::{Circuit, Refusal, Signal};
use super::pause::system_random;
use crate::backend::{BackendInfo, Held, Pointer, SecretBackend, SharedBackend, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::layer::Layer;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Stops asking a backend that is down, and tries again by itself.
///
/// After so many operations in a row that ended [`Unavailable`](ErrorKind::Unavailable) the breaker opens: every
/// operation is `Unavailable` at once, without a call to the backend, and the error says for how long still. When that
/// time is over, exactly one call goes through to try the backend; the others are refused meanwhile. If it fails too, the
/// time doubles, up to the longest one; if the backend answers, the breaker closes and everything is as before. Each pause
/// lies between half and all of its time: the random part keeps many processes from trying at the same instant.
///
/// | outcome | means |
/// |---|---|
/// | `Unavailable` | the backend is down: counts |
/// | success, a verdict, `Conflict`, `Denied`, `InvalidConfig`, `NotFound` | the backend answered: ends the row, and closes an open breaker |
/// | `Throttled` | neither: it may be a limit on this side that shed the call |
/// | `Malformed`, a mismatch of what cannot be a secret at all | neither: decided without asking the backend |
/// | `Internal`, `InvalidSecret`, `UnknownBackend`, a dropped call | neither: nobody knows, or nobody was asked |
///
/// A try that ends in "neither" leaves its place to the next call. A failure counts only if its call began after the
/// breaker was last closed, so that what hung during an outage does not open it again afterwards.
///
/// The breaker makes an outage cheap and changes nothing else: what it refuses is `Unavailable`, never a mismatch and
/// never another error, and a call that it lets through keeps its answer. Every backend that the layer wraps has a
/// breaker of its own.
///
/// # Order
/// `observe → warm → breaker → timeout → retry → limit → backend`. Outside of [`TimeoutLayer`](super::TimeoutLayer),
/// whose error is what tells of a backend that hangs: inside of it the deadline drops the call, a dropped call counts for
/// nothing, and the breaker never opens. Outside of [`RetryLayer`](super::RetryLayer): inside of it one operation counts
/// as often as it was attempted, and the retry pauses over errors of an open breaker. Inside of
/// [`WarmLayer`](super::WarmLayer), so that what is warm is still decided, and the
/// [stale window](super::WarmLayerBuilder::stale_window) gets its `Unavailable` at once instead of at the deadline.
#[derive(Clone)]
pub struct BreakerLayer {
    failures: u32,
    first_pause: Duration,
    longest_pause: Duration,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
    on_change: Arc<dyn Fn(BreakerChange) + Send + Sync>,
}

/// What a breaker tells whoever [listens](BreakerLayer::on_change).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerChange {
    /// The backend answered again: calls go through.
    Closed,
    /// The backend is not asked for this long.
    Opened(Duration),
    /// The one call that tried the backend failed: it is not asked for this long again.
    StillOpen(Duration),
}

impl BreakerLayer {
    /// Failures in a row that open the breaker when nothing else is said: more than a retried hiccup, few enough that an
    /// outage costs only a handful of callers their deadline.
    pub const DEFAULT_FAILURES: u32 = 5;
    /// The first pause when nothing else is said: an outage that ends soon is noticed soon.
    pub const DEFAULT_FIRST_PAUSE: Duration = Duration::from_millis(500);
    /// The longest pause when nothing else is said: so much later than the backend itself clients may recover, and a call a
    /// second is no load to a backend that comes back.
    pub const DEFAULT_LONGEST_PAUSE: Duration = Duration::from_secs(1);

    /// Opens after `failures` in a row. Zero counts as one.
    #[must_use]
    pub fn new(failures: u32) -> Self {
        Self {
            failures: failures.max(1),
            first_pause: Self::DEFAULT_FIRST_PAUSE,
            longest_pause: Self::DEFAULT_LONGEST_PAUSE,
            clock: Arc::new(SystemClock),
            random: Arc::new(system_random),
            on_change: Arc::new(|_| ()),
        }
    }

    /// Sets for how long the backend is not asked: at first, and at the most however often a try fails.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first.min(longest);
        self.longest_pause = longest;
        self
    }

    /// Sets the clock that pauses are measured with; the machine's unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets where the random part of a pause comes from; every value of a `u64` should be as likely as any other. The
    /// default asks the operating system.
    #[must_use]
    pub fn random(mut self, source: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(source);
        self
    }

    /// Sets who hears of every change, in the order of the changes: the place for a log and a gauge. It is called on the
    /// thread that serves a request while others wait for it, so it must neither block, nor panic, nor use the backend.
    #[must_use]
    pub fn on_change(mut self, listener: impl Fn(BreakerChange) + Send + Sync + 'static) -> Self {
        self.on_change = Arc::new(listener);
        self
    }
}

/// Five failures, pauses up to 500 ms at first and 1 s later.
impl Default for BreakerLayer {
    fn default() -> Self {
        Self::new(Self::DEFAULT_FAILURES)
    }
}

impl fmt::Debug for BreakerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("failures", &self.failures)
            .field("first_pause", &self.first_pause)
            .field("longest_pause", &self.longest_pause)
            .finish_non_exhaustive()
    }
}

impl Layer for BreakerLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Breaker { inner, circuit: Circuit::new(self.clone()) })
    }
}

#[derive(Debug)]
struct Breaker {
    inner: SharedBackend,
    circuit: Circuit,
}

impl Breaker {
    async fn guarded<T: Send>(&self, operation: Operation, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let mut pass = self.circuit.admit().map_err(|refusal| self.refused(operation, refusal))?;
        let outcome = call.await;
        pass.tells(outcome.as_ref().map_or_else(|error| Signal::of(error.kind()), |_| Signal::Alive));
        outcome
    }

    fn refused(&self, operation: Operation, refusal: Refusal) -> Error {
        let message = match refusal {
            Refusal::OpenFor(left) => format!(
                "not asked, because it was down: the breaker is open for {} ms still; look at the backend",
                left.as_millis().max(1)
            )
            .into(),
            Refusal::BeingTried => std::borrow::Cow::Borrowed(
                "not asked, because it was down: the breaker is open until the call that tries it now is answered; look \
                 at the backend",
            ),
        };
        Error::new(ErrorKind::Unavailable, message).with_operation(operation).with_backend(self.inner.info().id.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Breaker {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        self.inner.place(key)
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        self.inner.points_to(stored)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.guarded(Operation::Store, self.inner.store(key, secret)).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let mut pass = self.circuit.admit().map_err(|refusal| self.refused(Operation::Verify, refusal))?;
        let outcome = self.inner.verify(key, stored, candidate).await;
        pass.tells(match &outcome {
            // Whoever guesses nonsense must not keep the breaker of a dead backend closed.
            Ok(_) if !self.info().can_store(candidate) => Signal::Nothing,
            Ok(_) => Signal::Alive,
            Err(error) => Signal::of(error.kind()),
        });
        outcome
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, stored, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.guarded(Operation::Pin, self.inner.pin(key, stored)).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.guarded(Operation::Pin, self.inner.inspect(key, version)).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.guarded(Operation::Rotate, self.inner.overwrite(key, latest, secret)).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.guarded(Operation::Rotate, self.inner.rotate(key, current, secret)).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.guarded(Operation::Revoke, self.inner.revoke(key, stored)).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.guarded(Operation::Revoke, self.inner.forget(key)).await
    }

    async fn probe(&self) -> Result<()> {
        self.guarded(Operation::Probe, self.inner.probe()).await
    }
}

#[cfg(test)]
mod tests;
