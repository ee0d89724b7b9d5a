//! Admitting a database to a folder, by an operator's command.

use agentidp_secrets::vault::ledger::LedgerEntry;

use super::error::LedgerError;
use super::watch::{Comparison, Ledger};
use crate::repo::LedgerRow;

/// What becomes of the other databases that the entry admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum Others {
    /// They stay admitted.
    Keep,
    /// They are removed from the entry, and stop deleting.
    Remove,
}

/// Why a database was not admitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// What was found is not there any more.
    #[error("the ledger entry or this database's row was changed meanwhile: run the command again")]
    Changed,
    /// The database or Vault did not answer.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
}

impl Ledger {
    /// Gives this database the next value of its counter with a mark that no other database knows, so that from now on it
    /// is the only one of its identity that agrees. A copy of it, or its older self, is stopped.
    ///
    /// It may be cut at any point, and be run again.
    ///
    /// # Errors
    /// [`AdmitError::Changed`] when the entry is no longer the one in `found`.
    pub async fn admit(&self, found: &Comparison, others: Others) -> Result<(), AdmitError> {
        let row = self.repo.0.find_or_insert(&self.folder, found.row.identity).await.map_err(LedgerError::from)?;
        let known = match &found.entry {
            LedgerEntry::Live { counters, .. } => counters.get(&row.identity.to_string()).map(|known| known.counter),
            _ => None,
        };
        let (counter, mark) = (row.counter.max(known.unwrap_or_default()), self.mark());
        if !self.repo.0.restart(&self.folder, &row, counter, mark).await.map_err(LedgerError::from)? {
            return Err(AdmitError::Changed);
        }
        let noted = LedgerRow { identity: row.identity, counter, mark: None, next_mark: Some(mark) };
        if !self.write(&noted, &found.entry, others == Others::Keep).await? {
            return Err(AdmitError::Changed);
        }
        Ok(self.repo.0.settle(&self.folder, &noted).await.map_err(LedgerError::from)?)
    }
}
