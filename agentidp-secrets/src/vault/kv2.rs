//! [`VaultKv2`] and what its verbs share: finding a record's path, and reading what is there.

use std::borrow::Cow;
use std::sync::Arc;

use super::auth::Session;
use super::failure::{Failure, Site};
use super::kv::{KvEntry, KvV2, KvValue, VaultrsKv};
use super::path::VaultPath;
use super::setting::Setting;
use crate::backend::{BackendInfo, Custody, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// Secrets in Vault's KV engine, version 2. Cheap to clone; clones share connections and token.
///
/// ```no_run
/// # async fn example() -> agentidp_secrets::Result<()> {
/// use agentidp_secrets::vault::VaultKv2;
///
/// let vault = VaultKv2::builder("https://vault.example:8200", "s.token").mount("secret").build()?;
/// vault.check().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VaultKv2 {
    pub(super) info: BackendInfo,
    pub(super) kv: Arc<dyn KvV2>,
    pub(super) vault: Arc<VaultrsKv>,
    pub(super) site: Arc<Site>,
}

impl VaultKv2 {
    /// Longest secret in bytes. A generated one has 72; Vault itself would take nearly a megabyte.
    pub const MAX_SECRET_LEN: usize = 4096;

    /// Reads a secret back: for the one caller who is entitled to it, because the answer that showed it was lost. A record
    /// with a version reads that version.
    ///
    /// # Errors
    /// As [`verify`](crate::SecretBackend::verify), `NotFound` when the version is gone.
    pub async fn read_secret(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<ClientSecret> {
        let secret = match self.locate(key, stored) {
            Ok(path) => self.secret_at(&path).await,
            Err(error) => Err(error),
        };
        secret.map_err(self.during(Operation::Verify))
    }

    pub(super) fn over(id: BackendId, vault: Arc<VaultrsKv>, site: Site, versions_kept: u64) -> Self {
        // A bare path means whatever is the latest version.
        let info = BackendInfo::new(id, Custody::Backend)
            .with_max_secret_len(Self::MAX_SECRET_LEN)
            .with_pin_mark("?version=")
            .with_reveal()
            .with_versions_kept(versions_kept);
        Self { info, kv: Arc::clone(&vault) as Arc<dyn KvV2>, vault, site: Arc::new(site) }
    }

    pub(super) async fn pinned(&self, path: VaultPath) -> Result<StoredSecret> {
        if path.version().is_some() {
            return Ok(self.record(&path));
        }
        let entry = self.kv.latest(&path).await.map_err(|failure| failure.at(&self.site))?;
        let written = entry.written.clone();
        self.secret_in(entry)?;
        path.pinned_to(&written).map(|path| self.record(&path))
    }

    pub(super) async fn compare(&self, path: &VaultPath, candidate: &ClientSecret) -> Result<Verdict> {
        // Vault is asked whatever the candidate looks like: an outage shows, and an odd candidate takes as long.
        let secret = self.secret_at(path).await?;
        let matches = secret.ct_eq(candidate) && self.info.can_store(candidate);
        Ok(if matches { Verdict::Match } else { Verdict::Mismatch })
    }

    async fn secret_at(&self, path: &VaultPath) -> Result<ClientSecret> {
        let entry = self.kv.read(path, path.version()).await.map_err(|failure| failure.at(&self.site))?;
        self.secret_in(entry)
    }

    fn secret_in(&self, entry: KvEntry) -> Result<ClientSecret> {
        match entry.value {
            KvValue::Secret(secret) => Ok(secret),
            KvValue::Deleted | KvValue::Destroyed => Err(Failure::Deleted.at(&self.site)),
            KvValue::Unreadable => Err(Failure::Unreadable.at(&self.site)),
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.vault.session
    }

    /// The error of a question that belongs to no verb.
    pub(super) fn probe_error(&self, failure: Failure) -> Error {
        self.during(Operation::Probe)(failure.at(&self.site))
    }

    /// The path that `stored` points to, if it is the key's. A row that was swapped or tampered with must not lend one
    /// client the secret of another, or reach outside our folder.
    pub(super) fn locate(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<VaultPath> {
        if stored.backend() != &self.info.id {
            return Err(malformed("the record is not one of this Vault backend"));
        }
        let path = self.site.folder.parse(stored.payload())?;
        if path.folder() != &self.site.folder {
            return Err(malformed(format!(
                "the record's path is not below the configured mount and prefix: correct {} and {}, or rotate the credential",
                self.site.names.of(Setting::Mount),
                self.site.names.of(Setting::Prefix)
            )));
        }
        if path.key() != key {
            return Err(malformed(
                "the record's path is another credential's: find out who wrote the row, and rotate the credential",
            ));
        }
        Ok(path)
    }

    pub(super) fn record(&self, path: &VaultPath) -> StoredSecret {
        StoredSecret::new(self.info.id.clone(), path.to_string())
    }

    pub(super) fn during(&self, operation: Operation) -> impl Fn(Error) -> Error {
        move |error| error.with_operation(operation).with_backend(self.info.id.clone())
    }
}

fn malformed(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Malformed, message)
}
