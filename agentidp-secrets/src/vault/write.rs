//! The writes, and what became of one whose answer was lost.

use super::failure::Failure;
use super::kv::{KvEntry, KvValue};
use super::kv2::VaultKv2;
use super::path::{VaultPath, Written};
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl VaultKv2 {
    pub(super) async fn write_first(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret)?;
        self.write(&self.site.folder.path(key), secret, 0).await
    }

    pub(super) async fn write_next(&self, current: &VaultPath, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret)?;
        let latest = match current.version() {
            Some(version) => version,
            None => match self.kv.latest(current).await {
                Ok(entry) => entry.written.version,
                // Rotation is how a row whose path was deleted is repaired.
                Err(Failure::Missing) => 0,
                Err(failure) => return Err(failure.at(&self.site)),
            },
        };
        self.write(current, secret, latest).await
    }

    pub(super) async fn write(&self, path: &VaultPath, secret: &ClientSecret, cas: u64) -> Result<StoredSecret> {
        let written = match self.kv.write(path, secret, cas).await {
            Err(Failure::Conflict) => match self.read_back(path, secret, cas, Failure::Conflict).await {
                // A standby judges by the state that it has, which may be a moment old. By now it is not.
                Err(Failure::NotApplied) => self.kv.write(path, secret, cas).await,
                known => known,
            },
            Err(failure) if failure.leaves_a_write_undecided() => self.read_back(path, secret, cas, failure).await,
            decided => decided,
        };
        let path = path.clone().pinned_to(&written.map_err(|failure| failure.at(&self.site))?)?;
        Ok(self.record(&path))
    }

    /// Finds out whether a write was carried out of which only `failure` is known.
    ///
    /// The version that it would have made tells: it holds what we sent, or what another wrote, or does not exist. A
    /// lost compare-and-set is looked at too, because an attempt whose answer was lost may have been sent again by a
    /// caller or a proxy. Client secrets are too random for two writers to send the same one.
    async fn read_back(
        &self,
        path: &VaultPath,
        secret: &ClientSecret,
        cas: u64,
        failure: Failure,
    ) -> Result<Written, Failure> {
        let next = cas.checked_add(1).ok_or(failure)?;
        match (failure, self.kv.read(path, Some(next)).await) {
            (_, Ok(KvEntry { written, value: KvValue::Secret(found) })) if found.ct_eq(secret) => Ok(written),
            (_, Ok(_)) => Err(Failure::Conflict),
            (_, Err(Failure::Missing)) => Err(Failure::NotApplied),
            (failure, Err(_)) => Err(failure),
        }
    }
}
