//! This database's side of its folders in Vault, written once and compiled for each database, as `shared` is.

#![cfg_attr(
    all(feature = "postgres", feature = "sqlite"),
    expect(clippy::duplicate_mod, reason = "compiled for each database")
)]

use agentidp_secrets::folder::{FolderRow, FolderRows};
use async_trait::async_trait;

use super::Own;
use crate::Error;

#[async_trait]
impl FolderRows for Own {
    type Error = Error;

    async fn find(&self, folder: &str) -> Result<Option<FolderRow>, Error> {
        let find = sqlx::query_scalar("SELECT ledger FROM agentidp_folders WHERE folder = $1");
        let text: Option<String> = find.bind(folder).fetch_optional(&self.pool).await?;
        text.map(|text| FolderRow::parse(&text).map_err(|_| Error::Unreadable("ledger"))).transpose()
    }

    async fn swap(&self, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> Result<bool, Error> {
        let insert = "INSERT INTO agentidp_folders (folder, ledger) VALUES ($1, $2) ON CONFLICT (folder) DO NOTHING";
        let update = "UPDATE agentidp_folders SET ledger = $2 WHERE folder = $1 AND ledger = $3";
        let swap = sqlx::query(if before.is_some() { update } else { insert }).bind(folder).bind(after.to_text());
        let swap = if let Some(before) = before { swap.bind(before.to_text()) } else { swap };
        Ok(swap.execute(&self.pool).await?.rows_affected() == 1)
    }
}
