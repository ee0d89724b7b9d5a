//! A second try after an outage.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::pause::{jittered, system_random};
use crate::backend::{BackendInfo, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Layer;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Repeats `verify`, `pin`, `inspect`, `reveal` and `probe` when the backend could not be asked.
///
/// | outcome | repeated | why |
/// |---|---|---|
/// | the five: `Unavailable` | yes | they change nothing, and a lost connection or a change of leader is over soon |
/// | the five: `Throttled` | no | repeating adds to the load that was complained of, within milliseconds of it |
/// | any other error, and every verdict | no | the next answer would be the same |
/// | `store`, `rotate`, `overwrite` | never | the lost answer may have been a success: a repeat would be a second write |
/// | `revoke`, `forget` | no | safe, but whoever revokes has to keep at it beyond a restart anyway; a loop in here would only hold the request |
///
/// The pause before attempt *n* + 1 lies between half and all of `first × 2ⁿ⁻¹`, bounded by the longest pause. The
/// random part keeps many processes from coming back at the same instant.
///
/// # Order
/// Inside of [`TimeoutLayer`](super::TimeoutLayer), which then covers all attempts; dropping the loop between two
/// attempts leaves nothing behind. Outside of [`LimitLayer`](super::LimitLayer): inside of it, every pause would hold a
/// permit that a call to a healthy node could use.
#[derive(Clone)]
pub struct RetryLayer {
    attempts: u32,
    first_pause: Duration,
    longest_pause: Duration,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl RetryLayer {
    /// Attempts in all when nothing else is said, the first included.
    pub const DEFAULT_ATTEMPTS: u32 = 3;
    /// The first pause when nothing else is said: of the order of the 110 ms that a lagging OpenBao standby was
    /// measured to need.
    pub const DEFAULT_FIRST_PAUSE: Duration = Duration::from_millis(50);
    /// The longest pause when nothing else is said: a token request that waits longer had better fail.
    pub const DEFAULT_LONGEST_PAUSE: Duration = Duration::from_secs(1);

    /// At most `attempts` attempts, the first included. Zero counts as one.
    #[must_use]
    pub fn new(attempts: u32) -> Self {
        Self {
            attempts: attempts.max(1),
            first_pause: Self::DEFAULT_FIRST_PAUSE,
            longest_pause: Self::DEFAULT_LONGEST_PAUSE,
            random: Arc::new(system_random),
        }
    }

    /// Sets the first and the longest pause.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest;
        self
    }

    /// Sets where the random part of a pause comes from; every value of a `u64` should be as likely as any other. The
    /// default asks the operating system.
    #[must_use]
    pub fn random(mut self, source: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(source);
        self
    }

    /// The pause after `failed` attempts.
    fn pause(&self, failed: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        let full = self.first_pause.saturating_mul(doubled).min(self.longest_pause);
        jittered(full, (self.random)())
    }
}

/// Three attempts, pauses from 50 ms to 1 s.
impl Default for RetryLayer {
    fn default() -> Self {
        Self::new(Self::DEFAULT_ATTEMPTS)
    }
}

impl fmt::Debug for RetryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("attempts", &self.attempts)
            .field("first_pause", &self.first_pause)
            .field("longest_pause", &self.longest_pause)
            .finish_non_exhaustive()
    }
}

impl Layer for RetryLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Retry { inner, policy: self.clone() })
    }
}

fn worth_repeating(error: &Error) -> bool {
    error.is_retryable() && error.kind() != ErrorKind::Throttled
}

#[derive(Debug)]
struct Retry {
    inner: SharedBackend,
    policy: RetryLayer,
}

