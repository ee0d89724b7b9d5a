//! HashiCorp Vault or OpenBao, KV version 2: the secret lives in Vault, the record says where.
//!
//! # What it stores, and where
//! One KV entry a credential, at `{mount}/data/{prefix}/agents/{client}/credentials/{credential}`, with the secret in its
//! member `clientSecret`. A rotation writes a new version of the entry. The old version stays in Vault's history until the
//! credential [ends](crate::SecretStore::revoke) or until ten newer ones have pushed it out.
//!
//! Beside them `{mount}/data/{prefix}/ledger` can hold whose the folder is: see [`VaultKv2::ledger_entry`]. This backend itself
//! neither reads nor writes it.
//!
//! # What the record looks like
//! The path with the version that was written: see [`VaultPath`]. Verification reads exactly that version, so neither a
//! standby that lags behind nor a rotation that was never committed in the database can change what a record means. A
//! bare path, as older systems kept it, reads the latest version until its next rotation.
//!
//! # What it costs
//! A verification is one read, an issue or a rotation one write (one read more for a bare path). With several addresses a
//! request that one node turns away goes to the next one, within the time of the call; a pinned version that is missing is
//! asked for again where the storage is replicated. Nothing else is tried twice: wrap it in a retry layer for the rest.
//!
//! # What can fail
//! | Vault | kind |
//! |---|---|
//! | down, hung, sealed, electing, a proxy's answer | `Unavailable` |
//! | quota used up | `Throttled` |
//! | token dead, policy without the right | `Denied` |
//! | version deleted, pruned, never there | `NotFound` |
//! | version without a `clientSecret` | `Malformed` |
//! | compare-and-set lost | `Conflict` |
//! | no such mount or namespace, KV version 1 | `InvalidConfig` |
//!
//! A write whose answer is lost is read back, so it is an error only if its outcome cannot be found out.
//!
//! # The way in and out
//! Make it the primary backend and rotate: the store then writes here whatever the old record was, over whatever a lost
//! commit has left here. Make another one primary, keep this one accepted, and rotate: the way back. What stays here is
//! forgotten when the credential ends.

mod answer;
mod auth;
mod builder;
mod check;
mod client;
mod config;
mod failure;
mod index;
mod inventory;
mod kv;
mod ledger;
mod nodes;
mod path;
mod pool;
mod retention;
mod rights;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod write;

use std::sync::Arc;

use async_trait::async_trait;

use self::client::VaultrsKv;
use self::failure::{Failure, Site};
use self::kv::{KvEntry, KvV2, KvValue};
use crate::backend::{BackendInfo, Custody, Held, Pointer, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

pub use self::auth::{AppRole, AuthKind, Kubernetes, Tended, TokenCare, TokenLife, VaultAuth, VaultToken};
pub use self::builder::VaultKv2Builder;
pub use self::check::TokenStatus;
pub use self::config::{ClientCert, VaultKv2Config};
pub use self::inventory::{NamePage, Standing};
pub use self::ledger::{LedgerCounter, LedgerEntry};
pub use self::path::VaultPath;
pub use self::retention::Retention;
pub use self::rights::{Right, RightCheck};

/// Secrets in Vault's KV engine, version 2. Cheap to clone; clones share connections and token.
///
/// ```no_run
/// # async fn example() -> agentidp_secrets::Result<()> {
/// use agentidp_secrets::backends::VaultKv2;
///
/// let vault = VaultKv2::builder("https://vault.example:8200", "s.token").mount("secret").build()?;
/// vault.check().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VaultKv2 {
    info: BackendInfo,
    kv: Arc<dyn KvV2>,
    vault: Arc<VaultrsKv>,
    site: Arc<Site>,
}

impl VaultKv2 {
    /// Longest secret in bytes. A generated one has 72; Vault itself would take nearly a megabyte.
    pub const MAX_SECRET_LEN: usize = 4096;

    /// Sets up a backend on the server at `address`, or on a cluster whose nodes' addresses are separated by commas. A text for `auth` is the token.
    pub fn builder(address: impl Into<String>, auth: impl Into<VaultAuth>) -> VaultKv2Builder {
        VaultKv2Config::new(address, auth).into_builder()
    }

    /// Reads a secret back: for the one caller who is entitled to it, because the answer that showed it was lost. A record
    /// with a version reads that version.
    ///
    /// # Errors
    /// As [`verify`](SecretBackend::verify), `NotFound` when the version is gone.
    pub async fn read_secret(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<ClientSecret> {
        let secret = match self.locate(key, stored) {
            Ok(path) => self.secret_at(&path).await,
            Err(error) => Err(error),
        };
        secret.map_err(during(Operation::Verify))
    }

    fn over(vault: Arc<VaultrsKv>, site: Site) -> Self {
        // A bare path means whatever is the latest version.
        let info = BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend)
            .with_max_secret_len(Self::MAX_SECRET_LEN)
            .with_pin_mark("?version=");
        Self { info, kv: Arc::clone(&vault) as Arc<dyn KvV2>, vault, site: Arc::new(site) }
    }

