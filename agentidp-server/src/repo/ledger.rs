//! Who this database is to the folders in Vault.

use async_trait::async_trait;
use uuid::Uuid;

use super::Result;

/// This database's side of a folder's ledger entry: see [`crate::ledger`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by repositories and tests")]
pub struct LedgerRow {
    /// What the entry knows this database by.
    pub identity: Uuid,
    /// What the entry is known to hold; 0 until this database has claimed the folder.
    pub counter: u64,
    /// The mark of that value.
    pub mark: Option<Uuid>,
    /// The mark of the next value, from before it is written to the entry until it is known to be there.
    pub next_mark: Option<Uuid>,
}

/// The rows behind [`LedgerRow`], by folder. Every change is a compare-and-set on the row that was read.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait LedgerRepo: Send + Sync + 'static {
    /// The folder's row, if there is one.
    async fn find(&self, folder: &str) -> Result<Option<LedgerRow>>;

    /// The folder's row; without one it is inserted with `identity`, at 0.
    async fn find_or_insert(&self, folder: &str, identity: Uuid) -> Result<LedgerRow>;

    /// Notes `mark` as that of the next value, unless one is noted. Returns the row as it is then; none when it has another
    /// counter by now.
    async fn note(&self, folder: &str, before: &LedgerRow, mark: Uuid) -> Result<Option<LedgerRow>>;

    /// The entry holds the noted value: moves the counter and the mark to it.
    async fn settle(&self, folder: &str, noted: &LedgerRow) -> Result<()>;

    /// Sets the counter to `counter` without a mark, and notes `mark` as that of the next value: only that one agrees from
    /// then on. Says whether it did, which it does not when the row has changed.
    async fn restart(&self, folder: &str, before: &LedgerRow, counter: u64, mark: Uuid) -> Result<bool>;

    /// Whether there is neither an agent nor a credential.
    async fn database_is_empty(&self) -> Result<bool>;
}
