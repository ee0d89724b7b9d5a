//! Who this database is to the folders in Vault.

use async_trait::async_trait;
use uuid::Uuid;

use super::Store;
use crate::repo::columns::Id;
use crate::repo::ledger::{LedgerRepo, LedgerRow};
use crate::repo::{Result, rows};

#[async_trait]
impl LedgerRepo for Store {
    async fn find(&self, folder: &str) -> Result<Option<LedgerRow>> {
        // Through the writing connection: what another statement of this process has just written is seen on both databases.
        let work = || async {
            let row: Option<rows::LedgerColumns> =
                sqlx::query_as("SELECT identity, counter, mark, next_mark FROM ledger WHERE folder = $1")
                    .bind(folder)
                    .fetch_optional(&self.write)
                    .await?;
            Ok(row.map(Into::into))
        };
        self.watch.again("ledger.find", work).await
    }

    async fn find_or_insert(&self, folder: &str, identity: Uuid) -> Result<LedgerRow> {
        if let Some(row) = self.find(folder).await? {
            return Ok(row);
        }
        let work = || async {
            sqlx::query(
                "INSERT INTO ledger (folder, identity, counter) VALUES ($1, $2, 0) ON CONFLICT (folder) DO NOTHING",
            )
            .bind(folder)
            .bind(Id(identity))
            .execute(&self.write)
            .await?;
            let row: rows::LedgerColumns =
                sqlx::query_as("SELECT identity, counter, mark, next_mark FROM ledger WHERE folder = $1")
                    .bind(folder)
                    .fetch_one(&self.write)
                    .await?;
            Ok(row.into())
        };
        self.watch.again("ledger.find_or_insert", work).await
    }

    async fn note(&self, folder: &str, before: &LedgerRow, mark: Uuid) -> Result<Option<LedgerRow>> {
        let work = || async {
            sqlx::query("UPDATE ledger SET next_mark = $4 WHERE folder = $1 AND identity = $2 AND counter = $3 AND next_mark IS NULL")
                .bind(folder)
                .bind(Id(before.identity))
                .bind(before.counter.cast_signed())
                .bind(Id(mark))
                .execute(&self.write)
                .await
                .map(drop)
        };
        self.watch.again("ledger.note", work).await?;
        let now = self.find(folder).await?;
        Ok(now
            .filter(|now| now.identity == before.identity && now.counter == before.counter && now.next_mark.is_some()))
    }

    async fn settle(&self, folder: &str, noted: &LedgerRow) -> Result<()> {
        let work = || async {
            sqlx::query(
                "UPDATE ledger SET counter = counter + 1, mark = next_mark, next_mark = NULL \
                 WHERE folder = $1 AND identity = $2 AND counter = $3 AND next_mark = $4",
            )
            .bind(folder)
            .bind(Id(noted.identity))
            .bind(noted.counter.cast_signed())
            .bind(noted.next_mark.map(Id))
            .execute(&self.write)
            .await
            .map(drop)
        };
        self.watch.again("ledger.settle", work).await
    }

    async fn restart(&self, folder: &str, before: &LedgerRow, counter: u64, mark: Uuid) -> Result<bool> {
        let restarted = sqlx::query(
            "UPDATE ledger SET counter = $4, mark = NULL, next_mark = $5 \
             WHERE folder = $1 AND identity = $2 AND counter = $3",
        )
        .bind(folder)
        .bind(Id(before.identity))
        .bind(before.counter.cast_signed())
        .bind(counter.cast_signed())
        .bind(Id(mark))
        .execute(&self.write);
        let work = async { Ok(restarted.await?.rows_affected() == 1) };
        self.watch.run("ledger.restart", work).await
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
