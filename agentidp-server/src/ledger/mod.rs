//! Whether this database may delete in its folder in Vault: the library's [`folder`](agentidp_secrets::folder), over this server's
//! table.

mod report;

use std::sync::Arc;

use agentidp_secrets::folder::{Folder, FolderError, FolderRow, FolderRows};
use async_trait::async_trait;

pub(crate) use self::report::{advice, report};
use crate::repo::{LedgerRepo, RepoError};

/// This process's part in the ledger entry of its folder.
pub type Ledger = Folder<Rows>;

/// Why a row and an entry could not be compared.
pub type LedgerError = FolderError<RepoError>;

/// The rows of this server's database.
#[expect(
    missing_debug_implementations,
    clippy::exhaustive_structs,
    reason = "a name for a repository, which shows nothing"
)]
pub struct Rows(pub Arc<dyn LedgerRepo>);

#[async_trait]
impl FolderRows for Rows {
    type Error = RepoError;

    async fn find(&self, folder: &str) -> Result<Option<FolderRow>, RepoError> {
        self.0.find(folder).await
    }

    async fn swap(&self, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> Result<bool, RepoError> {
        self.0.swap(folder, before, after).await
    }
}
