//! An answer at once while a backend is down.

mod circuit;
mod settings;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use self::circuit::{Circuit, Refusal, Signal};
use crate::backend::{BackendInfo, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::layer::Layer;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

pub use self::settings::{BreakerChange, BreakerLayer};

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

    fn recognises(&self, text: &str) -> bool {
        self.inner.recognises(text)
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

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        self.inner.recall_for(client, candidate)
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

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.guarded(Operation::Reveal, self.inner.reveal(key, stored)).await
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
