//! PostgreSQL 14 or newer.

use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection as _, PgPool};
use time::OffsetDateTime;

use super::open::{ACQUIRE_TIMEOUT, CONNECTIONS, LIST_CONNECTIONS, Watch};
use super::reach::Reach;
use super::{DatabaseRepo, Leadership, RepoError, Repos, Result, Schema};
use crate::domain::AuditEvent;

mod listener;
#[path = "../shared/mod.rs"]
mod shared;

pub(super) use self::listener::listen;

/// Those that this server knows. The database may have more: a newer server may have begun to replace this one.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    migrations.set_ignore_missing(true);
    migrations
});

/// The database that `shared` is compiled for here.
type Db = sqlx::Postgres;

const BEGIN: &str = "BEGIN";

/// Whether this role may make tables, and change those that are there.
const MAY_CREATE: &str = "SELECT has_schema_privilege(current_schema(), 'CREATE') AND NOT EXISTS \
     (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('agents', '_sqlx_migrations') \
     AND NOT pg_has_role(current_user, tableowner, 'USAGE'))";

/// Reads an agent and keeps it as it is until the transaction ends; its credentials can still be inserted.
const LOCK_AGENT: &str = "SELECT status, updated_at FROM agents WHERE agent_id = $1 FOR NO KEY UPDATE";

/// Keeps what a select reads as it is until the transaction ends.
const FOR_UPDATE: &str = " FOR NO KEY UPDATE";

/// Lets one registration count and insert at a time. The number is ours alone and means nothing.
const LOCK_REGISTRATION: Option<&str> = Some("SELECT pg_advisory_xact_lock(7302119404136203)");

/// Held by the one server that compares the rows with Vault. The number is ours alone and means nothing.
const TRY_LEAD: &str = "SELECT pg_try_advisory_lock(7302119404136204)";

/// Longer than any statement here takes, shorter than a request may: whoever waits for a lock gives up.
const STATEMENT_TIMEOUT: &str = "10s";

/// Inserts events in one statement, which is its own transaction; those that are there already stay as they are. Arrays
/// instead of a list of rows, so that it is one prepared statement for any number of events.
async fn insert_events(connection: &mut PgConnection, events: &[AuditEvent]) -> sqlx::Result<()> {
    fn each<'a, T>(events: &'a [AuditEvent], column: impl Fn(&'a AuditEvent) -> T) -> Vec<T> {
        events.iter().map(column).collect()
    }
    sqlx::query(
        "INSERT INTO audit_events (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp) \
         SELECT event_id, agent_id, action, outcome, ip_address, user_agent, metadata::jsonb, timestamp \
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[]) \
         AS new (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp) ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(each(events, |event| event.event_id))
    .bind(each(events, |event| event.agent_id))
    .bind(each(events, |event| event.action.as_str()))
    .bind(each(events, |event| event.outcome.as_str()))
    .bind(each(events, |event| event.ip_address.as_str()))
    .bind(each(events, |event| event.user_agent.as_str()))
    .bind(each(events, |event| event.metadata.as_str()))
    .bind(each(events, |event| event.timestamp.to_offset()))
    .execute(connection)
    .await?;
    Ok(())
}

/// The lock is a connection's, which leaves the pool for it. When the leader's host is gone without a word, keepalives end
/// the connection within a minute or so, and with it the lock.
async fn lead(pool: &PgPool) -> sqlx::Result<Option<Box<dyn Leadership>>> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql("SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3")
        .execute(&mut connection)
        .await?;
    if sqlx::query_scalar(TRY_LEAD).fetch_one(&mut connection).await? {
        return Ok(Some(Box::new(Leader(connection))));
    }
    connection.close().await?;
    Ok(None)
}

struct Leader(PgConnection);

#[async_trait]
impl Leadership for Leader {
    async fn holds(&mut self) -> bool {
        sqlx::query("SELECT 1").execute(&mut self.0).await.is_ok()
    }
}

pub(super) async fn open(url: &str, watch: Watch) -> Result<Repos> {
    let options = PgConnectOptions::from_str(url).map_err(|error| RepoError::new("open", error))?;
    // A pool would try again until its time is over, and then not say why.
    let reached = async { connect(&options).await?.close().await };
    reached.await.map_err(|error| RepoError::new("open", error))?;
    let reach = Reach::postgres(&options);
    let pool = |connections| {
        let reach = reach.clone();
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // What is sent on a dead one is sent again on another, where that is safe: see `on_a_live_connection`.
            .test_before_acquire(false)
            .before_acquire(move |_, connection| {
                let may_use = reach.may_use(connection.age);
                Box::pin(async move { Ok(may_use) })
            })
            .connect_lazy_with(options.clone().options([("statement_timeout", STATEMENT_TIMEOUT)]))
    };
    let (shared, lists, probe) = (pool(CONNECTIONS), pool(LIST_CONNECTIONS), pool(1));
    let (read, write, watch) = (shared.clone(), shared, watch.over(reach.clone()));
    let store = shared::Store { read, write, lists, probe, watch, writes: Arc::default() };
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

    async fn is_current(&self) -> Result<bool> {
        self.store.has_applied(&MIGRATIONS).await
    }

    async fn schema(&self) -> Result<Schema> {
        self.store.schema(&MIGRATIONS, MAY_CREATE).await
    }

    async fn try_write(&self) -> Result<()> {
        self.store.try_write().await
    }

    async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    async fn now(&self) -> Result<Option<SystemTime>> {
        let work = || async {
            // Unlike `now()` it does not stand still in a transaction.
            let now: OffsetDateTime =
                sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.store.read).await?;
            Ok(Some(now.into()))
        };
        self.store.watch.again("database.now", work).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
