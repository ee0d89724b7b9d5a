//! Who this database is to the folders in Vault.

use agentidp_secrets::folder::FolderRow;
use async_trait::async_trait;

use super::Store;
use crate::repo::Result;
use crate::repo::ledger::LedgerRepo;
use crate::repo::rows::LedgerColumns;

#[async_trait]
impl LedgerRepo for Store {
    async fn find(&self, folder: &str) -> Result<Option<FolderRow>> {
        // Through the writing connection: what another statement of this process has just written is seen on both databases.
        let work = || async {
            let row: Option<LedgerColumns> =
                sqlx::query_as("SELECT identity, counter, mark, next_mark FROM ledger WHERE folder = $1")
                    .bind(folder)
                    .fetch_optional(&self.write)
                    .await?;
            Ok(row.map(Into::into))
        };
        self.watch.again("ledger.find", work).await
    }

    async fn swap(&self, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> Result<bool> {
        let work = || async {
            let after = LedgerColumns::of(after)?;
            let swap = match before {
                None => sqlx::query(
                    "INSERT INTO ledger (folder, identity, counter, mark, next_mark) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (folder) DO NOTHING",
                ),
                Some(_) => sqlx::query(
                    "UPDATE ledger SET identity = $2, counter = $3, mark = $4, next_mark = $5 WHERE folder = $1 \
                     AND identity = $6 AND counter = $7 AND mark IS NOT DISTINCT FROM $8 AND next_mark IS NOT DISTINCT FROM $9",
                ),
            };
            let mut swap =
                swap.bind(folder).bind(after.identity).bind(after.counter).bind(after.mark).bind(after.next_mark);
            if let Some(before) = before {
                let before = LedgerColumns::of(before)?;
                swap = swap.bind(before.identity).bind(before.counter).bind(before.mark).bind(before.next_mark);
            }
            Ok(swap.execute(&self.write).await?.rows_affected() == 1)
        };
        // Where the first try was carried out and had no answer, the second finds another row: whoever asks reads it again.
        self.watch.again("ledger.swap", work).await
    }

    async fn database_is_empty(&self) -> Result<bool> {
        let work = || async {
            let (agents, credentials): (bool, bool) =
                sqlx::query_as("SELECT EXISTS (SELECT 1 FROM agents), EXISTS (SELECT 1 FROM credentials)")
                    .fetch_one(&self.read)
                    .await?;
            Ok(!agents && !credentials)
        };
        self.watch.again("ledger.database_is_empty", work).await
    }
}
