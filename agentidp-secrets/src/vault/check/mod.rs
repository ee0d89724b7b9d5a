//! What an operator asks before trusting a set-up: is the mount right, which rights are missing, what does Vault keep?

mod retention;

use super::failure::Failure;
use super::kv2::VaultKv2;
use super::rights;
use super::setting::Setting;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::secret::ClientSecret;

pub use self::retention::Retention;
pub use super::rights::{Right, RightCheck};

impl VaultKv2 {
    /// Checks at start that the mount is there and is KV version 2.
    ///
    /// Version 1 takes the same requests and keeps neither versions nor its word about deleting, so it has to be found
    /// out before the first secret is stored.
    ///
    /// # Errors
    /// `InvalidConfig` when the mount is missing, out of the token's reach, no KV engine or of version 1; `Denied` when
    /// the token is dead; `Unavailable` when Vault cannot be asked.
    pub async fn check(&self) -> Result<()> {
        let mount = self.site.folder.mount();
        let found = self.vault.mount(mount).await.map_err(|failure| self.probe_error(failure))?;
        if !found.is_at(mount) {
            return Err(self.probe_error(Failure::NoRoute));
        }
        if found.engine != "kv" {
            let setting = self.site.names.of(Setting::Mount);
            let message = format!("the mount `{mount}` in Vault is no KV engine: look at {setting}");
            return Err(self.during(Operation::Probe)(Error::new(ErrorKind::InvalidConfig, message)));
        }
        match found.options.and_then(|options| options.version).as_deref() {
            Some("2") => Ok(()),
            _ => Err(self.probe_error(Failure::NotVersioned)),
        }
    }

    /// Tries every right of the [policy](Self::policy) on a path of its own below the prefix, and says which are
    /// missing. Leaves nothing behind if the token may purge.
    pub async fn check_rights(&self) -> Vec<RightCheck> {
        let scratch = scratch_key().and_then(|key| Ok((self.site.folder.path(&key), ClientSecret::generate()?)));
        let (path, value) = match scratch {
            Ok(scratch) => scratch,
            Err(error) => return vec![self.tried(Right::Create, Err(error))],
        };
        let created = self.kv.write(&path, &value, 0).await.map(|written| written.version);
        let read = match self.kv.read(&path, created.ok()).await {
            // Being told that it is not there takes the right to read.
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure),
        };
        let updated = match created {
            Ok(version) => {
                self.kv.write(&path, &value, version).await.map(drop).map_err(|failure| self.probe_error(failure))
            }
            // Without a first version Vault would take the attempt for a `create`.
            Err(_) => Err(self.during(Operation::Probe)(Error::new(
                ErrorKind::Denied,
                "`update` cannot be tried without `create`",
            ))),
        };
        let deleted = self.vault.soft_delete(&path).await;
        let purged = self.kv.purge(&path).await;
        let plain = |result: Result<(), Failure>| result.map_err(|failure| self.probe_error(failure));
        vec![
            self.tried(Right::Create, plain(created.map(drop))),
            self.tried(Right::Read, plain(read)),
            self.tried(Right::Update, updated),
            self.tried(Right::Delete, plain(deleted)),
            self.tried(Right::Purge, plain(purged)),
        ]
    }

    /// The least-privilege policy for the configured mount and prefix, ready for `bao policy write`.
    #[must_use]
    pub fn policy(&self) -> String {
        rights::policy(&self.site.folder)
    }

    fn tried(&self, right: Right, result: Result<()>) -> RightCheck {
        RightCheck { right, pattern: right.pattern(&self.site.folder), result }
    }
}

/// A key that no credential has.
fn scratch_key() -> Result<CredentialKey> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)
        .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a path"))?;
    CredentialKey::parse("check", &hex::encode(random))
}
