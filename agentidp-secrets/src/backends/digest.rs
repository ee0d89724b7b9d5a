//! Runs one-way functions off the async threads: the frame that every digest backend shares.

use std::fmt;
use std::sync::Arc;
use std::thread::available_parallelism;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::backend::{BackendInfo, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// A one-way function for client secrets: what a digest backend implements. Synchronous on purpose, because the work
/// is all computation; [`DigestBackend`] makes a [`SecretBackend`] of it.
///
/// The info says [`Custody::Record`](crate::Custody::Record). Secrets and candidates arrive with at least one byte,
/// without NUL bytes, and no longer than [`BackendInfo::max_secret_len`]: the frame has checked.
pub trait Digester: fmt::Debug + Send + Sync + 'static {
    /// Says which backend this is and how long a secret may be. Constant.
    fn info(&self) -> &BackendInfo;

    /// Computes the digest of a secret, under fresh salt.
    ///
    /// # Errors
    /// `Internal` when there is no randomness or memory.
    fn digest(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<String>;

    /// Decides whether `candidate` is the secret behind `digest`. Bounds the parameters found in the digest before it
    /// does any work: a row must not be able to ask for an hour or a terabyte.
    ///
    /// # Errors
    /// `Malformed` when the digest is damaged or its parameters are out of bounds; `Internal` when there is no memory.
    fn verify(&self, key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict>;
}

/// A [`Digester`] as a backend: bounds the input, then computes on Tokio's blocking threads, so many at a time.
///
/// The permit of a computation moves into the blocking closure. A caller that gives up, by a deadline or a closed
/// connection, cannot stop work that has begun: the permit stays taken until that work ends, so the bound holds on what
/// the machine does and not on who still waits. This is why the limit sits here and not in a layer. Whoever waits for a
/// permit can give up at no cost.
///
/// Needs a Tokio runtime.
///
/// A candidate that could never have been stored (empty, with a NUL byte, too long) is a mismatch without computing.
/// That tells a stranger nothing, since it depends on the candidate alone.
#[derive(Debug)]
pub struct DigestBackend<D> {
    digester: Arc<D>,
    permits: Arc<Semaphore>,
}

impl<D: Digester> DigestBackend<D> {
    /// Runs as many digests at once as the machine has cores.
    #[must_use]
    pub fn new(digester: D) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { digester: Arc::new(digester), permits: Arc::new(Semaphore::new(cores)) }
    }

    /// Runs at most `digests` at once.
    ///
    /// # Errors
    /// `InvalidConfig` when the number is zero, or above [`Semaphore::MAX_PERMITS`].
    pub fn with_max_concurrency(digester: D, digests: usize) -> Result<Self> {
        if !(1..=Semaphore::MAX_PERMITS).contains(&digests) {
            return Err(Error::new(ErrorKind::InvalidConfig, "max_concurrency must be at least 1")
                .with_backend(digester.info().id.clone()));
        }
        Ok(Self { digester: Arc::new(digester), permits: Arc::new(Semaphore::new(digests)) })
    }

    /// The one place where this crate computes digests. `work` runs to its end even when the caller has gone.
    async fn compute<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&D) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let digester = Arc::clone(&self.digester);
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_closed| self.error(ErrorKind::Internal, operation, "the digest backend has been shut down"))?;
        #[cfg(feature = "tracing")]
        let span = tracing::Span::current();
        let done = spawn_blocking(move || {
            let _permit = permit;
            #[cfg(feature = "tracing")]
            let _entered = span.enter();
            work(&digester)
        });
        match done.await {
            Ok(result) => result.map_err(|error| error.with_operation(operation).with_backend(self.info().id.clone())),
            // The join error is no source: it repeats the panic's text, which is foreign.
            Err(_panicked_or_cancelled) => Err(self.error(
                ErrorKind::Internal,
                operation,
                "a digest computation panicked or the runtime is shutting down",
            )),
        }
    }

    fn check_record(&self, operation: Operation, stored: &StoredSecret) -> Result<()> {
        if stored.backend() == &self.info().id {
            return Ok(());
        }
        Err(self.error(ErrorKind::Malformed, operation, "the record belongs to another backend"))
    }

    async fn digest(&self, operation: Operation, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info().check_secret(secret).map_err(|error| error.with_operation(operation))?;
        let (key, secret) = (key.clone(), secret.clone());
        let digest = self.compute(operation, move |digester| digester.digest(&key, &secret)).await?;
        Ok(StoredSecret::new(self.info().id.clone(), digest))
    }

    fn error(&self, kind: ErrorKind, operation: Operation, message: &'static str) -> Error {
        Error::new(kind, message).with_operation(operation).with_backend(self.info().id.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<D: Digester> SecretBackend for DigestBackend<D> {
    fn info(&self) -> &BackendInfo {
        self.digester.info()
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.digest(Operation::Store, key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.check_record(Operation::Verify, stored)?;
        if !self.info().can_store(candidate) {
            return Ok(Verdict::Mismatch);
        }
        let (key, stored, candidate) = (key.clone(), stored.clone(), candidate.clone());
        self.compute(Operation::Verify, move |digester| digester.verify(&key, stored.payload(), &candidate)).await
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
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;
    use crate::backend::Custody;
    use crate::record::BackendId;

    /// Says when a computation begins, and lets it end when told.
    #[derive(Debug)]
    struct Gated {
        info: BackendInfo,
        begun: UnboundedSender<()>,
        released: Mutex<Receiver<()>>,
    }

    impl Gated {
        fn pass(&self) -> Result<()> {
            self.begun.send(()).unwrap();
            self.released.lock().unwrap().recv().expect("the gate panics when the test drops its end");
            Ok(())
        }
    }

    impl Digester for Gated {
        fn info(&self) -> &BackendInfo {
            &self.info
        }

        fn digest(&self, _key: &CredentialKey, _secret: &ClientSecret) -> Result<String> {
            self.pass().map(|()| "digest".to_owned())
        }

        fn verify(&self, _key: &CredentialKey, _digest: &str, _candidate: &ClientSecret) -> Result<Verdict> {
            self.pass().map(|()| Verdict::Match)
        }
    }

    fn gated(permits: usize) -> (DigestBackend<Gated>, UnboundedReceiver<()>, Sender<()>) {
        let (begun, begins) = unbounded_channel();
        let (release, released) = channel();
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record).with_max_secret_len(72);
        let digester = Gated { info, begun, released: Mutex::new(released) };
        (DigestBackend::with_max_concurrency(digester, permits).unwrap(), begins, release)
    }

    fn key() -> CredentialKey {
        CredentialKey::parse("client", "credential").unwrap()
    }

    #[tokio::test]
    async fn a_dropped_call_keeps_its_permit_until_the_work_ends() {
        let (backend, mut begins, release) = gated(1);
        let (key, secret) = (key(), ClientSecret::from("secret"));
        tokio::select! {
            _ = backend.store(&key, &secret) => panic!("nothing has released the work"),
            _ = begins.recv() => {}
        }
        assert_eq!(backend.permits.available_permits(), 0, "the abandoned work still runs");
        release.send(()).unwrap();
        let _free = backend.permits.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn a_caller_that_waits_for_a_permit_can_give_up_at_no_cost() {
        let (backend, mut begins, release) = gated(1);
        let (key, secret) = (key(), ClientSecret::from("secret"));
        let first = backend.store(&key, &secret);
        tokio::pin!(first);
        tokio::select! {
            _ = &mut first => panic!("nothing has released the work"),
            _ = begins.recv() => {}
        }
        let mut waiting = Box::pin(backend.store(&key, &secret));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there is no second permit"),
            () = std::future::ready(()) => {}
        }
        drop(waiting);
        release.send(()).unwrap();
        first.await.unwrap();
        assert!(begins.try_recv().is_err(), "the second call must not have begun");
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_refused_and_never_computed() {
        let (backend, mut begins, _) = gated(1);
        let record = StoredSecret::new(BackendId::BCRYPT, "digest");
        for text in [String::new(), "nul\0".to_owned(), "a".repeat(73)] {
            let secret = ClientSecret::from(text);
            assert_eq!(backend.store(&key(), &secret).await.unwrap_err().kind(), ErrorKind::InvalidSecret);
            assert_eq!(backend.rotate(&key(), &record, &secret).await.unwrap_err().kind(), ErrorKind::InvalidSecret);
            assert_eq!(backend.verify(&key(), &record, &secret).await.unwrap(), Verdict::Mismatch);
        }
        assert!(begins.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_record_of_another_backend_is_malformed() {
        let (backend, ..) = gated(1);
        let (foreign, secret) = (StoredSecret::new(BackendId::ARGON2, "digest"), ClientSecret::from("secret"));
        assert_eq!(backend.verify(&key(), &foreign, &secret).await.unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(backend.rotate(&key(), &foreign, &secret).await.unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(backend.revoke(&key(), &foreign).await.unwrap_err().kind(), ErrorKind::Malformed);
        backend.revoke(&key(), &StoredSecret::new(BackendId::BCRYPT, "digest")).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_frees_the_permit() {
        let (backend, _begins, release) = gated(1);
        drop(release);
        let error = backend.store(&key(), &ClientSecret::from("secret")).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Internal, Some(Operation::Store)));
        let _free = backend.permits.acquire().await.unwrap();
    }

    #[test]
    fn no_permits_is_no_setting() {
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record);
        let (begun, _begins) = unbounded_channel();
        let digester = Gated { info, begun, released: Mutex::new(channel().1) };
        let error = DigestBackend::with_max_concurrency(digester, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}
