//! A backend of your own. In a crate of yours `agentidp_secrets::conformance!(…)` and `store_conformance!(…)` write one
//! test for each check.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io;
use std::path::PathBuf;

use agentidp_secrets::testkit::{BackendHarness, checks, store_checks};
use agentidp_secrets::{BackendId, BackendInfo, ClientSecret, CredentialKey, Custody, Held, Pointer};
use agentidp_secrets::{Error, ErrorKind, Result, SecretBackend, StoredSecret, Verdict};
use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::fs;

/// Secrets under `folder/client/credential/version`. The record is that path, and names the version. Ids are any text, also one
/// that is no name of a file, so their hashes stand for them.
#[derive(Debug)]
struct Files {
    info: BackendInfo,
    folder: PathBuf,
}

fn place(key: &CredentialKey) -> String {
    let hash = |id: &str| hex::encode(Sha256::digest(id));
    format!("{}/{}", hash(key.client_id().as_str()), hash(key.credential_id().as_str()))
}

impl Files {
    fn folder(&self, key: &CredentialKey) -> PathBuf {
        self.folder.join(place(key))
    }

    fn record(&self, key: &CredentialKey, version: u64) -> StoredSecret {
        StoredSecret::new(self.info.id.clone(), format!("{}/{version}", place(key)))
    }

    /// The version that a record names, if the record is ours and the key's.
    fn version(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<u64> {
        let version = stored.payload().rsplit_once('/').and_then(|(_, version)| version.parse().ok());
        version
            .filter(|version| self.record(key, *version) == *stored)
            .ok_or_else(|| Error::new(ErrorKind::Malformed, "not a record of this credential"))
    }

    async fn latest(&self, key: &CredentialKey) -> Result<Option<u64>> {
        let mut files = match fs::read_dir(self.folder(key)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            files => files.map_err(failed)?,
        };
        let mut latest = None;
        while let Some(file) = files.next_entry().await.map_err(failed)? {
            latest = latest.max(file.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        Ok(latest)
    }

    /// Appears whole or not at all, and never in place of another: a link cannot be made twice.
    async fn write(&self, key: &CredentialKey, version: u64, secret: &ClientSecret) -> Result<StoredSecret> {
        let folder = self.folder(key);
        let unfinished = folder.join(format!("new-{}", uuid::Uuid::new_v4()));
        fs::write(&unfinished, secret.expose_secret()).await.map_err(failed)?;
        let linked = fs::hard_link(&unfinished, folder.join(version.to_string())).await;
        fs::remove_file(&unfinished).await.and(linked).map(|()| self.record(key, version)).map_err(failed)
    }
}

/// Foreign errors are translated once.
fn failed(error: io::Error) -> Error {
    let (kind, message) = match error.kind() {
        io::ErrorKind::AlreadyExists => (ErrorKind::Conflict, "the record is not the latest; read the row again"),
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "the secret is gone; rotate the credential"),
        _ => (ErrorKind::Unavailable, "the folder cannot be used; look at its rights"),
    };
    Error::new(kind, message).with_source(error)
}

#[async_trait]
impl SecretBackend for Files {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    /// A lifecycle notes by it what has to be forgotten.
    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        Some(StoredSecret::new(self.info.id.clone(), place(key)))
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        let (place, version) = stored.payload().rsplit_once('/')?;
        let place = StoredSecret::new(self.info.id.clone(), place);
        Some(Pointer { place, version: Some(version.parse().ok()?) })
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret)?;
        fs::create_dir_all(self.folder(key)).await.map_err(failed)?;
        self.write(key, 1, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let file = self.folder(key).join(self.version(key, stored)?.to_string());
        let secret = ClientSecret::try_from(fs::read(file).await.map_err(failed)?)?;
        // Nothing matches a blank version.
        Ok(if self.info.can_store(&secret) && secret.ct_eq(candidate) { Verdict::Match } else { Verdict::Mismatch })
    }

    /// This and `overwrite` let a store write over what a lost commit has left.
    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let Some(version) = (match version {
            None => self.latest(key).await?,
            version => version,
        }) else {
            return Ok(Held::Nothing);
        };
        match fs::read(self.folder(key).join(version.to_string())).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::Nothing),
            read => {
                let secret =
                    ClientSecret::try_from(read.map_err(failed)?).ok().filter(|secret| self.info.can_store(secret));
                Ok(Held::Version { version, stored: self.record(key, version), secret })
            }
        }
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        let blank = ClientSecret::from("");
        secret.map_or(Ok(()), |secret| self.info.check_secret(secret))?;
        fs::create_dir_all(self.folder(key)).await.map_err(failed)?;
        self.write(key, latest + 1, secret.unwrap_or(&blank)).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret)?;
        self.write(key, self.version(key, current)?.saturating_add(1), secret).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.version(key, stored)?;
        self.forget(key).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        match fs::remove_dir_all(self.folder(key)).await.map_err(failed) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    async fn probe(&self) -> Result<()> {
        fs::read_dir(&self.folder).await.map(drop).map_err(failed)
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    // Each record names its version, so all are pinned.
    let info = BackendInfo::new(BackendId::parse("files")?, Custody::Backend).with_pin_mark("");
    let harness = BackendHarness::new(Files { info, folder: folder.path().to_owned() });
    for check in checks() {
        check.run(&harness).await; // panics with the clause that is broken
        println!("ok  {}", check.name);
    }
    for check in store_checks() {
        check.run(&harness).await; // a store over it, whose callers meet one another
        println!("ok  {}", check.name);
    }
    Ok(())
}
