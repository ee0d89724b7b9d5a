//! PostgreSQL 14 or newer.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets::ClientId;
use agentidp_secrets::lifecycle::{AsOf, ClientRows, CommitError, Freshness, Known};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgSeverity};
use sqlx::query::QueryAs;
use sqlx::{Connection as _, PgPool};

use crate::Error;
use crate::columns::time;
use crate::memory::RowMemory;
use crate::replicas::{LeaseClock, Replicas, Tables};

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

/// The values of a JSON text.
macro_rules! values {
    () => {
        "jsonb_array_elements($1::jsonb) e(value)"
    };
}

macro_rules! greatest {
    () => {
        "greatest"
    };
}

#[cfg(feature = "vault")]
#[path = "folders.rs"]
mod folders;
#[path = "shared.rs"]
mod shared;
#[path = "usage.rs"]
mod usage;

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
    replicas: Replicas,
    memory: Option<Arc<Rows>>,
}

type Rows = RowMemory<ClientId, Error>;

/// An equals sign, and the client's id.
const TABLES: Tables = Tables {
    channel: "agentidp_rows",
    triggers_work: "SELECT count(*) = 4 FROM pg_trigger WHERE tgenabled = 'A' AND \
         (tgrelid = 'agentidp_clients'::regclass AND tgname IN ('agentidp_client_changed', 'agentidp_clients_emptied') OR \
         tgrelid = 'agentidp_credentials'::regclass AND tgname IN ('agentidp_credential_changed', 'agentidp_credentials_emptied'))",
    triggers_missing: "the triggers of migration 2 are missing or disabled on agentidp_clients or agentidp_credentials",
    name: "agentidp-secrets replica",
    old_name: None,
};

impl PgLedger {
    /// A ledger over this pool. Its tables are made by [`migrate`](Self::migrate).
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let replicas = Replicas::new(pool.clone(), TABLES);
        Self { pool, replicas, memory: None }
    }

    /// Keeps the rows of so many credentials in memory while [`listen`](Self::listen) runs, so that a login of a known client asks the
    /// database nothing. A change is acknowledged when every process that does so has heard of it: see [`replicas`](crate::replicas).
    #[must_use]
    pub fn with_row_cache(mut self, capacity: usize) -> Self {
        // Clones from before have no rows to forget, so they ask this one.
        self.replicas = Replicas::new(self.pool.clone(), TABLES);
        let parse = |told: &str| ClientId::parse(told.strip_prefix('=')?).ok();
        self.memory = Some(Arc::new(Rows::new(capacity, LeaseClock::machine(), parse)));
        self
    }

    /// Listens for changes, for as long as it is polled: have a task of its own do it. It takes a connection of its own, to the
    /// database itself or through a pooler in session mode; while it is broken, rows are read. `tell` hears whether changes are heard of:
    /// from now on, or no longer and why. Ends at once without [`with_row_cache`](Self::with_row_cache).
    ///
    /// A process that is about to end calls [`leave`](Self::leave), or the next change elsewhere waits for a second.
    ///
    /// ```no_run
    /// # use agentidp_secrets_sqlx::PgLedger;
    /// # fn example(pool: sqlx::PgPool) {
    /// let ledger = PgLedger::new(pool).with_row_cache(100_000);
    /// tokio::spawn(ledger.listen(|heard| match heard {
    ///     Ok(()) => println!("rows are served from memory"),
    ///     Err(why) => eprintln!("rows are read: {why}"),
    /// }));
    /// # }
    /// ```
    pub fn listen(
        &self,
        tell: impl Fn(Result<(), &str>) + Send + Sync + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Self { pool, replicas, memory } = self.clone();
        async move {
            let Some(memory) = memory else { return };
            let options = PgConnectOptions::clone(&pool.connect_options());
            replicas.listen(options, memory, tell).await;
        }
    }

    /// Takes this process off the list of those that keep rows in memory. The task that listens has ended.
    pub async fn leave(&self) {
        self.replicas.leave().await;
    }

    /// Makes the tables, or brings those of an older release up to date. Of several processes that start at once, one does it and
    /// the others wait.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut migrations = sqlx::migrate!("migrations/postgres");
        migrations.dangerous_set_table_name("agentidp_migrations");
        // The driver's lock is the connection's, and a migration that fails keeps it: closed, the connection lets it go.
        let mut connection = self.pool.acquire().await?.detach();
        let migrated = migrations.run_direct(None, &mut connection, false).await;
        connection.close().await?;
        Ok(migrated?)
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

async fn rows(ledger: &PgLedger, client: &ClientId, freshness: Freshness) -> Result<ClientRows, Error> {
    let Some(memory) = &ledger.memory else {
        return Ok(ClientRows { known: ledger.read_rows(client).await?, ..ClientRows::read(None) });
    };
    let rows = memory.rows(client, freshness, |_| ledger.read_rows(client)).await;
    let rows = rows.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(Error::Shared))?;
    let now = memory.database_time();
    let unexpired = |known: Arc<Known>| if let Some(now) = now { known.unexpired(now) } else { known };
    Ok(ClientRows { known: rows.known.map(unexpired), ..rows })
}

fn is_current(ledger: &PgLedger, client: &ClientId, as_of: AsOf, expires_at: Option<SystemTime>) -> bool {
    let Some((memory, now)) = ledger.memory.as_ref().and_then(|memory| Some((memory, memory.database_time()?))) else {
        return false;
    };
    expires_at.is_none_or(|end| end > now) && memory.is_current(client, as_of)
}

fn is_changed(ledger: &PgLedger, client: &ClientId, as_of: AsOf) -> bool {
    ledger.memory.as_ref().is_some_and(|memory| memory.is_changed(client, as_of))
}

async fn acknowledge(ledger: &PgLedger, client: &ClientId) {
    if let Some(memory) = &ledger.memory {
        memory.forget(client);
    }
    ledger.replicas.acknowledge().await;
}

async fn begin(pool: &PgPool) -> sqlx::Result<PgTx> {
    pool.begin_with(BEGIN).await
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
