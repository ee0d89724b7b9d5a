//! A change of a credential's note alone, and a look at the credential.

use std::time::{Duration, SystemTime};

use super::ledger::{CommitError, Ledger};
use super::note::Note;
use super::rows::State;
use super::{ATTEMPTS, Failure, Lifecycle};
use crate::credential::CredentialKey;

impl<L: Ledger> Lifecycle<L> {
    /// Changes the note of a credential, under the lock of its row. `step` has to come to the same when it is run again: a commit
    /// whose outcome is unknown is.
    pub(super) async fn edit<T: Send>(
        &self,
        key: &CredentialKey,
        step: impl Fn(&State, &mut Note, SystemTime) -> T + Send + Sync,
    ) -> Result<T, Failure<L::Error>> {
        let mut tries = 1;
        loop {
            match self.try_edit(key, &step).await {
                Ok(outcome) => return Ok(outcome),
                Err(CommitError::NotDone(error)) if tries == ATTEMPTS || !self.0.ledger.may_repeat(&error) => {
                    return Err(Failure::Ledger(error));
                }
                Err(CommitError::Unknown(error)) if tries == ATTEMPTS => return Err(Failure::Ledger(error)),
                Err(_) => tries += 1,
            }
        }
    }

    async fn try_edit<T: Send>(
        &self,
        key: &CredentialKey,
        step: &(impl Fn(&State, &mut Note, SystemTime) -> T + Send + Sync),
    ) -> Result<T, CommitError<L::Error>> {
        let ledger = &self.0.ledger;
        let mut tx = ledger.begin().await.map_err(CommitError::NotDone)?;
        let entry = ledger.lock(&mut tx, key).await.map_err(CommitError::NotDone)?;
        let now = self.now(&mut tx).await.map_err(CommitError::NotDone)?;
        let before = entry.note.unwrap_or_default();
        let mut note = before.clone();
        let outcome = step(&entry.state, &mut note, now);
        if note != before {
            let kept = Some(&note).filter(|note| !note.is_empty());
            ledger.note(&mut tx, key, kept).await.map_err(CommitError::NotDone)?;
            ledger.commit(tx).await?;
        }
        Ok(outcome)
    }

    /// Overlaps end by the ledger's time: it is read, unless that was done lately.
    pub(super) async fn follow_time(&self) -> Result<(), L::Error> {
        if self.0.store.time().is_due() {
            let mut tx = self.0.ledger.begin().await?;
            self.now(&mut tx).await?;
        }
        Ok(())
    }

    /// The ledger's time in whole milliseconds, which is what a note keeps.
    pub(super) async fn now(&self, tx: &mut L::Tx) -> Result<SystemTime, L::Error> {
        let asked = self.0.store.instant();
        let now = self.0.ledger.now(tx).await?;
        self.0.store.time().follow(now, asked);
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
    }
}
