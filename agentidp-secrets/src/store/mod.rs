//! What users hold: one store over the backend for new secrets and those whose records still verify.

mod any;
mod builder;
mod decoy;
mod lifecycle;

use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use self::decoy::Decoy;
use crate::backend::{BackendInfo, Custody, SharedBackend, Verdict};
use crate::clock::Clock;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result, VerifyError};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

pub use self::any::VerifiedAny;
pub use self::builder::SecretStoreBuilder;
pub use self::lifecycle::{CredentialSecrets, Generation, Issued, Previous, Rotated, Verified};

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
/// let rotated = store.rotate(&key, &issued.stored, Duration::ZERO).await?;
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
    /// Present when one of the backends computes digests.
    decoy: Option<Decoy>,
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
        let secret = ClientSecret::generate()?;
        let stored = self.0.primary.store(key, &secret).await.map_err(failed(Operation::Store, &self.primary().id))?;
        Ok(Issued { secret, stored })
    }

    /// Decides whether `candidate` is the credential's secret. `Ok` means proved, and nothing else does.
    ///
    /// The previous record is tried when the current one is a mismatch and the grace period is not over. When the
    /// current one cannot be decided, that is the answer: nothing falls through an outage.
    ///
    /// Whether the credential is still active is the caller's to know; for a revoked or expired one, and for an unknown
    /// client, call [`verify_decoy`](Self::verify_decoy) instead. A mismatch for which no digest was computed, because
    /// the record is a pointer, computes one for level time where a digest backend is configured.
    ///
    /// # Errors
    /// [`VerifyError::Mismatch`] when the candidate is wrong; [`VerifyError::Backend`] when nobody could decide, with
    /// the kinds of [`SecretBackend::verify`](crate::SecretBackend::verify), or `UnknownBackend` when the record's
    /// backend is not configured.
    pub async fn verify(
        &self,
        key: &CredentialKey,
        secrets: &CredentialSecrets,
        candidate: &ClientSecret,
    ) -> Result<Verified, VerifyError> {
        let attempt = self.attempt(key, secrets, candidate).await;
        if matches!(attempt.outcome, Err(VerifyError::Mismatch)) && !attempt.digested {
            self.level(candidate).await;
        }
        attempt.outcome
    }

    /// Puts a new secret in place of the credential's present one, on the primary backend.
    ///
    /// A record of another backend moves to the primary by this: the new secret is stored there as a first one. With a
    /// `grace` above zero the old record comes back as [`Rotated::previous`] and verifies until then.
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
    pub async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, grace: Duration) -> Result<Rotated> {
        let valid_until = self.0.clock.now().checked_add(grace).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "the grace period ends after the end of time; shorten it")
                .with_operation(Operation::Rotate)
        })?;
        let secret = ClientSecret::generate()?;
        let stored = self.replace(key, current, &secret).await?;
        let previous = (!grace.is_zero()).then(|| Previous { stored: current.clone(), valid_until });
        Ok(Rotated { secret, stored, previous })
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
    /// Gives `None` when there is nothing to do: the record is up to date, the previous secret was the one proved, or
    /// the proof is stale.
    /// Pass the record and the candidate that `proof` is about. Put the new record in the row only where the row still
    /// holds `current` (compare and set); when that fails, somebody rotated: revoke the new record if its backend has
    /// changed. A failure here is never a failure of the login.
    ///
    /// # Errors
    /// `InvalidSecret` when the primary cannot hold a secret of this form; else as [`rotate`](Self::rotate).
    pub async fn upgrade(
        &self,
        key: &CredentialKey,
        current: &StoredSecret,
        proof: &Verified,
        candidate: &ClientSecret,
    ) -> Result<Option<StoredSecret>> {
        if proof.outdated && !proof.stale && proof.generation == Generation::Current {
            self.replace(key, current, candidate).await.map(Some)
        } else {
            Ok(None)
        }
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

    /// Tries the records of one credential that count at this time.
    async fn attempt(&self, key: &CredentialKey, secrets: &CredentialSecrets, candidate: &ClientSecret) -> Attempt {
        let mut digested = false;
        for (generation, stored) in secrets.valid_at(|| self.0.clock.now()) {
            match self.check(key, stored, candidate).await {
                Ok((Verdict::Mismatch, info)) => {
                    digested |= info.custody == Custody::Record && info.can_store(candidate);
                }
                Ok((verdict @ (Verdict::Match | Verdict::MatchOutdated | Verdict::MatchStale), _)) => {
                    let outdated = verdict == Verdict::MatchOutdated || *stored.backend() != self.primary().id;
                    let stale = verdict == Verdict::MatchStale;
                    return Attempt { outcome: Ok(Verified { generation, outdated, stale }), digested };
                }
                Err(error) => return Attempt { outcome: Err(error.into()), digested },
            }
        }
        Attempt { outcome: Err(VerifyError::Mismatch), digested }
    }

    async fn check(
        &self,
        key: &CredentialKey,
        stored: &StoredSecret,
        candidate: &ClientSecret,
    ) -> Result<(Verdict, &BackendInfo)> {
        let backend = self.backend(Operation::Verify, stored.backend())?;
        let verdict = backend.verify(key, stored, candidate).await;
        verdict.map(|verdict| (verdict, backend.info())).map_err(failed(Operation::Verify, stored.backend()))
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

/// What came of one credential.
struct Attempt {
    outcome: Result<Verified, VerifyError>,
    /// Whether a digest was computed: then the time of one has been spent.
    digested: bool,
}

/// Every error that leaves the store names the user's verb and the backend, whatever the backend has said.
fn failed(operation: Operation, backend: &BackendId) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation).with_backend(backend.clone())
}

#[cfg(test)]
mod tests;
