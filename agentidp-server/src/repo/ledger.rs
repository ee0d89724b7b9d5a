//! Who this database is to the folders in Vault.

use agentidp_secrets::folder::FolderRow;
use async_trait::async_trait;

use super::Result;

/// This database's side of the ledger entries, by folder: see [`agentidp_secrets::folder`].
#[async_trait]
pub trait LedgerRepo: Send + Sync + 'static {
    /// The folder's row, if there is one.
    async fn find(&self, folder: &str) -> Result<Option<FolderRow>>;

    /// Puts `after` in place of `before`; `None`: there was no row. Says whether the row was that one.
    async fn swap(&self, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> Result<bool>;

    /// Whether there is neither an agent nor a credential.
    async fn database_is_empty(&self) -> Result<bool>;
}
