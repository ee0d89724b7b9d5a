//! A new credential.

use super::commit::{Committed, Why, Write};
use super::digest::SecretDigest;
use super::given_up::occupied;
use super::ledger::{Change, Ledger};
use super::note::OpenWriteKind;
use super::revision::Revision;
use super::rows::{Row, State};
use super::{Event, Failure, Lifecycle, Shown};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation};
use crate::secret::ClientSecret;
use crate::store::CredentialSecrets;

/// Where the secret of a new credential is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was generated for it.
    Generated,
    /// The caller has brought it, and its credential id may have been used by another program.
    Brought,
}

impl<L: Ledger> Lifecycle<L> {
    /// Generates a secret for a new credential, and returns it when its row is committed.
    ///
    /// Choose a fresh credential id for each call: an id whose issue failed is not used again.
    ///
    /// # Errors
    /// [`Failure`]: `Exists`; `Busy` when it took so long that the place was given up; `Backend`, `Ledger`, `Unknown`, `Cut`. Then
    /// no credential exists, except as the last two say, and what a backend may have written is deleted in the background: this secret
    /// only. `Backend` with `Conflict` where the place holds another one, as after a restore of the database that takes its sequence of
    /// ids back: it stays, so choose another id.
    pub async fn issue(&self, key: &CredentialKey, change: impl Change<L>) -> Result<Shown, Failure<L::Error>> {
        let (life, key, secret) = (self.clone(), key.clone(), self.0.store.generate(key)?);
        self.uncut(async move { life.issue_secret(&key, secret, Origin::Generated, &change).await }).await
    }

    pub(super) async fn issue_secret(
        &self,
        key: &CredentialKey,
        secret: ClientSecret,
        origin: Origin,
        change: &dyn Change<L>,
    ) -> Result<Shown, Failure<L::Error>> {
        let (kind, digest) = match origin {
            Origin::Generated => (OpenWriteKind::Create, SecretDigest::of(&secret, self.0.store.formats())?),
            // Another program may write the same secret there: what a crash leaves is reported, and not deleted.
            Origin::Brought => (OpenWriteKind::Pin, None),
        };
        let attempt = match self.place(key)? {
            Some(place) => {
                let new = |state: &State, _| match state {
                    State::Absent => Ok((kind, 0)),
                    State::Active(_) | State::Ended => Err(Why::Changed),
                };
                match self.open(key, &place, digest.as_ref(), false, new).await {
                    Ok(lease) => lease.attempt,
                    Err(Failure::Busy) => return Err(Failure::Exists),
                    Err(failure) => return Err(failure),
                }
            }
            None => Revision::fresh()?,
        };
        let primary = self.0.store.primary_backend();
        let stored = match primary.store(key, &secret).await {
            Ok(stored) => stored,
            Err(error) => {
                let is_conflict = error.kind() == ErrorKind::Conflict;
                if origin == Origin::Brought || is_conflict && self.is_anothers(key, &secret).await {
                    // What lies there may not be ours, and stays.
                    self.abandon(key, attempt).await;
                } else {
                    // Whatever the backend has written is deleted in the background: just now it may not be able to.
                    self.give_up(key, attempt, digest.as_ref()).await;
                }
                let error = if is_conflict && origin == Origin::Generated { occupied() } else { error };
                let error = error.with_operation(Operation::Store).with_backend(primary.info().id.clone());
                return Err(Failure::Backend(error));
            }
        };
        let selector = self.0.store.selector_for(key, &stored, &secret);
        let take_back = async || match origin {
            Origin::Generated => {
                self.give_up(key, attempt, digest.as_ref()).await;
                self.purge_now(key).await;
            }
            Origin::Brought => self.take_back(key, attempt, &stored).await,
        };
        let secrets = CredentialSecrets { current: stored.clone(), selector, previous: None };
        let write = Write::Insert(Row::new(key.clone(), Some(secrets), Some(attempt)));
        match self.commit(key, &write, attempt, change).await {
            Ok(Committed::Done(row)) => Ok(Shown { secret, row: *row }),
            Ok(Committed::Lost(why)) => {
                take_back().await;
                if why == Why::WriteLost {
                    // So slow that the place is being deleted, or was before this write: it is deleted once more.
                    self.tell(&Event::GivenUp(key.clone()));
                    return Err(Failure::Busy);
                }
                Err(Failure::Exists)
            }
            Err(failure) => {
                match failure {
                    Failure::Unknown(_) => {}
                    // It may be a refusal of the caller's, with database and backend in good health.
                    _ => take_back().await,
                }
                Err(failure)
            }
        }
    }
}
