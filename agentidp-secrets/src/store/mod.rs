//! What users hold: one store over the backend for new secrets and those whose records still verify.

mod any;
mod builder;
mod decoy;
mod lifecycle;
mod select;
mod verify;

use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use self::decoy::Decoy;
use crate::backend::{BackendInfo, Held, SharedBackend};
use crate::clock::Clock;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::keys::MacKeys;
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

pub use self::any::VerifiedAny;
pub use self::builder::SecretStoreBuilder;
pub use self::lifecycle::{CredentialSecrets, Generation, Issued, Previous, Rotated, Upgraded, Verified};

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
    clock: Arc<dyn Clock>,
    selector_keys: Option<MacKeys>,
    decoy: Decoy,
}

impl SecretStore {
    /// What the primary backend says about itself.
    #[must_use]
    pub fn primary(&self) -> &BackendInfo {
        self.0.primary.info()
    }

    /// Generates a secret for a new credential and stores it on the primary backend.
    ///
    /// Commit the record, then show the secret, once.
    ///
    /// # Errors
    /// Those of [`SecretBackend::store`](crate::SecretBackend::store); `Internal` when there is no randomness.
    pub async fn issue(&self, key: &CredentialKey) -> Result<Issued> {
        self.issue_with(key, ClientSecret::generate()?).await
    }

    /// Does what [`issue`](Self::issue) does, with a secret that the caller has generated.
    ///
    /// For a protocol that notes a digest of the secret before a backend is written. The secret is one that
    /// [`ClientSecret::generate`] has just made, never one that somebody presented.
    ///
    /// # Errors
    /// Those of [`SecretBackend::store`](crate::SecretBackend::store).
    pub async fn issue_with(&self, key: &CredentialKey, secret: ClientSecret) -> Result<Issued> {
        let stored = self.0.primary.store(key, &secret).await.map_err(failed(Operation::Store, &self.primary().id))?;
        let selector = self.selector_for(key, &stored, &secret);
        Ok(Issued { secret, stored, selector })
    }

