//! SQLite, the embedded default.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool};
use tracing::warn;

use super::watch::{ACQUIRE_TIMEOUT, CONNECTIONS, LIST_CONNECTIONS, Watch};
use super::{DatabaseRepo, RepoError, Repos, Result, Schema};
use crate::data_dir::private_database;

mod dialect;
#[path = "../shared/mod.rs"]
mod shared;

/// Those that this server knows. The database may have more: a newer server may have begun to replace this one.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("migrations/sqlite");
    migrations.set_ignore_missing(true);
    migrations
});

/// Whoever may write the file may make tables.
const MAY_CREATE: &str = "SELECT true";

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
        // SQLite would let others read the file. What cannot be opened is reported by SQLite.
        let file = options.get_filename();
        if !url.contains(":memory:")
            && let Err(error) = private_database(file)
            && file.exists()
        {
            warn!(%error, "other users may read the database file {}, or those beside it: chmod go-rwx them", file.display());
        }
        // A commit that the disk had no room for leaves the driver in a transaction that SQLite has rolled back. Such a
        // connection is replaced: nothing could be written on it again.
        let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        });
        let write = connect(pool.clone().max_connections(1), &options).await?;
        let lists = pool.clone().max_connections(LIST_CONNECTIONS).connect_lazy_with(options.clone());
        let read = pool.max_connections(CONNECTIONS).connect_lazy_with(options);
        Ok((read, write, lists))
    };
    let (read, write, lists) = opened.await.map_err(|error| RepoError::new("open", error))?;
    // Another connection would have to ask for the write lock over and over, and lose under load.
    let probe = write.clone();
    let store = shared::Store { read, write, lists, probe, watch, writes: Arc::default() };
    Ok(store.clone().into_repos(Database { store }))
}

/// The file that a URL names.
pub(super) fn file(url: &str) -> Option<PathBuf> {
    SqliteConnectOptions::from_str(url).ok().map(|options| options.get_filename().to_owned())
}

/// Connects, and waits for another process that is just creating the file: while the journal mode changes, SQLite refuses
/// at once instead of waiting for its busy timeout.
async fn connect(pool: SqlitePoolOptions, options: &SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    const PAUSE: Duration = Duration::from_millis(50);
    const ATTEMPTS: usize = 40;
    for _ in 1..ATTEMPTS {
        match pool.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::Database(error)) if is_busy(error.code().as_deref()) => tokio::time::sleep(PAUSE).await,
            decided => return decided,
        }
    }
    pool.connect_with(options.clone()).await
}

/// `SQLITE_BUSY` and its extended codes have 5 in the lowest byte (<https://www.sqlite.org/rescode.html>).
fn is_busy(code: Option<&str>) -> bool {
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

struct Database {
    store: shared::Store,
}

impl Database {
    /// Inserts the event of a login, and takes it back.
    async fn try_event(&self) -> Result<()> {
        const EVENT: &str = "INSERT INTO audit_events (event_id, action, outcome, ip_address, user_agent, timestamp) \
             VALUES ('', 'auth.failed', 'failure', '', '', '')";
        let work = async {
            let mut tx = self.store.begin().await?;
            sqlx::raw_sql(EVENT).execute(&mut *tx).await?;
            tx.rollback().await
        };
        self.store.watch.run("database.try_event", work).await
    }
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

    async fn is_current(&self) -> Result<bool> {
        self.store.has_applied(&MIGRATIONS).await
    }

    async fn schema(&self) -> Result<Schema> {
        self.store.schema(&MIGRATIONS, MAY_CREATE).await
    }

    async fn try_write(&self) -> Result<()> {
        if self.store.try_write().await.is_ok() {
            return self.try_event().await;
        }
        // On a full disk the log of writes cannot grow, and SQLite would begin it anew only after a commit. What it holds is
        // moved to where pages are already: then the log has room again, for a revocation also.
        let checkpoint = async { sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&self.store.probe).await };
        self.store.watch.run("database.checkpoint", checkpoint).await?;
        self.store.try_write().await?;
        self.try_event().await
    }

    async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    /// SQLite runs in this process, and has the machine's clock.
    async fn now(&self) -> Result<Option<SystemTime>> {
        Ok(None)
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_told_by_the_lowest_byte() {
        for (code, busy) in [("5", true), ("261", true), ("517", true), ("6", false), ("14", false), ("", false)] {
            assert_eq!(is_busy(Some(code)), busy, "{code}");
        }
        assert!(!is_busy(None));
    }
}
