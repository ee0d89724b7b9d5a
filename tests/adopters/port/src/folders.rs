//! Whose the folder in Vault is: all that a `Folder` needs of the database.

use agentidp_secrets::folder::{FolderRow, FolderRows};
use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::ledger::AgentLedger;

#[async_trait]
impl FolderRows for AgentLedger {
    type Error = Error;

    async fn find(&self, folder: &str) -> Result<Option<FolderRow>> {
        let find = sqlx::query_scalar("SELECT ledger FROM folders WHERE folder = $1").bind(folder);
        let text: Option<String> = find.fetch_optional(&self.0).await?;
        Ok(text.map(|text| FolderRow::parse(&text)).transpose()?)
    }

    async fn swap(&self, folder: &str, before: Option<&FolderRow>, after: &FolderRow) -> Result<bool> {
        let insert = "INSERT INTO folders (folder, ledger) VALUES ($1, $2) ON CONFLICT (folder) DO NOTHING";
        let update = "UPDATE folders SET ledger = $2 WHERE folder = $1 AND ledger = $3";
        let swap = sqlx::query(if before.is_some() { update } else { insert }).bind(folder).bind(after.to_text());
        let swap = if let Some(before) = before { swap.bind(before.to_text()) } else { swap };
        Ok(swap.execute(&self.0).await?.rows_affected() == 1)
    }
}
