//! Calls to Vault that are carried out after their caller has given up.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use agentidp_secrets::{
    BackendInfo, ClientId, ClientSecret, CredentialKey, Error, ErrorKind, Held, Layer, Operation, Pointer, Recall,
    Result, SecretBackend, SharedBackend, StoredSecret, Verdict,
};
use async_trait::async_trait;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Holds up writes and deletions: the caller is told that Vault is out of reach, and Vault gets the call later.
#[derive(Clone, Default)]
pub(crate) struct LateLayer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_late: bool,
    held_up: Vec<Call>,
}

impl std::fmt::Debug for LateLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LateLayer").finish_non_exhaustive()
    }
}

impl LateLayer {
    /// From now on calls are held up, or not any more.
    pub(crate) fn be_late(&self, is_late: bool) {
        self.0.lock().unwrap().is_late = is_late;
    }

    /// Vault carries out what was held up; gives how much it was.
    pub(crate) async fn carry_out(&self) -> usize {
        let held_up = std::mem::take(&mut self.0.lock().unwrap().held_up);
        let calls = held_up.len();
        for call in held_up {
            call.await;
        }
        calls
    }
}

impl Layer for LateLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Late { inner, layer: self.clone() })
    }
}

#[derive(Debug)]
struct Late {
    inner: SharedBackend,
    layer: LateLayer,
}

impl Late {
    fn hold_up(&self, operation: Operation, call: impl Future<Output = ()> + Send + 'static) -> Error {
        self.layer.0.lock().unwrap().held_up.push(Box::pin(call));
        let error = Error::new(ErrorKind::Unavailable, "Vault does not answer");
        error.with_operation(operation).with_backend(self.inner.info().id.clone())
    }

    fn is_late(&self) -> bool {
        self.layer.0.lock().unwrap().is_late
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Late {
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
        if !self.is_late() {
            return self.inner.store(key, secret).await;
        }
        let (inner, key, secret) = (Arc::clone(&self.inner), key.clone(), secret.clone());
        Err(self.hold_up(Operation::Store, async move { drop(inner.store(&key, &secret).await) }))
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.inner.verify(key, stored, candidate).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, stored, candidate)
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        self.inner.recall_for(client, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.inner.pin(key, stored).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.inner.inspect(key, version).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        if !self.is_late() {
            return self.inner.overwrite(key, latest, secret).await;
        }
        let (inner, key, secret) = (Arc::clone(&self.inner), key.clone(), secret.cloned());
        let call = async move { drop(inner.overwrite(&key, latest, secret.as_ref()).await) };
        Err(self.hold_up(Operation::Rotate, call))
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.inner.reveal(key, stored).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        if !self.is_late() {
            return self.inner.rotate(key, current, secret).await;
        }
        let (inner, key, current, secret) = (Arc::clone(&self.inner), key.clone(), current.clone(), secret.clone());
        Err(self.hold_up(Operation::Rotate, async move { drop(inner.rotate(&key, &current, &secret).await) }))
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        if !self.is_late() {
            return self.inner.revoke(key, stored).await;
        }
        let (inner, key, stored) = (Arc::clone(&self.inner), key.clone(), stored.clone());
        Err(self.hold_up(Operation::Revoke, async move { drop(inner.revoke(&key, &stored).await) }))
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        if !self.is_late() {
            return self.inner.forget(key).await;
        }
        let (inner, key) = (Arc::clone(&self.inner), key.clone());
        Err(self.hold_up(Operation::Revoke, async move { drop(inner.forget(&key).await) }))
    }

    async fn probe(&self) -> Result<()> {
        self.inner.probe().await
    }
}
