//! Secrets that were made elsewhere: brought in clear, or taken over where they are kept.

use crate::backend::{Custody, Held, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result as BackendResult, VerifyError};
use crate::lifecycle::commit::{Committed, Why, Write};
use crate::lifecycle::issue::Origin;
use crate::lifecycle::ledger::{Change, Ledger};
use crate::lifecycle::note::OpenWriteKind;
use crate::lifecycle::revision::Revision;
use crate::lifecycle::rows::{Row, State};
use crate::lifecycle::{Failure, Lifecycle};
use crate::record::StoredSecret;
use crate::store::{CredentialSecrets, ImportedSecret};

impl<L: Ledger> Lifecycle<L> {
    /// Stores a secret that the caller brings, for a new credential, and returns its committed row. The secret is not shown: its
    /// owner has it.
    ///
    /// What another program keeps at the credential's place is never written over and never deleted:
    /// [`take_over`](Self::take_over) makes it the credential's.
    ///
    /// # Errors
    /// As [`issue`](Self::issue). `Backend` with `InvalidSecret` as [`SecretStore::import`](crate::SecretStore::import) says, and
    /// with `Conflict` where the place holds something.
    pub async fn import(
        &self,
        key: &CredentialKey,
        secret: &ImportedSecret,
        change: impl Change<L>,
    ) -> Result<Row, Failure<L::Error>> {
        let secret = self.0.store.fit_for_import(secret)?;
        let (life, key) = (self.clone(), key.clone());
        self.uncut(async move {
            // Before anything is noted: what is noted as a new credential's is deleted when its commit does not come.
            life.refuse_occupied(&key).await?;
            Ok(life.issue_secret(&key, secret, Origin::Brought, &change).await?.row)
        })
        .await
    }

    /// Makes a record that another program wrote that of a new credential, and returns its committed row: a digest of one of the
    /// store's backends, or an entry in a backend at the place where this one keeps the key's secrets. The record may mean "the
    /// latest" version: the row pins the one that it means now.
    ///
    /// Nothing is written to the backend, and nothing there is deleted where the commit does not come. From the commit on it is
    /// the credential's: it is rotated, and deleted at its end.
    ///
    /// # Errors
    /// [`Failure`]: `Exists`; `Backend` with `Malformed` when the record cannot be read or points elsewhere, and with `NotFound` when
    /// nothing is kept there; `Busy`, `Ledger`, `Unknown`, `Cut`.
    pub async fn take_over(
        &self,
        key: &CredentialKey,
        record: &StoredSecret,
        change: impl Change<L>,
    ) -> Result<Row, Failure<L::Error>> {
        let (life, key, record) = (self.clone(), key.clone(), record.clone());
        self.uncut(async move { life.taken_over(&key, &record, &change).await }).await
    }

    async fn taken_over(
        &self,
        key: &CredentialKey,
        record: &StoredSecret,
        change: &dyn Change<L>,
    ) -> Result<Row, Failure<L::Error>> {
        let (backend, record) = self.0.store.claim(Operation::Pin, record)?;
        let attempt = match backend.info().custody {
            Custody::Record => Revision::fresh()?,
            Custody::Backend => {
                let place = place_of(backend, key, &record)?;
                let plan = |state: &State, _| match state {
                    State::Absent => Ok((OpenWriteKind::Pin, 0)),
                    State::Active(_) | State::Ended => Err(Why::Changed),
                };
                match self.open(key, &place, None, false, plan).await {
                    Ok(lease) => lease.attempt,
                    Err(Failure::Busy) => return Err(Failure::Exists),
                    Err(failure) => return Err(failure),
                }
            }
        };
        let current = match self.readable(backend, key, &record).await {
            Ok(current) => current,
            Err(error) => {
                self.abandon(key, attempt).await;
                return Err(error.into());
            }
        };
        let row = Row::new(key.clone(), Some(CredentialSecrets::from(current)), Some(attempt));
        match self.commit(key, &Write::Insert(row), attempt, change).await {
            Ok(Committed::Done(row)) => Ok(*row),
            Ok(Committed::Lost(why)) => {
                self.abandon(key, attempt).await;
                Err(if why == Why::WriteLost { Failure::Busy } else { Failure::Exists })
            }
            Err(failure) => {
                if !matches!(failure, Failure::Unknown(_)) {
                    self.abandon(key, attempt).await;
                }
                Err(failure)
            }
        }
    }

    /// The record of the version that is meant now, once it is known that it can be read. A candidate that is nobody's finds out.
    async fn readable(
        &self,
        backend: &SharedBackend,
        key: &CredentialKey,
        record: &StoredSecret,
    ) -> BackendResult<StoredSecret> {
        let store = &self.0.store;
        let pinned = match backend.points_to(record) {
            // The place itself, of a backend whose records all name a version.
            None if backend.place(key).as_ref() == Some(record) => match backend.inspect(key, None).await? {
                Held::Version { stored, .. } => stored,
                Held::Nothing => return Err(nothing_there(backend)),
            },
            _ => store.pin(key, record).await?,
        };
        match store.verify(key, &pinned.clone().into(), &store.generate(key)?).await {
            Err(VerifyError::Backend(error)) => Err(error),
            Ok(_) | Err(VerifyError::Mismatch) => Ok(pinned),
        }
    }

    /// A backend that cannot say what it holds refuses to write over it, too.
    async fn refuse_occupied(&self, key: &CredentialKey) -> BackendResult<()> {
        let backend = self.0.store.primary_backend();
        let held = match self.place(key)? {
            Some(_) => backend.inspect(key, None).await,
            None => Ok(Held::Nothing),
        };
        match held {
            Ok(Held::Nothing) => Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidConfig => Ok(()),
            Ok(Held::Version { .. }) => {
                let message = "the place of the credential holds something already: make it the credential's by `take_over`, or \
                               choose another credential id";
                Err(Error::new(ErrorKind::Conflict, message)
                    .with_operation(Operation::Store)
                    .with_backend(backend.info().id.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// The write is given up, and nothing at its place is ours.
    pub(super) async fn abandon(&self, key: &CredentialKey, attempt: Revision) {
        self.in_time(key, |_, note, _| note.redeem(attempt)).await;
    }
}

fn nothing_there(backend: &SharedBackend) -> Error {
    Error::new(ErrorKind::NotFound, "nothing is kept at the place of the record")
        .with_operation(Operation::Pin)
        .with_backend(backend.info().id.clone())
}

/// Where the record points, if that is where the backend keeps the key's secrets.
fn place_of(backend: &SharedBackend, key: &CredentialKey, record: &StoredSecret) -> BackendResult<StoredSecret> {
    // A record without a version may be the place itself.
    let place = backend.points_to(record).map_or_else(|| record.clone(), |to| to.place);
    if backend.place(key).as_ref() == Some(&place) {
        return Ok(place);
    }
    let message =
        "the record does not point to where the backend keeps the secrets of the key: another key, mount or prefix";
    Err(Error::new(ErrorKind::Malformed, message)
        .with_operation(Operation::Pin)
        .with_backend(backend.info().id.clone()))
}

#[cfg(test)]
mod tests;