impl Retry {
    async fn repeat<T, F>(&self, call: impl Fn() -> F + Send + Sync) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        let mut failed = 0;
        loop {
            match call().await {
                Err(error) if worth_repeating(&error) && failed + 1 < self.policy.attempts => failed += 1,
                outcome => return outcome,
            }
            tokio::time::sleep(self.policy.pause(failed)).await;
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Retry {
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
        self.inner.store(key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.repeat(|| self.inner.verify(key, stored, candidate)).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, stored, candidate)
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        self.inner.recall_for(client, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.repeat(|| self.inner.pin(key, stored)).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.repeat(|| self.inner.inspect(key, version)).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.inner.overwrite(key, latest, secret).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.repeat(|| self.inner.reveal(key, stored)).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.inner.rotate(key, current, secret).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.inner.revoke(key, stored).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.inner.forget(key).await
    }

    async fn probe(&self) -> Result<()> {
        self.repeat(|| self.inner.probe()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Custody;
    use crate::error::Operation;
    use crate::layer::stack;
    use crate::testkit::broken::BrokenBackend;
    use crate::testkit::{Fault, FaultLayer};

    fn retried(retry: &RetryLayer) -> (FaultLayer, SharedBackend) {
        let faults = FaultLayer::new();
        let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults, retry]);
        (faults, backend)
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_ends_is_ridden_out() {
        let (faults, backend) = retried(&RetryLayer::new(3).random(|| u64::MAX));
        let key = CredentialKey::parse("a", "c").unwrap();
        let secret = ClientSecret::from("secret");
        let stored = backend.store(&key, &secret).await.unwrap();
        faults.once(Operation::Verify, Fault::Fail(ErrorKind::Unavailable));
        faults.once(Operation::Verify, Fault::Fail(ErrorKind::Unavailable));
        assert!(backend.verify(&key, &stored, &secret).await.unwrap().is_match());
        assert_eq!(faults.calls(Operation::Verify), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_is_returned_after_the_last_attempt() {
        let (faults, backend) = retried(&RetryLayer::new(4));
        faults.always(Operation::Probe, Fault::Fail(ErrorKind::Unavailable));
        assert_eq!(backend.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(faults.calls(Operation::Probe), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_kind_is_repeated() {
        use ErrorKind::{Conflict, Denied, Internal, InvalidConfig, InvalidSecret, Malformed, NotFound, Throttled};
        for kind in [Conflict, Denied, Internal, InvalidConfig, InvalidSecret, Malformed, NotFound, Throttled] {
            let (faults, backend) = retried(&RetryLayer::new(3));
            faults.always(Operation::Probe, Fault::Fail(kind));
            assert_eq!(backend.probe().await.unwrap_err().kind(), kind);
            assert_eq!(faults.calls(Operation::Probe), 1, "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_write_is_repeated() {
        let (faults, backend) = retried(&RetryLayer::new(3));
        let key = CredentialKey::parse("a", "c").unwrap();
        let secret = ClientSecret::from("secret");
        let stored = backend.store(&key, &secret).await.unwrap();
        for operation in [Operation::Store, Operation::Rotate, Operation::Revoke] {
            faults.always(operation, Fault::Fail(ErrorKind::Unavailable));
        }
        assert!(backend.store(&key, &secret).await.is_err());
        assert!(backend.rotate(&key, &stored, &secret).await.is_err());
        assert!(backend.revoke(&key, &stored).await.is_err());
        assert_eq!(faults.calls(Operation::Store), 2, "the good one and the failed one");
        assert_eq!(faults.calls(Operation::Rotate), 1);
        assert_eq!(faults.calls(Operation::Revoke), 1);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_keep_between_half_and_all() {
        let millis = Duration::from_millis;
        let shortest = RetryLayer::new(9).pauses(millis(50), millis(300)).random(|| 0);
        let longest = shortest.clone().random(|| u64::MAX);
        assert_eq!([1, 2, 3, 4, 99].map(|n| shortest.pause(n)), [25, 50, 100, 150, 150].map(millis));
        assert_eq!(longest.pause(1), millis(50));
        let unbounded = RetryLayer::new(9).pauses(Duration::MAX, Duration::MAX).random(|| u64::MAX);
        assert!(unbounded.pause(u32::MAX) <= Duration::MAX);
    }
}
