//! One credential of a bulk move.

use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result as BackendResult};
use crate::lifecycle::bulk::MoveOutcome;
use crate::lifecycle::ledger::Ledger;
use crate::lifecycle::rows::Row;
use crate::lifecycle::{ATTEMPTS, Failure, Lifecycle};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl<L: Ledger> Lifecycle<L> {
    /// What becomes of a credential, where its row alone says it; else its secret has to be read.
    pub(super) fn decided_by_row(&self, row: &Row) -> Option<MoveOutcome> {
        let Some(secrets) = &row.secrets else {
            let message = "the row cannot be read: rotate the credential";
            return Some(MoveOutcome::Failed(Error::new(ErrorKind::Malformed, message)));
        };
        match self.0.store.claim(Operation::Reveal, &secrets.current) {
            Err(error) => Some(MoveOutcome::Failed(error)),
            Ok(_) if self.0.store.is_elsewhere(&row.key, &secrets.current) => {
                let message = "the record points to another mount or folder than its backend's: give the store that backend, or rotate";
                let error = Error::new(ErrorKind::Malformed, message).with_operation(Operation::Reveal);
                Some(MoveOutcome::Failed(error.with_backend(self.0.store.backend_of(&secrets.current))))
            }
            Ok((backend, _)) if backend.info().id == self.0.store.primary().id => Some(MoveOutcome::AlreadyThere),
            Ok(_) if self.0.upgrades.policy.excepts(row.key.client_id()) => Some(MoveOutcome::Excepted),
            Ok((backend, _)) if !backend.info().reveals => Some(MoveOutcome::NeedsItsClient),
            Ok(_) => None,
        }
    }

    /// Moves the secret of a row, or of what it is by now.
    pub(super) async fn relocate(&self, mut row: Row, dry_run: bool) -> Result<MoveOutcome, Failure<L::Error>> {
        for _ in 0..ATTEMPTS {
            if let Some(outcome) = self.decided_by_row(&row) {
                return Ok(outcome);
            }
            let tried = self.try_relocate(&row, dry_run).await;
            if let Ok(Some(outcome)) = tried {
                return Ok(outcome);
            }
            let now = match self.active(&row.key).await {
                Ok((now, _)) => now,
                Err(Failure::NotFound | Failure::Ended) => return Ok(MoveOutcome::ChangedMeanwhile),
                Err(failure) => return Err(failure),
            };
            if now.revision == row.revision {
                return match tried {
                    // Another write of it is open.
                    Ok(_) | Err(Failure::Busy) => Ok(MoveOutcome::ChangedMeanwhile),
                    Err(Failure::Backend(error)) if is_of_one(&error) => Ok(MoveOutcome::Failed(error)),
                    Err(failure) => Err(failure),
                };
            }
            row = now;
        }
        Ok(MoveOutcome::ChangedMeanwhile)
    }

    /// None where the row is another one by now, or another write of it is open.
    async fn try_relocate(&self, row: &Row, dry_run: bool) -> Result<Option<MoveOutcome>, Failure<L::Error>> {
        let Some(secrets) = &row.secrets else { return Ok(None) };
        let secret = self.shown(&row.key, &secrets.current).await?;
        self.0.store.primary().check_secret(&secret)?;
        if !self.may_move_in() {
            let message =
                "the places of the backend that secrets are to move to may be another database's, says the gate";
            let primary = self.0.store.primary().id.clone();
            return Err(Error::new(ErrorKind::Unavailable, message).with_backend(primary).into());
        }
        if dry_run {
            return Ok(Some(MoveOutcome::WouldMove));
        }
        Ok(self.store_anew(row, &secret).await?.then_some(MoveOutcome::Moved))
    }

    /// The secret of a record.
    async fn shown(&self, key: &CredentialKey, record: &StoredSecret) -> BackendResult<ClientSecret> {
        // One that means "the latest" is pinned in its row before anything is written on top: until then that is its secret.
        let pinned = self.0.store.pin(key, record).await?;
        let (backend, stored) = self.0.store.claim(Operation::Reveal, &pinned)?;
        let gone = || Error::new(ErrorKind::NotFound, "the backend no longer holds the secret: rotate the credential");
        let secret = backend.reveal(key, &stored).await.and_then(|secret| secret.ok_or_else(gone));
        secret.map_err(|error| error.with_operation(Operation::Reveal).with_backend(backend.info().id.clone()))
    }
}

/// Whether an error is of one credential. Any other would be that of the next one, too.
fn is_of_one(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Conflict
            | ErrorKind::InvalidSecret
            | ErrorKind::Malformed
            | ErrorKind::NotFound
            | ErrorKind::UnknownBackend
    )
}
