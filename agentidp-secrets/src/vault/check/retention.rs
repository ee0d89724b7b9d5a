//! What Vault keeps of a secret's versions, tried on a path of its own.

use super::scratch_key;
use crate::error::Result;
use crate::secret::ClientSecret;
use crate::vault::failure::Failure;
use crate::vault::kv2::VaultKv2;
use crate::vault::path::VaultPath;

/// Versions that are written at the most to find out how many are kept.
const MOST: u64 = 64;

/// What Vault keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// How many versions of a secret are kept; no more than were asked for are counted.
    pub versions: u64,
    /// Whether versions delete themselves after a time: `delete_version_after` of the mount.
    pub deletes_by_itself: bool,
}

impl VaultKv2 {
    /// Tries how many versions of a secret Vault keeps, up to `expected` and at most 64, and whether it deletes them by
    /// itself. Writes one version more than that on a path of its own, and deletes it.
    ///
    /// # Errors
    /// `Denied` without the rights of the [policy](Self::policy); `Unavailable` and `InvalidConfig` as `verify`.
    pub async fn check_retention(&self, expected: u64) -> Result<Retention> {
        let key = scratch_key()?;
        let (path, secret) = (self.site.folder.path(&key), ClientSecret::generate()?);
        let tried = self.try_retention(&path, &secret, expected.clamp(1, MOST)).await;
        let purged = self.kv.purge(&path).await;
        let retention = tried.map_err(|failure| self.probe_error(failure))?;
        purged.map_err(|failure| self.probe_error(failure))?;
        Ok(retention)
    }

    async fn try_retention(
        &self,
        path: &VaultPath,
        secret: &ClientSecret,
        expected: u64,
    ) -> Result<Retention, Failure> {
        for latest in 0..=expected {
            self.kv.write(path, secret, latest).await?;
        }
        let mut versions = 1;
        while versions < expected && self.is_kept(path, expected + 1 - versions).await? {
            versions += 1;
        }
        Ok(Retention { versions, deletes_by_itself: self.vault.deletes_by_itself(path).await? })
    }

    async fn is_kept(&self, path: &VaultPath, version: u64) -> Result<bool, Failure> {
        match self.kv.read(path, Some(version)).await {
            Ok(_) => Ok(true),
            Err(Failure::Missing) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
