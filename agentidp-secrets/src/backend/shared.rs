//! A backend that several have.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;

use super::answer::{Held, Pointer, Verdict};
use super::contract::SecretBackend;
use super::info::BackendInfo;
use super::recall::Recall;
use crate::credential::{ClientId, CredentialKey};
use crate::error::Result;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// A backend that is shared; what layers take and give.
pub type SharedBackend = Arc<dyn SecretBackend>;

/// Shares a backend. One that is shared already stays as it is: another `Arc` around it would cost every call a boxed
/// future.
pub(crate) fn shared(backend: impl SecretBackend) -> SharedBackend {
    match (&backend as &dyn Any).downcast_ref::<SharedBackend>() {
        Some(shared) => Arc::clone(shared),
        None => Arc::new(backend),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: SecretBackend + ?Sized> SecretBackend for Arc<B> {
    fn info(&self) -> &BackendInfo {
        (**self).info()
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        (**self).place(key)
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        (**self).points_to(stored)
    }

    fn recognises(&self, text: &str) -> bool {
        (**self).recognises(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        (**self).store(key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        (**self).verify(key, stored, candidate).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        (**self).recall(key, stored, candidate)
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        (**self).recall_for(client, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        (**self).pin(key, stored).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        (**self).inspect(key, version).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        (**self).overwrite(key, latest, secret).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        (**self).reveal(key, stored).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        (**self).rotate(key, current, secret).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        (**self).revoke(key, stored).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        (**self).forget(key).await
    }

    async fn probe(&self) -> Result<()> {
        (**self).probe().await
    }
}