    async fn pinned(&self, path: VaultPath) -> Result<StoredSecret> {
        let version = match path.version() {
            Some(version) => version,
            None => {
                let entry = self.kv.latest(&path).await.map_err(|failure| failure.at(&self.site))?;
                let version = entry.version;
                self.secret_in(entry).map(|_| version)?
            }
        };
        path.with_version(version).map(|path| record(&path))
    }

    async fn compare(&self, path: &VaultPath, candidate: &ClientSecret) -> Result<Verdict> {
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

    /// The path that `stored` points to, if it is the key's. A row that was swapped or tampered with must not lend one
    /// client the secret of another, or reach outside our folder.
    fn locate(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<VaultPath> {
        if stored.backend() != &BackendId::VAULT_KV2 {
            return Err(malformed("the record is not one of the Vault backend"));
        }
        let path = VaultPath::parse(stored.payload())?;
        if path.key() != key {
            return Err(malformed("the record's path is another credential's: find out who wrote the row"));
        }
        if path.folder() != &self.site.folder {
            return Err(malformed(
                "the record's path is not below the configured mount and prefix: correct the builder's `mount` and \
                 `prefix` (VAULT_KV_MOUNT and VAULT_PREFIX of the server), or rotate the credential",
            ));
        }
        Ok(path)
    }
}

#[async_trait]
impl SecretBackend for VaultKv2 {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        Some(record(&self.site.folder.path(key)))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let path = VaultPath::parse(stored.payload()).ok().filter(|_| stored.backend() == &BackendId::VAULT_KV2)?;
        let version = path.version();
        Some(Pointer { place: record(&path.unpinned()), version })
    }

    /// Stores the secret as version 1 of a path that does not exist yet.
    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.write_first(key, secret).await.map_err(during(Operation::Store))
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let verdict = match self.locate(key, stored) {
            Ok(path) => self.compare(&path, candidate).await,
            Err(error) => Err(error),
        };
        verdict.map_err(during(Operation::Verify))
    }

    /// Reads a bare path's latest version from the active node. A record with a version costs nothing.
    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let pinned = match self.locate(key, stored) {
            Ok(path) => self.pinned(path).await,
            Err(error) => Err(error),
        };
        pinned.map_err(during(Operation::Pin))
    }

    /// Reads the latest version from the active node; a version with a number from any.
    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let path = self.site.folder.path(key);
        let read = match version {
            Some(_) => self.kv.read(&path, version).await,
            None => self.kv.latest(&path).await,
        };
        let held = match read {
            Ok(KvEntry { version, value }) => path.with_version(version).map(|path| Held::Version {
                version,
                stored: record(&path),
                secret: if let KvValue::Secret(secret) = value { Some(secret) } else { None },
            }),
            Err(Failure::Missing) => Ok(Held::Nothing),
            Err(failure) => Err(failure.at(&self.site)),
        };
        held.map_err(during(Operation::Pin))
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        let path = self.site.folder.path(key);
        let written = match secret {
            Some(secret) => match self.info.check_secret(secret) {
                Ok(()) => self.write(&path, secret, latest).await,
                Err(error) => Err(error),
            },
            None => match self.kv.write_blank(&path, latest).await {
                Ok(version) => path.with_version(version).map(|path| record(&path)),
                Err(failure) => Err(failure.at(&self.site)),
            },
        };
        written.map_err(during(Operation::Rotate))
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
        rotated.map_err(during(Operation::Rotate))
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        let revoked = match self.locate(key, stored) {
            Ok(path) => self.kv.purge(&path).await.map_err(|failure| failure.at(&self.site)),
            Err(error) => Err(error),
        };
        revoked.map_err(during(Operation::Revoke))
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        let forgotten = self.kv.purge(&self.site.folder.path(key)).await;
        forgotten.map_err(|failure| during(Operation::Revoke)(failure.at(&self.site)))
    }

    /// Reads a path that never exists: to be told so takes the right to read below the prefix and nothing else.
    async fn probe(&self) -> Result<()> {
        let path = self.site.folder.path(&CredentialKey::parse("probe", "never-stored")?);
        match self.kv.read(&path, None).await {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure.at(&self.site)),
        }
        .map_err(during(Operation::Probe))
    }
}

fn record(path: &VaultPath) -> StoredSecret {
    StoredSecret::new(BackendId::VAULT_KV2, path.to_string())
}

fn during(operation: Operation) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation).with_backend(BackendId::VAULT_KV2)
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, message)
}
