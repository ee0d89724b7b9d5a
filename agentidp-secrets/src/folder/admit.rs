//! Admitting a database to a folder, by an operator's command.

use super::error::FolderError;
use super::judge::Comparison;
use super::row::{FolderRow, FolderRows, mark};
use super::watch::Folder;
use crate::vault::ledger::LedgerEntry;

/// What becomes of the other databases that the entry admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum Others {
    /// They stay admitted.
    Keep,
    /// They are removed from the entry, and stop deleting.
    Remove,
}

impl<R: FolderRows> Folder<R> {
    /// Gives this database the next value of its counter with a mark that no other database knows, so that from now on it
    /// is the only one of its identity that agrees. A copy of it, or its older self, is stopped.
    ///
    /// It may be cut at any point, and be run again.
    ///
    /// # Errors
    /// [`FolderError::Changed`] when the entry is no longer the one in `found`, or another process has changed the row: compare again,
    /// and let the operator decide again. The others when the database or Vault does not answer.
    pub async fn admit(&self, found: &Comparison, others: Others) -> Result<(), FolderError<R::Error>> {
        let row = self.find_or_insert(found.row.clone()).await?;
        let known = match &found.entry {
            LedgerEntry::Live { counters, .. } => counters.get(&row.identity).map(|known| known.counter),
            _ => None,
        };
        let next_mark = Some(mark(&*self.clock).map_err(FolderError::Entry)?);
        let counter = row.counter.max(known.unwrap_or_default());
        let noted = FolderRow { identity: row.identity.clone(), counter, mark: None, next_mark };
        let is_noted = self.swap(Some(&row), &noted).await?;
        if is_noted && self.write(&noted, &found.entry, others == Others::Keep).await? {
            return self.settle(&noted).await;
        }
        Err(FolderError::Changed)
    }
}
