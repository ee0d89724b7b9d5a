//! A deadline for every operation.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::{BackendInfo, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::layer::Layer;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Ends every operation that takes too long with [`ErrorKind::Unavailable`].
///
/// A write that timed out may have happened all the same: the answer is what is missing. With records that pin a
/// version this is harmless, because the caller never got a record that points to the new secret. A digest that timed
/// out goes on computing until it is done; its backend keeps the permit for as long.
///
/// # Order
/// Outside of [`RetryLayer`](super::RetryLayer) and [`LimitLayer`](super::LimitLayer). Inside of the retry, two seconds
/// and three attempts make a caller wait six seconds and the pauses; inside of the limit, a caller that waits for a
/// permit has no deadline at all.
///
/// # Panics
/// The calls need a tokio runtime with its timer enabled and panic without one.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer {
    read: Duration,
    write: Duration,
}

impl TimeoutLayer {
    /// One deadline for every operation.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self { read: deadline, write: deadline }
    }

    /// Another deadline for `store`, `rotate`, `overwrite`, `revoke` and `forget`. An undecided write costs more to clear up than an undecided
    /// read, so it is worth waiting for longer.
    #[must_use]
    pub fn writes(mut self, deadline: Duration) -> Self {
        self.write = deadline;
        self
    }
}

impl Layer for TimeoutLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Timeout { inner, deadlines: *self })
    }
}

#[derive(Debug)]
struct Timeout {
    inner: SharedBackend,
    deadlines: TimeoutLayer,
}

impl Timeout {
    async fn within<T: Send>(&self, operation: Operation, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let (deadline, consequence) = match operation {
            Operation::Pin | Operation::Probe | Operation::Reveal | Operation::Verify => (self.deadlines.read, ""),
            Operation::Revoke | Operation::Rotate | Operation::Store => {
                (self.deadlines.write, "; it may have taken effect")
            }
        };
        tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
            let message =
                format!("no answer within {deadline:?}{consequence}; look at the backend, or at the deadline");
            Err(Error::new(ErrorKind::Unavailable, message)
                .with_operation(operation)
                .with_backend(self.inner.info().id.clone()))
        })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Timeout {
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
        self.within(Operation::Store, self.inner.store(key, secret)).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.within(Operation::Verify, self.inner.verify(key, stored, candidate)).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, stored, candidate)
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        self.inner.recall_for(client, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.within(Operation::Pin, self.inner.pin(key, stored)).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.within(Operation::Pin, self.inner.inspect(key, version)).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.within(Operation::Rotate, self.inner.overwrite(key, latest, secret)).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.within(Operation::Reveal, self.inner.reveal(key, stored)).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.within(Operation::Rotate, self.inner.rotate(key, current, secret)).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.within(Operation::Revoke, self.inner.revoke(key, stored)).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.within(Operation::Revoke, self.inner.forget(key)).await
    }

    async fn probe(&self) -> Result<()> {
        self.within(Operation::Probe, self.inner.probe()).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::backend::Custody;
    use crate::layer::stack;
    use crate::testkit::broken::BrokenBackend;
    use crate::testkit::{Fault, FaultLayer};

    const READ: Duration = Duration::from_secs(2);
    const WRITE: Duration = Duration::from_secs(5);

    fn faulty() -> (FaultLayer, SharedBackend) {
        let faults = FaultLayer::new();
        let layers: [&dyn Layer; 2] = [&faults, &TimeoutLayer::new(READ).writes(WRITE)];
        let backend = stack(BrokenBackend::sound(Custody::Backend), &layers);
        (faults, backend)
    }

    #[tokio::test(start_paused = true)]
    async fn reads_and_writes_end_at_their_own_deadline() {
        let (faults, backend) = faulty();
        let key = CredentialKey::parse("a", "c").unwrap();
        let secret = ClientSecret::from("canary-secret");
        let stored = backend.store(&key, &secret).await.unwrap();
        faults.on_everything(Fault::Hang);

        let started = Instant::now();
        let error = backend.verify(&key, &stored, &secret).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (ErrorKind::Unavailable, READ));
        assert_eq!(error.operation(), Some(Operation::Verify));

        let started = Instant::now();
        assert!(backend.probe().await.is_err());
        assert_eq!(started.elapsed(), READ);

        let started = Instant::now();
        assert!(backend.pin(&key, &stored).await.is_err());
        assert_eq!(started.elapsed(), READ);

        for operation in [Operation::Store, Operation::Rotate, Operation::Revoke] {
            let started = Instant::now();
            let outcome = match operation {
                Operation::Store => backend.store(&key, &secret).await.map(drop),
                Operation::Rotate => backend.rotate(&key, &stored, &secret).await.map(drop),
                _ => backend.revoke(&key, &stored).await,
            };
            assert!(outcome.unwrap_err().to_string().contains("may have taken effect"), "{operation}");
            assert_eq!(started.elapsed(), WRITE, "{operation}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_passes_through() {
        let (faults, backend) = faulty();
        faults.always(Operation::Probe, Fault::Delay(READ - Duration::from_millis(1)));
        backend.probe().await.unwrap();
    }
}