    /// Returns the record of the one secret that `stored` means now.
    ///
    /// A pinned record comes back as it is, without a request. A bare Vault path, which means the latest version, comes back
    /// with the number of that version.
    ///
    /// # Errors
    /// Those of [`SecretBackend::pin`](crate::SecretBackend::pin); `UnknownBackend` when the record's backend is not
    /// configured.
    pub async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        let backend = self.backend(Operation::Pin, stored.backend())?;
        if backend.info().is_pinned(stored) {
            return Ok(stored.clone());
        }
        backend.pin(key, stored).await.map_err(failed(Operation::Pin, stored.backend()))
    }

    /// Puts a new secret in place of the credential's present one, on the primary backend.
    ///
    /// A record of another backend moves to the primary by this: the new secret is stored there as a first one. With a
    /// `grace` above zero the current record comes back as [`Rotated::previous`] and verifies until then; the one before it
    /// is at an end.
    ///
    /// The current record is [pinned](Self::pin) first, and the new secret is written only where that version is still the
    /// latest. So the previous record names one version, also where the row held a bare Vault path. There is no previous
    /// record when the backend no longer holds the current secret.
    ///
    /// Commit the new record, then show the secret, once. Until the commit the old record keeps working. When the
    /// backend has changed, [`revoke`](Self::revoke) the old record once it no longer counts, so that its backend
    /// forgets; when it has not, never revoke the old one alone: the backend would forget the new secret too.
    ///
    /// # Errors
    /// `Conflict` when somebody else rotated first, or the primary already holds a secret of the key (a move whose
    /// commit was lost); `UnknownBackend` when the record's backend is not configured, so that no secret is left behind
    /// unseen; `InvalidConfig` when the end of `grace` is past what the clock can express; else those of
    /// [`SecretBackend::rotate`](crate::SecretBackend::rotate).
    pub async fn rotate(&self, key: &CredentialKey, secrets: &CredentialSecrets, grace: Duration) -> Result<Rotated> {
        self.rotate_with(key, secrets, grace, ClientSecret::generate()?).await
    }

    /// Does what [`rotate`](Self::rotate) does, with a secret that the caller has generated.
    ///
    /// The secret is one that [`ClientSecret::generate`] has just made, never one that somebody presented.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub async fn rotate_with(
        &self,
        key: &CredentialKey,
        secrets: &CredentialSecrets,
        grace: Duration,
        secret: ClientSecret,
    ) -> Result<Rotated> {
        let valid_until = self.0.clock.now().checked_add(grace).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "the grace period ends after the end of time; shorten it")
                .with_operation(Operation::Rotate)
        })?;
        let CredentialSecrets { current, selector, .. } = secrets;
        let held = self.held(key, current, grace).await?;
        let stored = self.replace(key, held.as_ref().unwrap_or(current), &secret).await?;
        let previous =
            held.filter(|_| !grace.is_zero()).map(|stored| Previous { stored, selector: *selector, valid_until });
        let selector = self.selector_for(key, &stored, &secret);
        Ok(Rotated { secret, stored, selector, previous })
    }

    /// Makes the backends forget the credential's secrets: the current one and the previous one, each where it lives.
    ///
    /// Mark the row first; this may be repeated until it succeeds.
    ///
    /// # Errors
    /// Both are tried; the first failure is returned, with the kinds of
    /// [`SecretBackend::revoke`](crate::SecretBackend::revoke), or `UnknownBackend`.
    pub async fn revoke(&self, key: &CredentialKey, secrets: &CredentialSecrets) -> Result<()> {
        let current = self.revoke_one(key, &secrets.current).await;
        let previous = match &secrets.previous {
            Some(previous) => self.revoke_one(key, &previous.stored).await,
            None => Ok(()),
        };
        current.and(previous)
    }

    /// Stores the secret that was just proved again, in today's form: on the primary backend, at its present cost.
    ///
    /// Gives `None` when there is nothing to do: the record is up to date, the previous secret was the one proved, the proof is
    /// stale, or the primary cannot hold a secret of this form, such as a chosen one where it takes
    /// [generated ones only](BackendInfo::generated_only). Pass the record and the candidate that `proof` is about. Put the
    /// new record, and its selector, in the row only where the row still holds `current` (compare and set); when that
    /// fails, somebody rotated: revoke the new record if its backend has changed. A failure here is never a failure of the
    /// login.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    pub async fn upgrade(
        &self,
        key: &CredentialKey,
        current: &StoredSecret,
        proof: &Verified,
        candidate: &ClientSecret,
    ) -> Result<Option<Upgraded>> {
        let worth_it = proof.outdated && !proof.stale && proof.generation == Generation::Current;
        if !worth_it || !self.primary().can_store(candidate) {
            return Ok(None);
        }
        let stored = self.replace(key, current, candidate).await?;
        let selector = self.selector_for(key, &stored, candidate);
        Ok(Some(Upgraded { stored, selector }))
    }

    /// Says what the primary backend holds at the key's place: a version, or the latest one.
    ///
    /// # Errors
    /// Those of [`SecretBackend::inspect`](crate::SecretBackend::inspect).
    pub async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let primary = &self.0.primary;
        primary.inspect(key, version).await.map_err(failed(Operation::Pin, &primary.info().id))
    }

    /// Writes `secret` over whatever lies at the key's place on the primary backend, if `latest` is still the latest version
    /// there; 0: nothing is there.
    ///
    /// For whoever knows that no row points to that place, or holds the right to write there. The secret may be one that was
    /// presented and proved.
    ///
    /// # Errors
    /// Those of [`SecretBackend::overwrite`](crate::SecretBackend::overwrite).
    pub async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: ClientSecret) -> Result<Issued> {
        let stored = self.overwrite_with(key, latest, Some(&secret)).await?;
        let selector = self.selector_for(key, &stored, &secret);
        Ok(Issued { secret, stored, selector })
    }

    /// Writes a blank version over whatever lies at the key's place on the primary backend, as
    /// [`overwrite`](Self::overwrite) does, and returns its number's record.
    ///
    /// # Errors
    /// As [`overwrite`](Self::overwrite).
    pub async fn blank(&self, key: &CredentialKey, latest: u64) -> Result<StoredSecret> {
        self.overwrite_with(key, latest, None).await
    }

    /// What to keep of a version that the primary backend holds. `None` where there is no secret in it.
    #[must_use]
    pub fn adopt(&self, key: &CredentialKey, held: Held) -> Option<Issued> {
        let Held::Version { stored, secret: Some(secret), .. } = held else { return None };
        let selector = self.selector_for(key, &stored, &secret);
        Some(Issued { secret, stored, selector })
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

    fn backends(&self) -> impl Iterator<Item = &SharedBackend> {
        iter::once(&self.0.primary).chain(&self.0.accepted)
    }

    fn backend(&self, operation: Operation, id: &BackendId) -> Result<&SharedBackend> {
        self.backends().find(|backend| backend.info().id == *id).ok_or_else(|| {
            let message =
                format!("the record was written by the backend `{id}`, which this store was not given; configure it");
            failed(operation, id)(Error::new(ErrorKind::UnknownBackend, message))
        })
    }

    /// Pins the record that a rotation replaces. None when its backend no longer holds the secret: a rotation is how such
    /// a row is repaired.
    async fn held(&self, key: &CredentialKey, current: &StoredSecret, grace: Duration) -> Result<Option<StoredSecret>> {
        let stays = *current.backend() == self.primary().id;
        if !stays && grace.is_zero() {
            // The place that the record points to is not written, and the record ends with the commit.
            return Ok(Some(current.clone()));
        }
        match self.pin(key, current).await {
            Ok(pinned) => Ok(Some(pinned)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Malformed) => Ok(None),
            Err(error) => Err(error.with_operation(Operation::Rotate)),
        }
    }

    async fn overwrite_with(
        &self,
        key: &CredentialKey,
        latest: u64,
        secret: Option<&ClientSecret>,
    ) -> Result<StoredSecret> {
        let primary = &self.0.primary;
        primary.overwrite(key, latest, secret).await.map_err(failed(Operation::Rotate, &primary.info().id))
    }

    /// Stores `secret` in place of `current` on the primary; a record of another backend has no predecessor there.
    async fn replace(
        &self,
        key: &CredentialKey,
        current: &StoredSecret,
        secret: &ClientSecret,
    ) -> Result<StoredSecret> {
        let primary = &self.0.primary;
        let stored = if *current.backend() == primary.info().id {
            primary.rotate(key, current, secret).await
        } else {
            // Leaving a backend that this store was not given would strand the old secret there, silently.
            self.backend(Operation::Rotate, current.backend())?;
            primary.store(key, secret).await
        };
        stored.map_err(failed(Operation::Rotate, &primary.info().id))
    }

    async fn revoke_one(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        let backend = self.backend(Operation::Revoke, stored.backend())?;
        backend.revoke(key, stored).await.map_err(failed(Operation::Revoke, stored.backend()))
    }
}

impl fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStore").field("primary", &self.0.primary).field("accepted", &self.0.accepted).finish()
    }
}

/// Every error that leaves the store names the user's verb and the backend, whatever the backend has said.
fn failed(operation: Operation, backend: &BackendId) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation).with_backend(backend.clone())
}

#[cfg(test)]
mod tests;
