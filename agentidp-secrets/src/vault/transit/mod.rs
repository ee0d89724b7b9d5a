//! Vault's transit engine: the record holds an HMAC whose key never leaves Vault.
//!
//! For who has Vault and wants nothing of it but a key: a stolen database gives nothing to try guesses on, a stolen backup of Vault
//! no secret, and whoever may use the key reads none. A secret cannot be shown again.
//!
//! # What it stores, and where
//! Nothing in Vault but the key, which you make. The record is `$vault-transit$v=1$key=…$salt$vault:v3:…`: the name of the key, 16
//! random bytes, and what Vault gave: the version of the key and HMAC-SHA-256 of client id, credential id, salt and secret. A record
//! that is moved to another credential's row verifies nothing there.
//!
//! # What it costs
//! A verification is one request, an issue or a rotation is one. With a cluster all of them go to the active node. A right secret costs
//! one request more once a minute in each process: that is how a rotation of the key is noticed. Behind a
//! [`WarmLayer`](crate::layers::WarmLayer) what is proved is remembered as long as with [`VaultKv2`](super::VaultKv2).
//!
//! # Rotating the key
//! `bao write -f transit/keys/agentidp/rotate` makes a new version. Records of older versions verify as
//! [`MatchOutdated`](crate::Verdict::MatchOutdated), and [`upgrade`](crate::SecretStore::upgrade) makes them of the newest one. When
//! none is left, raise `min_decryption_version`. Never delete the key: every secret would have to be rotated.
//!
//! # What can fail
//! | Vault | kind |
//! |---|---|
//! | down, hung, sealed, electing, a proxy's answer | `Unavailable` |
//! | quota used up | `Throttled` |
//! | token dead, policy without the right | `Denied` |
//! | no such key, mount or namespace, another engine | `InvalidConfig` |
//! | the record's version is below `min_decryption_version`, or newer than the key | `InvalidConfig` |
//! | the record is of another key | `InvalidConfig` |
//! | a damaged record | `Malformed` |
//!
//! None of them is a mismatch. But a key of the same name and version that has other bytes, in another Vault say, makes each secret one.
//!
//! # The way in and out
//! Make it the primary of a store that accepts the old backend, and `upgrade` after proofs, or rotate. Out: another primary.

mod answer;
mod backend;
mod builder;
mod client;
mod failure;
mod newest;
mod site;
mod text;

use std::sync::Arc;

use self::client::TransitClient;
use self::failure::TransitFailure;
use self::newest::NewestVersion;
use self::site::TransitSite;
use super::auth::Session;
use super::failure::Failure;
use super::mount::Mount;
use crate::backend::BackendInfo;
use crate::error::{Error, Operation, Result};
use crate::record::BackendId;

pub use self::builder::VaultTransitBuilder;

/// HMACs of secrets by Vault's transit engine. Cheap to clone; clones share connections and token.
///
/// ```no_run
/// # async fn example() -> agentidp_secrets::Result<()> {
/// use agentidp_secrets::vault::transit::VaultTransit;
///
/// let transit = VaultTransit::builder("https://vault.example:8200", "s.token", "agentidp").build()?;
/// transit.check().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VaultTransit {
    info: BackendInfo,
    client: Arc<TransitClient>,
    newest: Arc<NewestVersion>,
}

impl VaultTransit {
    /// Longest secret in bytes. A generated one has 72.
    pub const MAX_SECRET_LEN: usize = 4096;

    /// Checks at start that the mount is a transit engine, that the key is there, and that the token may use it.
    ///
    /// # Errors
    /// `InvalidConfig` when the mount is missing or of another engine, or the key is missing; `Denied` when the token is dead or its
    /// policy lacks a right; `Unavailable` when Vault cannot be asked.
    pub async fn check(&self) -> Result<()> {
        let mount = &self.site().mount;
        let found = Mount::find(self.session(), mount).await.map_err(|failure| self.probe_error(failure))?;
        let failure = match found.engine.as_str() {
            _ if !found.is_at(mount) => TransitFailure::Vault(Failure::NoRoute),
            "transit" => return self.try_both().await.map_err(|failure| self.error(Operation::Probe, failure)),
            _ => TransitFailure::OtherEngine,
        };
        Err(self.error(Operation::Probe, failure))
    }

    /// The least-privilege policy for the configured mount and key, ready for `bao policy write`.
    #[must_use]
    pub fn policy(&self) -> String {
        self.site().policy()
    }

    pub(super) fn session(&self) -> &Session {
        &self.client.session
    }

    /// The error of a question that belongs to no verb.
    pub(super) fn probe_error(&self, failure: Failure) -> Error {
        self.error(Operation::Probe, TransitFailure::Vault(failure))
    }

    fn site(&self) -> &TransitSite {
        &self.client.site
    }

    fn error(&self, operation: Operation, failure: TransitFailure) -> Error {
        during(operation)(failure.at(self.site()))
    }
}

fn during(operation: Operation) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation).with_backend(BackendId::VAULT_TRANSIT)
}
