//! Digests in the record, without the work: the payload is a number by which the world knows the secret.

use std::fmt;

use async_trait::async_trait;

use super::site::Site;
use crate::backend::{BackendInfo, Custody, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

pub(super) struct DigestBackend {
    info: BackendInfo,
    site: Site,
}

impl DigestBackend {
    pub(super) fn new(site: Site) -> Result<Self> {
        let info = BackendInfo::new(BackendId::parse("digest")?, Custody::Record).with_quick_digest();
        Ok(Self { info, site })
    }
}

#[async_trait]
impl SecretBackend for DigestBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn store(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.site.point("digest").await;
        self.site.makes([secret.expose_secret()]);
        Ok(self.site.world.lock().digest(secret))
    }

    async fn verify(&self, _key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.site.point("digest").await;
        let world = self.site.world.lock();
        let is_right = world.resolve(stored).is_some_and(|secret| secret.ct_eq(candidate));
        Ok(if is_right { Verdict::Match } else { Verdict::Mismatch })
    }

    async fn rotate(
        &self,
        key: &CredentialKey,
        _current: &StoredSecret,
        secret: &ClientSecret,
    ) -> Result<StoredSecret> {
        self.store(key, secret).await
    }

    async fn revoke(&self, _key: &CredentialKey, _stored: &StoredSecret) -> Result<()> {
        Ok(())
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

impl super::world::World {
    pub(super) fn digest(&mut self, secret: &ClientSecret) -> StoredSecret {
        self.digests.push(secret.clone());
        let id = BackendId::parse("digest").unwrap_or(BackendId::MEMORY);
        StoredSecret::new(id, (self.digests.len() - 1).to_string())
    }
}

impl fmt::Debug for DigestBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestBackend").finish_non_exhaustive()
    }
}
