//! What an operator asks before trusting a set-up: the mount, the rights one by one, the token.

use std::time::Duration;

use super::VaultKv2;
use super::auth::{AuthKind, TokenCare, TokenLife, VaultToken};
use super::failure::Failure;
use super::rights::{self, Right, RightCheck};

use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::record::BackendId;
use crate::secret::ClientSecret;

/// What Vault says about the token in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStatus {
    /// How long it lives unless it is renewed; `None` if it never ends.
    pub ttl: Option<Duration>,
    /// Whether it can be renewed at all.
    pub renewable: bool,
    /// What each renewal of a periodic token sets the life to. A token without a period dies at its longest life,
    /// renewed or not.
    pub period: Option<Duration>,
    /// Whether it may do everything. The backend needs far less: see [`VaultKv2::policy`].
    pub root: bool,
}

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
        let found = self.vault.mount(mount).await.map_err(|failure| self.refused(failure))?;
        // Vault answers for the mount that a longer path lies in, too.
        if found.path.trim_end_matches('/') != mount {
            return Err(self.refused(Failure::NoRoute));
        }
        if found.engine != "kv" {
            let message = format!("the mount `{mount}` in Vault is no KV engine: look at VAULT_KV_MOUNT");
            return Err(located(Error::new(ErrorKind::InvalidConfig, message)));
        }
        match found.options.and_then(|options| options.version).as_deref() {
            Some("2") => Ok(()),
            _ => Err(self.refused(Failure::NotVersioned)),
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
        let created = self.kv.write(&path, &value, 0).await;
        let read = match self.kv.read(&path, created.ok()).await {
            // Being told that it is not there takes the right to read.
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure),
        };
        let updated = match created {
            Ok(version) => {
                self.kv.write(&path, &value, version).await.map(drop).map_err(|failure| self.refused(failure))
            }
            // Without a first version Vault would take the attempt for a `create`.
            Err(_) => Err(located(Error::new(ErrorKind::Denied, "`update` cannot be tried without `create`"))),
        };
        let deleted = self.vault.soft_delete(&path).await;
        let purged = self.kv.purge(&path).await;
        let plain = |result: Result<(), Failure>| result.map_err(|failure| self.refused(failure));
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

    /// Asks Vault about the token in use.
    ///
    /// # Errors
    /// `Denied` when the token is dead, or may not look itself up because it was made without the default policy (then
    /// nobody can renew it either); `Unavailable` when Vault cannot be asked.
    pub async fn token_status(&self) -> Result<TokenStatus> {
        let token = self.vault.session.inspected().await.map_err(|failure| match failure {
            Failure::Denied(_) => self.refused(Failure::MayNotRenew),
            failure => self.refused(failure),
        })?;
        Ok(TokenStatus {
            ttl: token.expire_time.map(|_| Duration::from_secs(token.ttl)),
            renewable: token.renewable.unwrap_or(false),
            period: token.period.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            root: token.policies.iter().any(|policy| policy == "root"),
        })
    }

    /// Looks after the token: asks how long it lives, renews it shortly before two thirds of its life, logs in again where it
    /// cannot be renewed any more, and takes up a token file that has changed. Does only what is due, and says when to
    /// look again: nothing happens by itself, so call it again and again from a task of yours.
    ///
    /// Between two looks no token is missed: a request that meets a dead one gets another by itself, where there is a
    /// login or a file to get it from.
    pub async fn tend_token(&self) -> TokenCare {
        let (outcome, next) = self.vault.session.tend().await;
        TokenCare { outcome: outcome.map_err(|failure| self.refused(failure)), next }
    }

    /// How long the token in use lives, by what [`tend_token`](Self::tend_token) last heard. None while that is not
    /// known, and where it never ends.
    #[must_use]
    pub fn token_life(&self) -> Option<TokenLife> {
        self.vault.session.life()
    }

    /// How the token is come by.
    #[must_use]
    pub fn auth_kind(&self) -> AuthKind {
        self.vault.session.auth().kind()
    }

    /// Uses another token from the next request on, in every clone of this backend, until it is dead. Where tokens come
    /// from a file, [`tend_token`](Self::tend_token) goes back to the one in it.
    ///
    /// # Errors
    /// `InvalidConfig` when the text cannot be a token; the old one stays in use.
    pub fn replace_token(&self, token: impl Into<VaultToken>) -> Result<()> {
        self.vault.session.replace_token(&token.into())
    }

    fn tried(&self, right: Right, result: Result<()>) -> RightCheck {
        RightCheck { right, pattern: right.pattern(&self.site.folder), result }
    }

    fn refused(&self, failure: Failure) -> Error {
        located(failure.at(&self.site))
    }
}

/// A key that no credential has.
pub(super) fn scratch_key() -> Result<CredentialKey> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)
        .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a path"))?;
    CredentialKey::parse("check", &hex::encode(random))
}

fn located(error: Error) -> Error {
    error.with_operation(Operation::Probe).with_backend(BackendId::VAULT_KV2)
}
