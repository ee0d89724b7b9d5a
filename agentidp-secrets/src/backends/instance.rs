//! One of several backends of a kind in one store.

use async_trait::async_trait;

use crate::backend::{BackendInfo, Held, Pointer, Recall, SecretBackend, Verdict};
use crate::credential::{ClientId, CredentialId, CredentialKey};
use crate::error::{Error, Result};
use crate::inventory::{Inventory, NamePage, RecordState};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// Gives a backend the name of an [instance](BackendId::instance), so that a store takes another one of its kind.
///
/// Its records carry the name: `{memory:eu}…`. It takes no record without it, and [recognises](SecretBackend::recognises)
/// nothing: a text that names no instance belongs to the backend without a name. [`VaultKv2`] has a
/// [setting](crate::backends#instances) for the same.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use agentidp_secrets::backends::{Instance, Memory};
/// use agentidp_secrets::{CredentialKey, SecretStore};
///
/// let eu = Instance::new("eu", Memory::new())?;
/// let store = SecretStore::builder(eu).accepts(Memory::new()).build()?;
/// let issued = store.issue(&CredentialKey::parse("agent-7", "c1")?).await?;
/// assert_eq!(issued.stored.to_text(), "{memory:eu}agent-7/c1?version=1");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`VaultKv2`]: https://docs.rs/agentidp-secrets/latest/agentidp_secrets/vault/struct.VaultKv2.html
#[derive(Debug)]
pub struct Instance<B> {
    info: BackendInfo,
    /// The id that the backend itself knows.
    inner_id: BackendId,
    inner: B,
}

impl<B: SecretBackend> Instance<B> {
    /// Gives `backend` this name. A name that it has already is replaced.
    ///
    /// # Errors
    /// `InvalidConfig` when the name is not 1 to 32 bytes of `a-z 0-9 -`.
    pub fn new(name: &str, backend: B) -> Result<Self> {
        let inner_id = backend.info().id.clone();
        let info = backend.info().clone().with_id(inner_id.with_instance(name)?);
        Ok(Self { info, inner_id, inner: backend })
    }

    /// The record as the backend itself wrote it. One of another instance gets an id that no backend has.
    fn inwards(&self, stored: &StoredSecret) -> StoredSecret {
        let id = if stored.backend() == &self.info.id { &self.inner_id } else { &BackendId::UNCLAIMED };
        StoredSecret::new(id.clone(), stored.payload())
    }

    fn outwards(&self, stored: StoredSecret) -> StoredSecret {
        if stored.backend() == &self.inner_id { stored.renamed(self.info.id.clone()) } else { stored }
    }

    /// An error names the instance.
    fn named(&self, error: Error) -> Error {
        error.with_backend(self.info.id.clone())
    }

    fn record(&self, outcome: Result<StoredSecret>) -> Result<StoredSecret> {
        outcome.map(|stored| self.outwards(stored)).map_err(|error| self.named(error))
    }
}

/// What the backend itself remembers.
struct Inwards<'a, B> {
    instance: &'a Instance<B>,
    inner: Box<dyn Recall + 'a>,
}

