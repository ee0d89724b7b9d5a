//! SQLite, in this process.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets::lifecycle::{AsOf, ClientRows, CommitError, Freshness};
use agentidp_secrets::{ClientId, Clock, SystemClock};
use sqlx::error::DatabaseError;
use sqlx::query::QueryAs;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Connection as _, SqlitePool};

use crate::Error;
use crate::columns::millis;

/// The time in milliseconds, which `bind_now` binds as this argument.
macro_rules! now {
    ($argument:literal) => {
        $argument
    };
}

/// A transaction that writes is alone.
macro_rules! for_update {
    () => {
        ""
    };
}

/// The values of a JSON text.
macro_rules! values {
    () => {
        "json_each($1) e"
    };
}

macro_rules! greatest {
    () => {
        "max"
    };
}

#[cfg(feature = "vault")]
#[path = "folders.rs"]
mod folders;
#[path = "shared.rs"]
mod shared;
#[path = "usage.rs"]
mod usage;

/// A transaction of [`SqliteLedger`]: sqlx's own, for the caller's writes of the same change.
pub type SqliteTx = sqlx::Transaction<'static, Db>;

/// The ledger over SQLite.
///
/// It has two tables, `agentidp_clients` and `agentidp_credentials`, and a table of migrations, `agentidp_migrations`, beside the
/// caller's own.
///
/// Its transactions begin with `BEGIN IMMEDIATE`, so one writes at a time; the others wait for the busy timeout of their
/// connection. Use the journal mode WAL, so that logins do not wait for writers, and `synchronous` `FULL`, which is SQLite's
/// default: a secret is shown because its commit is on the disk. A database in memory needs a pool of one connection.
///
/// Cheap to clone; clones share the pool.
///
/// ```
/// use agentidp_secrets::backends::Memory;
/// use agentidp_secrets::lifecycle::{Decision, Lifecycle};
/// use agentidp_secrets::{CredentialKey, SecretStore};
/// use agentidp_secrets_sqlx::SqliteLedger;
/// use sqlx::sqlite::SqlitePoolOptions;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ledger = SqliteLedger::new(SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?);
/// ledger.migrate().await?;
/// let store = SecretStore::builder(Memory::new()).build()?;
/// let life = Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task)));
///
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// let shown = life.issue(&key, ()).await?;
/// assert!(matches!(life.authenticate(key.client_id(), &shown.secret).await?, Decision::Proved(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteLedger {
    pool: SqlitePool,
    clock: Arc<dyn Clock>,
}

impl SqliteLedger {
    /// A ledger over this pool. Its tables are made by [`migrate`](Self::migrate).
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool, clock: Arc::new(SystemClock::default()) }
    }

    /// Reads the time from `clock`. SQLite runs in this process and has no clock of its own, so it is the machine's unless set. Processes
    /// that share a database must have the same time.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the tables, or brings those of an older release up to date. Of several processes that start at once, one does it and
    /// the others wait.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut migrations = sqlx::migrate!("migrations/sqlite");
        migrations.dangerous_set_table_name("agentidp_migrations");
        // The driver has no lock of its own for SQLite.
        let mut tx = begin(&self.pool).await?;
        migrations.run_direct(None, &mut *tx, false).await?;
        Ok(tx.commit().await?)
    }
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").finish_non_exhaustive()
    }
}

type Db = sqlx::Sqlite;
type Own = SqliteLedger;
type Tx = SqliteTx;

/// Takes the write lock at once: a transaction that reads first and asks for it later could be refused it.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// A transaction that writes is alone.
const LOCK_ABSENT: Option<&str> = None;

fn bind_now<'q, O>(
    ledger: &SqliteLedger,
    query: QueryAs<'q, Db, O, SqliteArguments>,
) -> QueryAs<'q, Db, O, SqliteArguments> {
    query.bind(millis(ledger.clock.now()))
}

async fn now(ledger: &SqliteLedger, _: &mut SqliteTx) -> sqlx::Result<SystemTime> {
    Ok(ledger.clock.now())
}

/// Every login reads the file: there is nothing in memory.
async fn rows(ledger: &SqliteLedger, client: &ClientId, _: Freshness) -> Result<ClientRows, Error> {
    Ok(ClientRows { known: ledger.read_rows(client).await?, ..ClientRows::read(None) })
}

fn is_current(_: &SqliteLedger, _: &ClientId, _: AsOf, _: Option<SystemTime>) -> bool {
    false
}

fn is_changed(_: &SqliteLedger, _: &ClientId, _: AsOf) -> bool {
    false
}

async fn acknowledge(_: &SqliteLedger, _: &ClientId) {}

/// A disk that is full ends a transaction behind the driver's back, which takes the connection for one within it from then on.
async fn begin(pool: &SqlitePool) -> sqlx::Result<SqliteTx> {
    loop {
        match pool.begin_with(BEGIN).await {
            Err(sqlx::Error::InvalidSavePointStatement) => {
                let connection = pool.acquire().await?;
                if connection.is_in_transaction() {
                    connection.close().await?;
                }
            }
            begun => return begun,
        }
    }
}

async fn commit(tx: SqliteTx) -> Result<(), CommitError<sqlx::Error>> {
    tx.commit().await.map_err(|error| match error.as_database_error().map(primary_code) {
        Some(Some(BUSY | LOCKED | FULL | CONSTRAINT)) => CommitError::NotDone(error),
        // The disk failed, and what it has of the commit may count after a crash; or the transaction had ended before.
        _ => CommitError::Unknown(error),
    })
}

/// Another connection writes, or has changed what was read.
fn may_repeat(error: &dyn DatabaseError) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED))
}

const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const FULL: u32 = 13;
const CONSTRAINT: u32 = 19;

/// The lowest byte of an extended code (<https://www.sqlite.org/rescode.html>).
fn primary_code(error: &dyn DatabaseError) -> Option<u32> {
    Some(error.code()?.parse::<u32>().ok()? & 0xff)
}
