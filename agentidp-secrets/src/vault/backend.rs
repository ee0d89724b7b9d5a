//! [`SecretBackend`] for [`VaultKv2`].

use async_trait::async_trait;

use super::failure::Failure;
use super::kv::{KvEntry, KvValue};
use super::kv2::VaultKv2;
use crate::backend::{BackendInfo, Held, Pointer, SecretBackend, Verdict};
use crate::backends::forms;
use crate::credential::CredentialKey;
use crate::error::{Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

#[async_trait]
impl SecretBackend for VaultKv2 {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        Some(self.record(&self.site.folder.path(key)))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let path = self.site.folder.parse(stored.payload()).ok().filter(|_| stored.backend() == &self.info.id)?;
        let version = path.version();
        Some(Pointer { place: self.record(&path.unpinned()), version })
    }

    /// A bare path: `mount/data/…`, which belongs to the backend without an instance.
    fn recognises(&self, text: &str) -> bool {
        self.info.id.instance().is_none() && forms::is_vault_path(text)
    }

    /// Stores the secret as version 1 of a path that does not exist yet.
    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.write_first(key, secret).await.map_err(self.during(Operation::Store))
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let verdict = match self.locate(key, stored) {
            Ok(path) => self.compare(&path, candidate).await,
            Err(error) => Err(error),
        };
        verdict.map_err(self.during(Operation::Verify))
    }

    /// Reads a bare path's latest version from the active node. A record with a version costs nothing.
    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let pinned = match self.locate(key, stored) {
            Ok(path) => self.pinned(path).await,
            Err(error) => Err(error),
        };
        pinned.map_err(self.during(Operation::Pin))
    }

    /// Reads the latest version from the active node; a version with a number from any.
    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let path = self.site.folder.path(key);
        let read = match version {
            Some(_) => self.kv.read(&path, version).await,
            None => self.kv.latest(&path).await,
        };
        let held = match read {
            Ok(KvEntry { written, value }) => path.pinned_to(&written).map(|path| Held::Version {
                version: written.version,
                stored: self.record(&path),
                secret: if let KvValue::Secret(secret) = value { Some(secret) } else { None },
            }),
            Err(Failure::Missing) => Ok(Held::Nothing),
            Err(failure) => Err(failure.at(&self.site)),
        };
        held.map_err(self.during(Operation::Pin))
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        let path = self.site.folder.path(key);
        let written = match secret {
            Some(secret) => match self.info.check_secret(secret) {
                Ok(()) => self.write(&path, secret, latest).await,
                Err(error) => Err(error),
            },
            None => match self.kv.write_blank(&path, latest).await {
                Ok(written) => path.pinned_to(&written).map(|path| self.record(&path)),
                Err(failure) => Err(failure.at(&self.site)),
            },
        };
        written.map_err(self.during(Operation::Rotate))
    }

    /// Writes the next version, if `current` pins the latest one.
    ///
    /// A record without a version takes the path over in whatever state it is: soft-deleted, gone, or ahead of the
    /// database because the commit after an earlier rotation was lost. The store [pins](Self::pin) it first.
    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        let rotated = match self.locate(key, current) {
            Ok(path) => self.write_next(&path, secret).await,
            Err(error) => Err(error),
        };
        rotated.map_err(self.during(Operation::Rotate))
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        let revoked = match self.locate(key, stored) {
            Ok(path) => self.kv.purge(&path).await.map_err(|failure| failure.at(&self.site)),
            Err(error) => Err(error),
        };
        revoked.map_err(self.during(Operation::Revoke))
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        let forgotten = self.kv.purge(&self.site.folder.path(key)).await;
        forgotten.map_err(|failure| self.during(Operation::Revoke)(failure.at(&self.site)))
    }

    /// Reads a path that never exists: to be told so takes the right to read below the prefix and nothing else.
    async fn probe(&self) -> Result<()> {
        let path = self.site.folder.path(&CredentialKey::parse("probe", "never-stored")?);
        match self.kv.read(&path, None).await {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure.at(&self.site)),
        }
        .map_err(self.during(Operation::Probe))
    }
}
