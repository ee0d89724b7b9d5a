//! Secrets in this process's memory, for tests and demonstrations: everything is lost with the process.
//!
//! It behaves as Vault's KV version 2 does: versions counted from 1, compare-and-set on every write, the last ten versions kept
//! until all are revoked. The record is `client/credential?version=N`, with ids escaped as in a
//! Vault path.
//!
//! **Fails** with `Conflict` when a compare-and-set is lost, with `NotFound` for what was revoked or evicted, and with `Malformed` on
//! a record that is not the key's.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::backend::{BackendInfo, Custody, Held, Pointer, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::inventory::{Inventory, NamePage};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::segment::path_of;

/// A versioned store in memory. Plaintext secrets, no persistence: for tests and demonstrations.
pub struct Memory {
    info: BackendInfo,
    secrets: Mutex<HashMap<CredentialKey, Versions>>,
}

/// Versions of a credential. Nothing is in a blank one.
#[derive(Default)]
struct Versions {
    /// How many were evicted, the first ones.
    evicted: usize,
    kept: VecDeque<Option<ClientSecret>>,
}

impl Versions {
    fn latest(&self) -> usize {
        self.evicted + self.kept.len()
    }

    fn get(&self, version: usize) -> Option<&Option<ClientSecret>> {
        self.kept.get(version.checked_sub(self.evicted + 1)?)
    }

    fn push(&mut self, secret: Option<ClientSecret>, most: u64) -> usize {
        self.kept.push_back(secret);
        while self.kept.len() as u64 > most {
            self.kept.pop_front();
            self.evicted += 1;
        }
        self.latest()
    }
}

impl Memory {
    /// An empty store that keeps ten versions of a secret.
    #[must_use]
    pub fn new() -> Self {
        Self::keeping(10)
    }

    /// An empty store that keeps so many versions of a secret, at least 1.
    #[must_use]
    pub fn keeping(versions: u64) -> Self {
        let info = BackendInfo::new(BackendId::MEMORY, Custody::Backend)
            .with_pin_mark("?version=")
            .with_reveal()
            .with_versions_kept(versions.max(1));
        Self { info, secrets: Mutex::default() }
    }

    fn most(&self) -> u64 {
        self.info.versions_kept.unwrap_or(u64::MAX)
    }

    /// What `part` makes of each key, each once, the smallest first.
    fn names(&self, after: Option<&str>, limit: usize, part: impl Fn(&CredentialKey) -> Option<String>) -> NamePage {
        let names: BTreeSet<_> = self.secrets().keys().filter_map(part).collect();
        let names = names.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after));
        let names: Vec<_> = names.take(limit).collect();
        let next = if names.len() == limit { names.last().cloned() } else { None };
        NamePage { names, next }
    }

    fn secrets(&self) -> MutexGuard<'_, HashMap<CredentialKey, Versions>> {
        // No code panics while it holds the lock, and every write is a single step.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("credentials", &self.secrets().len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretBackend for Memory {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        Some(StoredSecret::new(BackendId::MEMORY, path_of(key)))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let ours = Some(stored).filter(|stored| stored.backend() == &BackendId::MEMORY)?;
        let (path, version) = ours.payload().split_once("?version=")?;
        let version = version.parse().ok().filter(|version| *version > 0)?;
        Some(Pointer { place: StoredSecret::new(BackendId::MEMORY, path), version: Some(version) })
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret).map_err(|error| error.with_operation(Operation::Store))?;
        let mut secrets = self.secrets();
        if secrets.contains_key(key) {
            return Err(error(ErrorKind::Conflict, Operation::Store, "the credential already has a secret"));
        }
        secrets.entry(key.clone()).or_default().push(Some(secret.clone()), self.most());
        Ok(record(key, 1))
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let version = pinned_version(Operation::Verify, key, stored)?;
        let secret = self.secrets().get(key).and_then(|versions| versions.get(version)).cloned().flatten();
        match secret {
            Some(secret) if secret.ct_eq(candidate) => Ok(Verdict::Match),
            Some(_) => Ok(Verdict::Mismatch),
            None => Err(error(ErrorKind::NotFound, Operation::Verify, "the credential or this version of it is gone")),
        }
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let secrets = self.secrets();
        let Some(versions) = secrets.get(key) else { return Ok(Held::Nothing) };
        // Vault takes 0 for the latest.
        let version = version.filter(|version| *version > 0);
        let number = version.map_or(versions.latest(), |version| usize::try_from(version).unwrap_or(usize::MAX));
        Ok(match versions.get(number) {
            Some(secret) => {
                Held::Version { version: number as u64, stored: record(key, number), secret: secret.clone() }
            }
            None => Held::Nothing,
        })
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        if let Some(secret) = secret {
            self.info.check_secret(secret).map_err(|error| error.with_operation(Operation::Rotate))?;
        }
        let mut secrets = self.secrets();
        let held = secrets.get(key).map_or(0, Versions::latest);
        if held as u64 != latest {
            return Err(error(
                ErrorKind::Conflict,
                Operation::Rotate,
                "another version is the latest; read the row again",
            ));
        }
        let version = secrets.entry(key.clone()).or_default().push(secret.cloned(), self.most());
        Ok(record(key, version))
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        let version = pinned_version(Operation::Rotate, key, current)?;
        self.info.check_secret(secret).map_err(|error| error.with_operation(Operation::Rotate))?;
        let mut secrets = self.secrets();
        match secrets.get_mut(key) {
            Some(versions) if versions.latest() == version => {
                Ok(record(key, versions.push(Some(secret.clone()), self.most())))
            }
            _ => Err(error(ErrorKind::Conflict, Operation::Rotate, "the record is not the latest; read the row again")),
        }
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        pinned_version(Operation::Revoke, key, stored)?;
        self.secrets().remove(key);
        Ok(())
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.secrets().remove(key);
        Ok(())
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Inventory for Memory {
    async fn clients(&self, after: Option<&str>, limit: usize) -> Result<NamePage> {
        Ok(self.names(after, limit, |key| Some(key.client_id().to_string())))
    }

    async fn credentials_of(&self, client: &str, after: Option<&str>, limit: usize) -> Result<NamePage> {
        let credential = |key: &CredentialKey| Some(key.credential_id().to_string());
        Ok(self.names(after, limit, |key| credential(key).filter(|_| key.client_id().as_str() == client)))
    }
}

