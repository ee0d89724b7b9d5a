//! SQLite, the embedded default.

use std::str::FromStr;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::open::{ACQUIRE_TIMEOUT, CONNECTIONS, Watch};
use super::{DatabaseRepo, RepoError, Repos, Result};

#[path = "../shared/mod.rs"]
mod shared;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// The database that `shared` is compiled for here.
type Db = sqlx::Sqlite;

/// Takes the write lock at once: a transaction that reads first and asks for it later could be refused it.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// Reads an agent, which nobody else can change until the transaction ends.
const LOCK_AGENT: &str = "SELECT status, updated_at FROM agents WHERE agent_id = $1";

/// Every write transaction is alone.
const LOCK_REGISTRATION: Option<&str> = None;

pub(super) async fn open(url: &str, watch: Watch) -> Result<Repos> {
    let opened = async {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The log reaches the disk before a commit is acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // For other processes: those of this one queue for the single writing connection.
            .busy_timeout(ACQUIRE_TIMEOUT);
        let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
        let write = pool.clone().max_connections(1).connect_with(options.clone()).await?;
        let read = pool.max_connections(CONNECTIONS).connect_lazy_with(options);
        Ok((read, write))
    };
    let (read, write) = opened.await.map_err(|error| RepoError::new("open", error))?;
    let store = shared::Store { read, write, watch };
    Ok(store.clone().into_repos(Database { store }))
}

struct Database {
    store: shared::Store,
}

#[async_trait]
impl DatabaseRepo for Database {
    async fn migrate(&self) -> Result<()> {
        let work = async {
            // The driver has no lock of its own for this: inside one write transaction, of several servers that
            // start at once one migrates and the others find it done.
            let mut tx = self.store.begin().await?;
            MIGRATIONS.run_direct(None, &mut *tx, false).await?;
            tx.commit().await
        };
        self.store.watch.run("database.migrate", work).await
    }

    async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
