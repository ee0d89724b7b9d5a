//! Runs one-way functions off the async threads: the frame that every digest backend shares.
//!
//! **Cost**: as many threads as [`DigestLimits::max_concurrency`] says, one for each core unless set; they start with the first
//! digest. A bounded queue stands before them, and clients take turns in it.
//!
//! **Fails** with `Throttled` when the queue is full or a turn does not come in time, with `InvalidSecret` on a secret that the
//! function cannot take, and with `Internal` when the function panics.

mod digester;
mod job;
mod limits;
mod load;
mod pool;
mod queue;

use async_trait::async_trait;
use tokio::sync::oneshot::Receiver;

use self::job::Job;
use self::pool::Pool;
use crate::backend::{BackendInfo, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

pub use self::digester::{Attempt, Digester};
pub use self::limits::DigestLimits;
pub use self::load::DigestLoad;

/// A [`Digester`] as a backend: bounds the input, then computes on threads of its own, so many at a time.
///
/// A bounded queue stands before the threads, see [`DigestLimits`]; whoever finds it full, or waits in it for too long,
/// gets [`Throttled`](ErrorKind::Throttled). Clients take turns in it, and a full one makes room for a client by
/// refusing the newest of whoever has most, so that a flood of guesses at one client's secret delays another client by
/// one computation and no more. A thread that becomes free takes as many of the waiting as can be computed together
/// ([`BackendInfo::lanes`]).
///
/// A caller that gives up, by a deadline or a closed connection, cannot stop work that has begun: the thread stays
/// taken until that work ends, so the bound holds on what the machine does and not on who still waits. This is why the
/// limit sits here and not in a layer. Whoever waits in the queue can give up at no cost, and leaves a free place.
///
/// The threads start with the first work and end when the backend is dropped.
///
/// A candidate that could never have been stored (empty, with a NUL byte, too long) is a mismatch without computing.
/// That tells a stranger nothing, since it depends on the candidate alone.
#[derive(Debug)]
pub struct DigestBackend<D: Digester> {
    pool: Pool<D>,
}

impl<D: Digester> DigestBackend<D> {
    /// Runs as many digests at once as the machine has cores.
    #[must_use]
    pub fn new(digester: D) -> Self {
        Self { pool: Pool::new(digester, DigestLimits::default()) }
    }

    /// Runs within other limits.
    ///
    /// # Errors
    /// `InvalidConfig` when there are to be no threads, or no place to wait for one.
    pub fn with_limits(digester: D, limits: DigestLimits) -> Result<Self> {
        limits.check().map_err(|error| error.with_backend(digester.info().id.clone()))?;
        Ok(Self { pool: Pool::new(digester, limits) })
    }

    /// How much work there is at any moment, for metrics.
    #[must_use]
    pub fn load(&self) -> DigestLoad {
        self.pool.load()
    }

    /// Has the pool do the job. It does so to its end even when the caller has gone, once it has begun.
    async fn compute<T>(&self, operation: Operation, (job, answer): (Job, Receiver<Result<T>>)) -> Result<T> {
        let error = match self.pool.submit(job) {
            Err(error) => error,
            Ok(()) => match answer.await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => error,
                // The panic is no source: its text is foreign.
                Err(_gone) => Error::new(ErrorKind::Internal, "a digest computation panicked"),
            },
        };
        Err(error.with_operation(operation).with_backend(self.info().id.clone()))
    }

    fn check_record(&self, operation: Operation, stored: &StoredSecret) -> Result<()> {
        let id = &self.info().id;
        stored.check_backend(id).map_err(|error| error.with_operation(operation).with_backend(id.clone()))
    }

    async fn digest(&self, operation: Operation, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        if self.info().reads_only {
            return Err(self.info().only_reads().with_operation(operation));
        }
        self.info().check_secret(secret).map_err(|error| error.with_operation(operation))?;
        let digest = self.compute(operation, Job::digest(self.pool.now(), key, secret)).await?;
        Ok(StoredSecret::new(self.info().id.clone(), digest))
    }
}

#[async_trait]
impl<D: Digester> SecretBackend for DigestBackend<D> {
    fn info(&self) -> &BackendInfo {
        self.pool.digester().info()
    }

    fn recognises(&self, text: &str) -> bool {
        self.pool.digester().recognises(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.digest(Operation::Store, key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.check_record(Operation::Verify, stored)?;
        if !self.info().can_store(candidate) {
            return Ok(Verdict::Mismatch);
        }
        let group = self.pool.digester().group(stored.payload());
        self.compute(Operation::Verify, Job::verify(self.pool.now(), key, stored, candidate, group)).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.check_record(Operation::Rotate, current)?;
        self.digest(Operation::Rotate, key, secret).await
    }

    /// Does nothing: the record holds all there is.
    async fn revoke(&self, _key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.check_record(Operation::Revoke, stored)
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
