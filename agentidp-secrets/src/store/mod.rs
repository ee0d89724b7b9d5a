//! What users hold: one store over the backend for new secrets and those whose records still verify.

mod any;
mod builder;
mod claim;
mod decoy;
mod end;
mod failed;
mod import;
mod lifecycle;
mod memories;
mod place;
mod select;
mod time;
mod unknown;
mod verbs;
mod verify;

use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures_util::future::join_all;

use self::decoy::Decoy;
use self::failed::failed;
use self::time::StoreTime;
use crate::backend::{BackendInfo, SharedBackend};
use crate::error::{Operation, Result};
use crate::format::SecretFormats;
use crate::keys::MacKeys;
use crate::record::BackendId;

pub use self::any::VerifiedAny;
pub use self::builder::SecretStoreBuilder;
pub use self::import::ImportedSecret;
pub use self::lifecycle::{CredentialSecrets, Generation, Imported, Issued, Previous, Rotated, Upgraded, Verified};

/// Issues, verifies, rotates and revokes client secrets over one primary backend and any number of accepted ones.
///
/// New secrets go to the primary; a record verifies on the backend that wrote it. That is coexistence: rows of several
/// backends are valid at once, also those of one client, and an outage of one backend touches only its own.
///
/// Cheap to clone; clones share everything. Needs a Tokio runtime.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use std::time::Duration;
///
/// use agentidp_secrets::backends::{Bcrypt, Memory};
/// use agentidp_secrets::{CredentialKey, SecretStore};
///
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// let before = SecretStore::builder(Bcrypt::builder().build()?).build()?;
/// let issued = before.issue(&key).await?;
///
/// // Later: another primary; bcrypt rows keep working and move over when they rotate.
/// let store = SecretStore::builder(Memory::new()).accepts(Bcrypt::builder().build()?).build()?;
/// assert!(store.verify(&key, &issued.stored.clone().into(), &issued.secret).await.is_ok());
/// let rotated = store.rotate(&key, &issued.stored.into(), Duration::ZERO).await?;
/// assert!(store.verify(&key, &rotated.stored.into(), &rotated.secret).await.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SecretStore(Arc<Inner>);

struct Inner {
    primary: SharedBackend,
    accepted: Vec<SharedBackend>,
    time: StoreTime,
    selector_keys: Option<MacKeys>,
    formats: SecretFormats,
    /// Whether selectors are bound to no client.
    looks_up: bool,
    decoy: Decoy,
}

impl SecretStore {
    /// What the primary backend says about itself.
    #[must_use]
    pub fn primary(&self) -> &BackendInfo {
        self.0.primary.info()
    }

    /// The forms of secrets: that of new ones, and those that count.
    #[must_use]
    pub fn formats(&self) -> &SecretFormats {
        &self.0.formats
    }

    /// Whether this store was given the backend with this id, as the primary or as one that it accepts.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.backends().any(|backend| backend.info().id.as_str() == id)
    }

    /// The ids of the backends that this store was given; the primary's comes first.
    pub fn ids(&self) -> impl Iterator<Item = &BackendId> {
        self.backends().map(|backend| &backend.info().id)
    }

    /// Tries whether each backend can be asked, all at once; the primary comes first.
    pub async fn probe(&self) -> Vec<(BackendId, Result<()>)> {
        join_all(self.backends().map(async |backend| {
            let id = backend.info().id.clone();
            let result = backend.probe().await.map_err(failed(Operation::Probe, &id));
            (id, result)
        }))
        .await
    }

    pub(crate) fn backends(&self) -> impl Iterator<Item = &SharedBackend> {
        iter::once(&self.0.primary).chain(&self.0.accepted)
    }

    pub(crate) fn time(&self) -> &StoreTime {
        &self.0.time
    }

    /// The time by which overlaps end.
    pub(crate) fn now(&self) -> SystemTime {
        self.0.time.now()
    }

    /// A reading of the clock that never goes back.
    pub(crate) fn instant(&self) -> Instant {
        self.0.time.instant()
    }

    pub(crate) fn primary_backend(&self) -> &SharedBackend {
        &self.0.primary
    }

    /// The backend with this id, if this store was given it.
    pub(crate) fn named(&self, id: &BackendId) -> Option<&SharedBackend> {
        self.backends().find(|backend| backend.info().id == *id)
    }
}

impl fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStore").field("primary", &self.0.primary).field("accepted", &self.0.accepted).finish()
    }
}

#[cfg(test)]
mod tests;
