//! PostgreSQL 14 or newer.

use std::fmt;
use std::time::SystemTime;

use agentidp_secrets::lifecycle::CommitError;
use sqlx::PgPool;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgArguments, PgDatabaseError, PgSeverity};
use sqlx::query::QueryAs;

use crate::Error;
use crate::columns::time;

/// The database's time in milliseconds. Unlike `now()` it does not stand still within a transaction.
macro_rules! now {
    ($argument:literal) => {
        "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// Keeps a row as it is until the transaction ends.
macro_rules! for_update {
    () => {
        " FOR UPDATE"
    };
}

#[path = "shared.rs"]
mod shared;

/// A transaction of [`PgLedger`]: sqlx's own, for the caller's writes of the same change.
pub type PgTx = sqlx::Transaction<'static, Db>;

/// The ledger over PostgreSQL 14 or newer.
///
/// It has two tables in the first schema of the connection's search path, `agentidp_clients` and `agentidp_credentials`, and a
/// table of migrations, `agentidp_migrations`, beside the caller's own.
///
/// Its transactions are `READ COMMITTED`, whatever the database's default is: they wait for each other by locks. Changes of the
/// caller run in them.
///
/// `synchronous_commit` must not be `off`, and a failover must lose no commit: a secret is shown because its commit is safe.
///
/// Cheap to clone; clones share the pool.
///
/// ```no_run
/// use agentidp_secrets::backends::Bcrypt;
/// use agentidp_secrets::lifecycle::Lifecycle;
/// use agentidp_secrets::{CredentialKey, SecretStore};
/// use agentidp_secrets_sqlx::PgLedger;
/// use sqlx::PgPool;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let ledger = PgLedger::new(PgPool::connect("postgres://localhost/idp").await?);
/// ledger.migrate().await?;
/// let store = SecretStore::builder(Bcrypt::builder().build()?).build()?;
/// let life = Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task)));
/// let shown = life.issue(&CredentialKey::parse("agent-7", "credential-1")?, ()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PgLedger {
    pool: PgPool,
}

impl PgLedger {
    /// A ledger over this pool. Its tables are made by [`migrate`](Self::migrate).
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Makes the tables, or brings those of an older release up to date. Of several processes that start at once, one does it and
    /// the others wait.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut migrations = sqlx::migrate!("migrations/postgres");
        migrations.dangerous_set_table_name("agentidp_migrations");
        Ok(migrations.run(&self.pool).await?)
    }
}

impl fmt::Debug for PgLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgLedger").finish_non_exhaustive()
    }
}

type Db = sqlx::Postgres;
type Own = PgLedger;
type Tx = PgTx;

/// Locks wait for each other: a snapshot of the whole transaction would not see what the wait was for.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Locks a key that has no row yet. Others wait who find no row either; when they go on, they look again.
const LOCK_ABSENT: Option<&str> =
    Some("SELECT pg_advisory_xact_lock(hashtextextended('agentidp/' || $1 || '/' || $2, 0))");

fn bind_now<'q, O>(_: &PgLedger, query: QueryAs<'q, Db, O, PgArguments>) -> QueryAs<'q, Db, O, PgArguments> {
    query
}

async fn now(_: &PgLedger, tx: &mut PgTx) -> sqlx::Result<SystemTime> {
    sqlx::query_scalar(concat!("SELECT ", now!(""))).fetch_one(&mut **tx).await.map(time)
}

async fn commit(mut tx: PgTx) -> Result<(), CommitError<sqlx::Error>> {
    // PostgreSQL answers the COMMIT of a transaction that an error has ended with "ROLLBACK", which is a success to the driver.
    sqlx::raw_sql("SELECT 1").execute(&mut *tx).await.map_err(CommitError::NotDone)?;
    tx.commit().await.map_err(|error| match error.as_database_error() {
        Some(refusal) if !is_unknown(refusal.downcast_ref()) => CommitError::NotDone(error),
        _ => CommitError::Unknown(error),
    })
}

/// An error that ends the connection may come after the commit. A database that speaks PostgreSQL's protocol, or a proxy, may say
/// that it does not know: 40003, and class 08.
fn is_unknown(error: &PgDatabaseError) -> bool {
    let ends_connection = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    ends_connection || error.code() == "40003" || error.code().starts_with("08")
}

/// A serialization failure, or a deadlock (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn may_repeat(error: &dyn DatabaseError) -> bool {
    matches!(error.code().as_deref(), Some("40001" | "40P01"))
}
