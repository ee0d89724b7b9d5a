//! A bound on the calls to a remote backend.

mod fair;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::fair::{FairPermit, FairSemaphore};
use crate::backend::{BackendInfo, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::layer::Layer;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Lets only so many calls through to a remote backend at a time.
///
/// The others wait, or are [shed](Self::shed). The next permit goes to the client that holds the fewest, so a flood of guesses
/// at one client leaves permits to the others. Clones share their permits, so that one limit can stand before several
/// backends that are one server.
///
/// # Not for digests
/// A permit of this layer is given back as soon as the caller goes away, but a digest that has begun computes to its
/// end. With this layer around it, impatient callers would start digest after digest over the same cores. The digest
/// backends therefore have a limit of their own, whose permit travels with the work.
///
/// # Order
/// Innermost. Outside of [`RetryLayer`](super::RetryLayer) a permit would be held through the pauses between attempts,
/// and a few calls to a server that is down would lock out every other; outside of
/// [`TimeoutLayer`](super::TimeoutLayer) the queue would have no deadline.
#[derive(Clone, Debug)]
pub struct LimitLayer {
    permits: FairSemaphore<Option<ClientId>>,
    max_wait: Option<Duration>,
}

impl LimitLayer {
    /// At most `max` calls at a time; more wait. Zero counts as one, since a limit that lets nothing through would be
    /// an outage.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { permits: FairSemaphore::new(max.max(1)), max_wait: None }
    }

    /// Refuses a call that finds no permit with [`ErrorKind::Throttled`] at once, instead of letting it wait.
    #[must_use]
    pub fn shed(mut self) -> Self {
        self.max_wait = Some(Duration::ZERO);
        self
    }

    /// Refuses a call that has waited for a permit for so long with [`ErrorKind::Throttled`]. Set it below the deadline of a
    /// [`TimeoutLayer`](super::TimeoutLayer) outside, which could not tell the wait in this queue from an outage of the
    /// backend, and a breaker would count it as one.
    #[must_use]
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.max_wait = Some(time);
        self
    }

    /// How many calls wait for a permit at the moment.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }
}

impl Layer for LimitLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Limit { inner, limit: self.clone() })
    }
}

#[derive(Debug)]
struct Limit {
    inner: SharedBackend,
    limit: LimitLayer,
}

impl Limit {
    /// Calls without a key have a turn of their own.
    async fn permit(&self, operation: Operation, key: Option<&CredentialKey>) -> Result<FairPermit<Option<ClientId>>> {
        let client = key.map(|key| key.client_id().clone());
        let permits = &self.limit.permits;
        let permit = match self.limit.max_wait {
            None => Some(permits.acquire(client).await),
            Some(Duration::ZERO) => permits.try_acquire(client),
            Some(time) => tokio::time::timeout(time, permits.acquire(client)).await.ok(),
        };
        permit.ok_or_else(|| {
            let message = "as many calls are under way as the limit allows; try again later";
            Error::new(ErrorKind::Throttled, message)
                .with_operation(operation)
                .with_backend(self.inner.info().id.clone())
        })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Limit {
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
        let _permit = self.permit(Operation::Store, Some(key)).await?;
        self.inner.store(key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let _permit = self.permit(Operation::Verify, Some(key)).await?;
        self.inner.verify(key, stored, candidate).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, stored, candidate)
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        self.inner.recall_for(client, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let _permit = self.permit(Operation::Pin, Some(key)).await?;
        self.inner.pin(key, stored).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let _permit = self.permit(Operation::Pin, Some(key)).await?;
        self.inner.inspect(key, version).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        let _permit = self.permit(Operation::Rotate, Some(key)).await?;
        self.inner.overwrite(key, latest, secret).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        let _permit = self.permit(Operation::Reveal, Some(key)).await?;
        self.inner.reveal(key, stored).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        let _permit = self.permit(Operation::Rotate, Some(key)).await?;
        self.inner.rotate(key, current, secret).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        let _permit = self.permit(Operation::Revoke, Some(key)).await?;
        self.inner.revoke(key, stored).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        let _permit = self.permit(Operation::Revoke, Some(key)).await?;
        self.inner.forget(key).await
    }

    async fn probe(&self) -> Result<()> {
        let _permit = self.permit(Operation::Probe, None).await?;
        self.inner.probe().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::backend::Custody;
    use crate::layer::stack;
    use crate::testkit::broken::BrokenBackend;
    use crate::testkit::{Fault, FaultLayer};

    fn limited(limit: &LimitLayer) -> (FaultLayer, SharedBackend) {
        let faults = FaultLayer::new();
        let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults, limit]);
        (faults, backend)
    }

    #[tokio::test]
    async fn a_full_limit_sheds_and_a_dropped_call_gives_its_permit_back() {
        let (faults, backend) = limited(&LimitLayer::new(1).shed());
        faults.once(Operation::Probe, Fault::Hang);
        {
            let mut hanging = backend.probe();
            assert!((&mut hanging).now_or_never().is_none());
            assert_eq!(backend.probe().await.unwrap_err().kind(), ErrorKind::Throttled);
        }
        backend.probe().await.unwrap();
        assert_eq!(faults.calls(Operation::Probe), 2, "a shed call never reaches the backend");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_limit_lets_callers_wait() {
        let (faults, backend) = limited(&LimitLayer::new(1));
        faults.always(Operation::Probe, Fault::Delay(Duration::from_secs(1)));
        let started = tokio::time::Instant::now();
        let (one, other) = tokio::join!(backend.probe(), backend.probe());
        one.and(other).unwrap();
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_served_while_another_one_floods() {
        let (faults, backend) = limited(&LimitLayer::new(2).max_wait(Duration::from_secs(1)));
        let key = |client: &str| CredentialKey::parse(client, "credential").unwrap();
        let (flooded, other) = (key("flooded"), key("other"));
        let stored = backend.store(&other, &"secret".into()).await.unwrap();
        faults.always(Operation::Verify, Fault::Delay(Duration::from_millis(250)));
        let guesses: Vec<_> = (0..300)
            .map(|_| {
                let (backend, flooded, stored) = (Arc::clone(&backend), flooded.clone(), stored.clone());
                tokio::spawn(async move { backend.verify(&flooded, &stored, &"guess".into()).await })
            })
            .collect();
        tokio::task::yield_now().await;
        for _ in 0..3 {
            assert_eq!(backend.verify(&other, &stored, &"secret".into()).await.unwrap(), Verdict::Match);
        }
        let mut throttled = 0;
        for guess in guesses {
            throttled += u32::from(guess.await.unwrap().is_err_and(|error| error.kind() == ErrorKind::Throttled));
        }
        assert!(throttled > 280, "{throttled} waited in the queue for longer than allowed, which is no outage");
    }

    #[tokio::test]
    async fn clones_share_their_permits_and_zero_counts_as_one() {
        let limit = LimitLayer::new(0).shed();
        let (faults, one) = limited(&limit);
        let (_, other) = limited(&limit.clone());
        faults.once(Operation::Probe, Fault::Hang);
        let mut hanging = one.probe();
        assert!((&mut hanging).now_or_never().is_none());
        assert_eq!(other.probe().await.unwrap_err().kind(), ErrorKind::Throttled);
    }
}
