//! The tables, beside the caller's own.

use std::time::Duration;

use agentidp_secrets_sqlx::{PgLedger, SqliteLedger};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::site::{pg_pool, sqlite_pool};

/// The caller's own migrations, under versions that are ours too.
async fn callers_table(folder: &TempDir) -> sqlx::migrate::Migrator {
    let migration = "CREATE TABLE agents (agent_id bigint PRIMARY KEY)";
    std::fs::write(folder.path().join("0001_agents.sql"), migration).unwrap();
    sqlx::migrate::Migrator::new(folder.path()).await.unwrap()
}

#[tokio::test]
async fn the_tables_are_made_beside_the_callers_on_postgresql() {
    let (folder, pool) = (TempDir::new().unwrap(), pg_pool().await);
    let callers = callers_table(&folder).await;
    callers.run(&pool).await.unwrap();
    let ledger = PgLedger::new(pool.clone());
    let (one, other) = tokio::join!(ledger.migrate(), ledger.migrate());
    one.and(other).expect("of two that start at once one migrates, and the other waits");
    ledger.migrate().await.unwrap();
    callers.run(&pool).await.unwrap();
}

/// The driver leaves its lock behind on a connection whose migration has failed.
#[tokio::test]
async fn a_migration_that_fails_holds_up_no_other() {
    let pool = pg_pool().await;
    let ledger = PgLedger::new(pool.clone());
    ledger.migrate().await.unwrap();
    sqlx::query("UPDATE agentidp_migrations SET checksum = ''").execute(&pool).await.unwrap();
    ledger.migrate().await.expect_err("the migration was changed after it was applied");
    // The database gives the lock back when it hears that the connection is closed.
    let again = timeout(Duration::from_secs(30), ledger.migrate()).await.expect("it waits for ever");
    again.expect_err("it is still another");
}

#[tokio::test]
async fn the_tables_are_made_beside_the_callers_on_sqlite() {
    let (folder, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let pool = sqlite_pool(&data);
    let callers = callers_table(&folder).await;
    callers.run(&pool).await.unwrap();
    let ledger = SqliteLedger::new(pool.clone());
    let (one, other) = tokio::join!(ledger.migrate(), ledger.migrate());
    one.and(other).expect("of two that start at once one migrates, and the other waits");
    ledger.migrate().await.unwrap();
    callers.run(&pool).await.unwrap();
}