fn record(key: &CredentialKey, version: usize) -> StoredSecret {
    StoredSecret::new(BackendId::MEMORY, format!("{}?version={version}", path_of(key)))
}

/// The version that the record pins, 1 or above, once it is known to be the key's record.
fn pinned_version(operation: Operation, key: &CredentialKey, stored: &StoredSecret) -> Result<usize> {
    let version = stored.payload().split_once("?version=").and_then(|(_path, version)| version.parse().ok());
    match version {
        Some(version) if version > 0 && record(key, version) == *stored => Ok(version),
        _ => Err(error(ErrorKind::Malformed, operation, "the record is damaged, or not one of this credential")),
    }
}

fn error(kind: ErrorKind, operation: Operation, message: &'static str) -> Error {
    Error::new(kind, message).with_operation(operation).with_backend(BackendId::MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(credential: &str) -> CredentialKey {
        CredentialKey::parse("client", credential).unwrap()
    }

    #[tokio::test]
    async fn versions_live_until_all_are_revoked() {
        let (memory, key) = (Memory::new(), key("c"));
        let (one, two) = (ClientSecret::from("one"), ClientSecret::from("two"));
        let first = memory.store(&key, &one).await.unwrap();
        let second = memory.rotate(&key, &first, &two).await.unwrap();
        assert_eq!((first.payload(), second.payload()), ("client/c?version=1", "client/c?version=2"));
        assert_eq!(memory.verify(&key, &first, &one).await.unwrap(), Verdict::Match);
        assert_eq!(memory.verify(&key, &second, &one).await.unwrap(), Verdict::Mismatch);
        assert_eq!(memory.verify(&key, &second, &two).await.unwrap(), Verdict::Match);
        memory.revoke(&key, &second).await.unwrap();
        memory.revoke(&key, &second).await.unwrap();
        assert_eq!(memory.verify(&key, &first, &one).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(memory.rotate(&key, &second, &one).await.unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn nothing_is_overwritten() {
        let (memory, key) = (Memory::new(), key("c"));
        let first = memory.store(&key, &"one".into()).await.unwrap();
        assert_eq!(memory.store(&key, &"two".into()).await.unwrap_err().kind(), ErrorKind::Conflict);
        memory.rotate(&key, &first, &"two".into()).await.unwrap();
        let stale = memory.rotate(&key, &first, &"three".into()).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn a_record_that_is_not_the_keys_is_malformed() {
        let memory = Memory::new();
        let record = memory.store(&key("c"), &"one".into()).await.unwrap();
        assert_eq!(memory.verify(&key("d"), &record, &"one".into()).await.unwrap_err().kind(), ErrorKind::Malformed);
        for payload in
            ["", "client/c", "client/c?version=", "client/c?version=0", "client/c?version=01", "client/c?version=+1"]
        {
            let damaged = StoredSecret::new(BackendId::MEMORY, payload);
            let error = memory.verify(&key("c"), &damaged, &"one".into()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{payload:?}");
        }
        let gone = StoredSecret::new(BackendId::MEMORY, "client/c?version=2");
        assert_eq!(memory.verify(&key("c"), &gone, &"one".into()).await.unwrap_err().kind(), ErrorKind::NotFound);
        let foreign = StoredSecret::new(BackendId::BCRYPT, "client/c?version=1");
        assert_eq!(memory.revoke(&key("c"), &foreign).await.unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[tokio::test]
    async fn debug_shows_no_secret() {
        let memory = Memory::new();
        memory.store(&key("c"), &"canary".into()).await.unwrap();
        assert_eq!(format!("{memory:?}"), "Memory { credentials: 1, .. }");
    }
}
