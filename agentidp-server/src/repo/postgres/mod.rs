//! PostgreSQL 14 or newer.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use time::OffsetDateTime;
use tracing::warn;

use super::reach::{Reach, has_code};
use super::watch::{ACQUIRE_TIMEOUT, CONNECTIONS, LIST_CONNECTIONS, Watch};
use super::{DatabaseRepo, RepoError, Repos, Result, Schema};

mod dialect;
mod replicas;
mod rights;
#[path = "../shared/mod.rs"]
mod shared;

/// Those that this server knows. The database may have more: a newer server may have begun to replace this one.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/postgres");
    migrations.set_ignore_missing(true);
    migrations
});

/// Whether this role may make tables, and change those that are there.
const MAY_CREATE: &str = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AND NOT EXISTS \
     (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('agents', '_sqlx_migrations') \
     AND NOT pg_has_role(current_user, tableowner, 'USAGE'))";

/// So many events. Without any it still asks whether this role may insert them.
const EVENTS: &str = "INSERT INTO audit_events (event_id, action, outcome, ip_address, user_agent, metadata, timestamp) \
     SELECT gen_random_uuid(), 'auth.failed', 'failure', '', repeat('-', 1024), '{}', now() FROM generate_series(1, $1)";

/// For more pages than are left over in the files of the trail.
const MANY_EVENTS: i32 = 64;

/// One event in so many tries, because each leaves a dead row to the vacuum.
const TRIES_PER_EVENT: u8 = 32;

/// Longer than any statement here takes, shorter than a request may: whoever waits for a lock gives up.
const STATEMENT_TIMEOUT: &str = "10s";

/// How long a migration waits for a lock, and others behind it. It is tried again for as long as it takes.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '2s'";

/// How long others have the tables to themselves before it is tried again.
const BETWEEN_MIGRATIONS: Duration = Duration::from_secs(3);

/// One at a time asks whether the database works. Where the other is just being given back when its host goes, it waits there for long.
const PROBES: u32 = 2;

/// How long a stop waits for the database to say that connections are closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn open(url: &str, watch: Watch) -> Result<Repos> {
    let options = PgConnectOptions::from_str(url).map_err(|error| RepoError::new("open", error))?;
    // A pool would try again until its time is over, and then not say why.
    let reached = async { connect(&options).await?.close().await };
    reached.await.map_err(|error| RepoError::new("open", error))?;
    let reach = Reach::postgres(&options);
    let pool = |connections| {
        let (reach, answering) = (reach.clone(), reach.clone());
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // What is sent on a dead one is sent again on another, where that is safe: see `on_a_live_connection`.
            .test_before_acquire(false)
            .before_acquire(move |_, connection| {
                let may_use = reach.may_use(connection.age);
                Box::pin(async move { Ok(may_use) })
            })
            .after_release(move |connection, _| {
                let reach = answering.clone();
                Box::pin(async move { reach.answers(connection).await })
            })
            .connect_lazy_with(options.clone().options([("statement_timeout", STATEMENT_TIMEOUT)]))
    };
    let (shared, lists, probe) = (pool(CONNECTIONS), pool(LIST_CONNECTIONS), pool(PROBES));
    let (read, write, watch) = (shared.clone(), shared, watch.over(reach.clone()));
    let store = shared::Store { read, write, lists, probe, watch, writes: Arc::default() };
    let replicas = Some(replicas::replicas(store.write.clone()));
    Ok(Repos { replicas, ..store.clone().into_repos(Database::new(store, options, reach)) })
}

/// How a server's listener connects.
pub(super) fn listener(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(|error| RepoError::new("listen", error))?;
    Ok(options.options([("statement_timeout", STATEMENT_TIMEOUT)]))
}

/// One connection outside the pool, without a statement timeout.
async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options))
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// SQLSTATE 55P03: the lock was not to be had in time.
fn waits_for_a_lock(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    has_code(error, "55P03")
}

struct Database {
    store: shared::Store,
    options: PgConnectOptions,
    reach: Reach,
    /// How often it was tried to write.
    tries: AtomicU8,
    /// Whether an event could not be inserted the last time.
    refused: AtomicBool,
}

impl Database {
    fn new(store: shared::Store, options: PgConnectOptions, reach: Reach) -> Self {
        Self { store, options, reach, tries: AtomicU8::new(0), refused: AtomicBool::new(false) }
    }

    /// Inserts the event of a login, and takes it back.
    async fn try_event(&self) -> Result<()> {
        let is_full = self.reach.is_full();
        let is_due = self.tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(TRIES_PER_EVENT);
        let events = match is_full {
            // On a full disk the row of a try may find the room of its former versions. What has no room then are new rows.
            true => MANY_EVENTS,
            false => i32::from(is_due || self.refused.load(Ordering::Relaxed)),
        };
        let work = async {
            let mut tx = self.store.probe.begin().await?;
            sqlx::query(EVENTS).bind(events).execute(&mut *tx).await?;
            tx.rollback().await
        };
        let tried = self.store.watch.run("database.try_event", work).await;
        self.refused.store(tried.is_err(), Ordering::Relaxed);
        if is_full && tried.is_ok() {
            self.reach.found_room();
        }
        tried
    }
}

#[async_trait]
impl DatabaseRepo for Database {
    async fn migrate(&self) -> Result<()> {
        let work = async {
            let mut connection = connect(&self.options).await?;
            // Servers that run already wait behind whoever waits for a lock on a table. A dump, say, has one for as long as it takes.
            sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut connection).await?;
            // Takes an advisory lock: of several servers that start at once, one migrates and the others wait.
            while let Err(error) = MIGRATIONS.run_direct(None, &mut connection, false).await {
                if !waits_for_a_lock(&error) {
                    return Err(error.into());
                }
                warn!("a migration of the database waits for a lock that another session holds: it is tried again");
                tokio::time::sleep(BETWEEN_MIGRATIONS).await;
            }
            connection.close().await
        };
        self.store.watch.run_long("database.migrate", work).await
    }

    async fn is_current(&self) -> Result<bool> {
        self.store.has_applied(&MIGRATIONS).await
    }

    async fn schema(&self) -> Result<Schema> {
        let schema = self.store.schema(&MIGRATIONS, MAY_CREATE).await?;
        let lacking = if schema.missing.is_empty() { rights::lacking(&self.store).await? } else { Vec::new() };
        Ok(Schema { lacking, ..schema })
    }

    async fn try_write(&self) -> Result<()> {
        self.store.try_write().await?;
        self.try_event().await
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
        // Connections wait for the answer to what is under way.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.store.close()).await;
    }
}