impl<B: SecretBackend> Recall for Inwards<'_, B> {
    fn recall(&mut self, key: &CredentialKey, stored: &StoredSecret) -> Option<Verdict> {
        self.inner.recall(key, &self.instance.inwards(stored))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: SecretBackend> SecretBackend for Instance<B> {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        self.inner.place(key).map(|place| self.outwards(place))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let ours = Some(stored).filter(|stored| stored.backend() == &self.info.id)?;
        let pointer = self.inner.points_to(&self.inwards(ours))?;
        Some(Pointer { place: self.outwards(pointer.place), ..pointer })
    }

    fn recognises(&self, _text: &str) -> bool {
        false
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.record(self.inner.store(key, secret).await)
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.inner.verify(key, &self.inwards(stored), candidate).await.map_err(|error| self.named(error))
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, &self.inwards(stored), candidate)
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        Box::new(Inwards { instance: self, inner: self.inner.recall_for(client, candidate) })
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.record(self.inner.pin(key, &self.inwards(stored)).await)
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        match self.inner.inspect(key, version).await.map_err(|error| self.named(error))? {
            Held::Version { version, stored, secret } => {
                Ok(Held::Version { version, stored: self.outwards(stored), secret })
            }
            Held::Nothing => Ok(Held::Nothing),
        }
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.record(self.inner.overwrite(key, latest, secret).await)
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.inner.reveal(key, &self.inwards(stored)).await.map_err(|error| self.named(error))
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.record(self.inner.rotate(key, &self.inwards(current), secret).await)
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.inner.revoke(key, &self.inwards(stored)).await.map_err(|error| self.named(error))
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.inner.forget(key).await.map_err(|error| self.named(error))
    }

    async fn probe(&self) -> Result<()> {
        self.inner.probe().await.map_err(|error| self.named(error))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Inventory> Inventory for Instance<B> {
    async fn record_state(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<RecordState> {
        self.inner.record_state(key, &self.inwards(stored)).await.map_err(|error| self.named(error))
    }

    async fn clients(&self, after: Option<&str>, limit: usize) -> Result<NamePage> {
        self.inner.clients(after, limit).await.map_err(|error| self.named(error))
    }

    async fn credentials_of(&self, client: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        self.inner.credentials_of(client, after, limit).await.map_err(|error| self.named(error))
    }

    fn client_named(&self, name: &str) -> Option<ClientId> {
        self.inner.client_named(name)
    }

    fn credential_named(&self, name: &str) -> Option<CredentialId> {
        self.inner.credential_named(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::Memory;
    use crate::error::ErrorKind;
    use crate::store::SecretStore;

    #[tokio::test]
    async fn a_record_belongs_to_one_instance() {
        let eu = Instance::new("eu", Memory::new()).unwrap();
        let us = Instance::new("us", Memory::new()).unwrap();
        let key = CredentialKey::parse("a", "c").unwrap();
        let secret = ClientSecret::from("secret");
        let stored = eu.store(&key, &secret).await.unwrap();
        us.store(&key, &secret).await.unwrap();
        assert_eq!(stored.to_text(), "{memory:eu}a/c?version=1");
        assert_eq!(eu.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
        for foreign in
            ["{memory:us}a/c?version=1", "{memory}a/c?version=1"].map(|text| StoredSecret::parse(text).unwrap())
        {
            let error = eu.verify(&key, &foreign, &secret).await.unwrap_err();
            assert_eq!((error.kind(), error.backend()), (ErrorKind::Malformed, Some(&eu.info.id)));
            assert_eq!(eu.points_to(&foreign), None);
            assert_eq!(eu.record_state(&key, &foreign).await.unwrap_err().kind(), ErrorKind::Malformed);
        }
        assert_eq!(eu.record_state(&key, &stored).await.unwrap(), RecordState::Sound);
        assert_eq!(eu.points_to(&stored).map(|to| to.place), eu.place(&key));
    }

    #[tokio::test]
    async fn an_instance_that_a_store_was_not_given_is_a_broken_configuration() {
        let named = |name| Instance::new(name, Memory::new()).unwrap();
        let store = SecretStore::builder(named("eu")).accepts(named("us")).build().unwrap();
        let key = CredentialKey::parse("a", "c").unwrap();
        for text in ["{memory:asia}a/c?version=1", "{memory}a/c?version=1"] {
            let stored = StoredSecret::parse(text).unwrap();
            let error = store.verify(&key, &stored.clone().into(), &"secret".into()).await.unwrap_err();
            let crate::VerifyError::Backend(error) = error else { panic!("{text}: a mismatch") };
            assert_eq!(error.kind(), ErrorKind::UnknownBackend);
            let error = store.revoke(&key, &stored.into()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownBackend);
        }
    }
}
