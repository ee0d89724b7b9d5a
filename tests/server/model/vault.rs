//! Vault's KV version 2 in this process, as far as its backend shows it: versions from 1, of which the latest few are kept,
//! compare-and-set, and nothing left after a purge.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use agentidp_secrets::vault::VaultPath;
use agentidp_secrets::{
    BackendId, BackendInfo, ClientSecret, CredentialKey, Custody, Error, ErrorKind, Held, Pointer, Result,
    SecretBackend, StoredSecret, Verdict,
};
use async_trait::async_trait;

/// What Vault holds. Clones are the same Vault, as it outlives every process.
#[derive(Clone, Debug)]
pub(super) struct Vault {
    info: Arc<BackendInfo>,
    /// Versions from 1 on; nothing is in a blank one.
    paths: Arc<Mutex<BTreeMap<String, Vec<Option<ClientSecret>>>>>,
    written: Arc<Mutex<Vec<ClientSecret>>>,
}

impl Vault {
    /// How many versions of a path are kept: as few as a sequence of failures may need, so that one too many shows.
    pub(super) const KEPT: u64 = 3;

    pub(super) fn new() -> Self {
        let info = BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend)
            .with_pin_mark("?version=")
            .with_reveal()
            .with_versions_kept(Self::KEPT);
        Self { info: Arc::new(info), paths: Arc::default(), written: Arc::default() }
    }

    /// The paths at which there is anything, as rows have them.
    pub(super) fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().keys().cloned().collect()
    }

    /// Every secret that was ever written, shown or not.
    pub(super) fn written(&self) -> Vec<ClientSecret> {
        self.written.lock().unwrap().clone()
    }

    /// A version that is still kept: its number, and what is in it.
    fn version(&self, place: &str, version: Option<u64>) -> Option<(u64, Option<ClientSecret>)> {
        let paths = self.paths.lock().unwrap();
        let versions = paths.get(place)?;
        let number = version.unwrap_or(versions.len() as u64);
        let is_kept = number + Self::KEPT > versions.len() as u64;
        versions
            .get(usize::try_from(number.checked_sub(1)?).unwrap())
            .filter(|_| is_kept)
            .map(|held| (number, held.clone()))
    }

    /// Writes a version if the latest is `expected`, or whatever it is.
    fn write(&self, path: &VaultPath, expected: Option<usize>, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        let place = path.clone().unpinned();
        let mut paths = self.paths.lock().unwrap();
        let latest = paths.get(&place.to_string()).map_or(0, Vec::len);
        if expected.is_some_and(|expected| expected != latest) {
            return Err(Error::new(ErrorKind::Conflict, "another version is the latest"));
        }
        paths.entry(place.to_string()).or_default().push(secret.cloned());
        self.written.lock().unwrap().extend(secret.cloned());
        let pinned = place.with_version(latest as u64 + 1)?;
        Ok(StoredSecret::new(BackendId::VAULT_KV2, pinned.to_string()))
    }
}

#[async_trait]
impl SecretBackend for Vault {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        let path = VaultPath::for_key("secret", "agentidp", key).ok()?;
        Some(StoredSecret::new(BackendId::VAULT_KV2, path.to_string()))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let path = VaultPath::parse(stored.payload()).ok()?;
        let version = path.version();
        let place = StoredSecret::new(BackendId::VAULT_KV2, path.unpinned().to_string());
        Some(Pointer { place, version })
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.write(&VaultPath::for_key("secret", "agentidp", key)?, Some(0), Some(secret))
    }

    async fn verify(&self, _key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let path = VaultPath::parse(stored.payload())?;
        let version = path.version().expect("our rows pin their version");
        match self.version(&path.unpinned().to_string(), Some(version)) {
            Some((_, Some(secret))) if secret.ct_eq(candidate) => Ok(Verdict::Match),
            Some((_, Some(_))) => Ok(Verdict::Mismatch),
            _ => Err(Error::new(ErrorKind::NotFound, "there is no such version")),
        }
    }

    async fn pin(&self, _key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let path = VaultPath::parse(stored.payload())?;
        let latest = match path.version() {
            Some(version) => version,
            None => self.paths.lock().unwrap().get(&path.to_string()).map_or(0, Vec::len) as u64,
        };
        let gone = |_| Error::new(ErrorKind::NotFound, "there is no version");
        let pinned = path.with_version(latest).map_err(gone)?;
        Ok(StoredSecret::new(BackendId::VAULT_KV2, pinned.to_string()))
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let path = VaultPath::for_key("secret", "agentidp", key)?;
        let Some((version, secret)) = self.version(&path.to_string(), version) else { return Ok(Held::Nothing) };
        let stored = StoredSecret::new(BackendId::VAULT_KV2, path.with_version(version)?.to_string());
        Ok(Held::Version { version, stored, secret })
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.write(&VaultPath::for_key("secret", "agentidp", key)?, Some(latest as usize), secret)
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        let path = VaultPath::parse(current.payload())?;
        assert_eq!(path.key(), key);
        self.write(&path, path.version().map(|version| version as usize), Some(secret))
    }

    async fn revoke(&self, _key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.paths.lock().unwrap().remove(&VaultPath::parse(stored.payload())?.unpinned().to_string());
        Ok(())
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.paths.lock().unwrap().remove(&VaultPath::for_key("secret", "agentidp", key)?.to_string());
        Ok(())
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}
