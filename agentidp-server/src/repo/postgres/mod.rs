//! PostgreSQL 14 or newer.

use std::str::FromStr;

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};

use super::open::{ACQUIRE_TIMEOUT, CONNECTIONS, Watch};
use super::{DatabaseRepo, RepoError, Repos, Result};

#[path = "../shared/mod.rs"]
mod shared;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The database that `shared` is compiled for here.
type Db = sqlx::Postgres;

const BEGIN: &str = "BEGIN";

/// Reads an agent and keeps it as it is until the transaction ends; its credentials can still be inserted.
const LOCK_AGENT: &str = "SELECT status, updated_at FROM agents WHERE agent_id = $1 FOR NO KEY UPDATE";

/// Lets one registration count and insert at a time. The number is ours alone and means nothing.
const LOCK_REGISTRATION: Option<&str> = Some("SELECT pg_advisory_xact_lock(7302119404136203)");

/// Longer than any statement here takes, shorter than a request may: whoever waits for a lock gives up.
const STATEMENT_TIMEOUT: &str = "10s";

pub(super) async fn open(url: &str, watch: Watch) -> Result<Repos> {
    let options = PgConnectOptions::from_str(url).map_err(|error| RepoError::new("open", error))?;
    // A pool would try again until its time is over, and then not say why.
    let reached = async { connect(&options).await?.close().await };
    reached.await.map_err(|error| RepoError::new("open", error))?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options.clone().options([("statement_timeout", STATEMENT_TIMEOUT)]));
    let store = shared::Store { read: pool.clone(), write: pool, watch: watch.clone() };
    Ok(store.clone().into_repos(Database { store, options }))
}

/// One connection outside the pool, without a statement timeout.
async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options))
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

struct Database {
    store: shared::Store,
    options: PgConnectOptions,
}

#[async_trait]
impl DatabaseRepo for Database {
    async fn migrate(&self) -> Result<()> {
        let work = async {
            let mut connection = connect(&self.options).await?;
            // Takes an advisory lock: of several servers that start at once, one migrates and the others wait.
            MIGRATIONS.run_direct(None, &mut connection, false).await?;
            connection.close().await
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
