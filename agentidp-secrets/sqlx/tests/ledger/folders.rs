//! What the databases know of their folders in Vault.

use agentidp_secrets::folder::FolderRows;
use agentidp_secrets::testkit::check_folder_rows;

use crate::site::{on_postgres, on_sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_folders_keep_their_contract() {
    let (postgres, sqlite) = (on_postgres().await, on_sqlite().await);
    check_folder_rows(&postgres.ledger).await;
    check_folder_rows(&sqlite.ledger).await;
}

/// No row of a folder is taken for one that was never written, which would claim the folder anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_an_error() {
    let site = on_sqlite().await;
    let damaged = "INSERT INTO agentidp_folders (folder, ledger) VALUES ('secret/agentidp', '{}')";
    sqlx::query(damaged).execute(&site.pool).await.unwrap();
    let error = site.ledger.find("secret/agentidp").await.unwrap_err();
    assert_eq!(error.to_string(), "the column ledger cannot be read: find out what wrote it");
}
