//! The repositories, written once and compiled for each database.
//!
//! `postgres` and `sqlite` both include this module. The statements are the same on both; what differs is the driver's
//! types, named `Db` by the includer, three constants and two writes. A form that is generic over the driver would say less about
//! the statements than about `sqlx`'s bounds.

#![expect(clippy::duplicate_mod, reason = "compiled for each database")]

mod agents;
mod audit;
mod changes;
mod credentials;
mod drift;
mod idempotency;
mod ledger;
mod list;
mod notes;
mod old_jobs;
mod retention;
mod tokens;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use sqlx::migrate::Migrator;
use sqlx::{Database, Pool, Transaction};

use super::dialect::{
    BEGIN, Db, FOR_UPDATE, KEY_ID, LOCK_ABSENT, LOCK_AGENT, LOCK_REGISTRATION, NOTE_USES, insert_events, is_unknown,
    overwrite,
};
use crate::repo::watch::Watch;
use crate::repo::{DatabaseRepo, Repos, Result, Schema};

type Connection = <Db as Database>::Connection;

/// All repositories of one database. `read` and `write` are one pool where the database takes several writers.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) read: Pool<Db>,
    pub(super) write: Pool<Db>,
    /// Connections of their own, so that pages of long lists are waited for by nothing else.
    pub(super) lists: Pool<Db>,
    /// For the question whether the database works: on PostgreSQL a connection of its own, so that it waits behind nothing.
    pub(super) probe: Pool<Db>,
    pub(super) watch: Watch,
    /// How often it was tried to write.
    pub(super) writes: Arc<AtomicU8>,
}

impl Store {
    pub(super) fn into_repos(self, database: impl DatabaseRepo) -> Repos {
        let store = Arc::new(self);
        Repos {
            agents: Arc::clone(&store) as _,
            changes: Arc::clone(&store) as _,
            credentials: Arc::clone(&store) as _,
            idempotency: Arc::clone(&store) as _,
            tokens: Arc::clone(&store) as _,
            usage: Arc::clone(&store) as _,
            drift: Arc::clone(&store) as _,
            ledger: Arc::clone(&store) as _,
            audit: Arc::clone(&store) as _,
            retention: store,
            replicas: None,
            database: Arc::new(database),
        }
    }

    /// A transaction that writes, on a connection that is alive: a BEGIN that got no answer changed nothing and is tried
    /// on another. What follows is not, because a COMMIT without an answer may have taken place. Dropped without a
    /// commit, it changed nothing.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction<'static, Db>> {
        self.watch.on_a_live_connection(|| self.write.begin_with(BEGIN)).await
    }

    pub(super) async fn ping(&self) -> Result<()> {
        let work = || async { sqlx::query("SELECT 1").execute(&self.probe).await.map(drop) };
        self.watch.again("database.ping", work).await
    }

    /// Writes a row, with enough bytes that a disk without room for a login's event has none for it either. Other bytes each
    /// time: SQLite writes no page that stays as it is.
    pub(super) async fn try_write(&self) -> Result<()> {
        const FILLER: usize = 16 * 1024;
        let work = || async {
            let filler = vec![self.writes.fetch_add(1, Ordering::Relaxed); FILLER];
            let write =
                "INSERT INTO write_probe (id, filler) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET filler = $1";
            sqlx::query(write).bind(filler).execute(&self.probe).await.map(drop)
        };
        self.watch.again("database.try_write", work).await
    }

    /// Whether each of `migrations` has been applied. The table is the driver's.
    pub(super) async fn has_applied(&self, migrations: &Migrator) -> Result<bool> {
        let known: Vec<i64> = migrations.iter().map(|migration| migration.version).collect();
        let newest = known.iter().max().copied().unwrap_or_default();
        let work = || async {
            let applied = "SELECT count(*) FROM _sqlx_migrations WHERE success AND version <= $1";
            let applied: i64 = sqlx::query_scalar(applied).bind(newest).fetch_one(&self.probe).await?;
            Ok(usize::try_from(applied).is_ok_and(|applied| applied >= known.len()))
        };
        self.watch.again("database.is_current", work).await
    }

    /// What is missing of `migrations`, and whether this user may apply it. A database without the driver's table has none.
    pub(super) async fn schema(&self, migrations: &Migrator, may_create: &'static str) -> Result<Schema> {
        let known: Vec<i64> = migrations.iter().map(|migration| migration.version).collect();
        let work = || async {
            let applied = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
            let applied: Vec<i64> = sqlx::query_scalar(applied).fetch_all(&self.probe).await.unwrap_or_default();
            let may_migrate = sqlx::query_scalar(may_create).fetch_one(&self.probe).await?;
            let without = |these: &[i64], those: &[i64]| -> Vec<i64> {
                these.iter().filter(|version| !those.contains(version)).copied().collect()
            };
            let (missing, unknown) = (without(&known, &applied), without(&applied, &known));
            Ok(Schema { missing, newest: applied.last().copied(), unknown, may_migrate, lacking: Vec::new() })
        };
        self.watch.again("database.schema", work).await
    }

    pub(super) async fn close(&self) {
        self.probe.close().await;
        self.lists.close().await;
        self.read.close().await;
        self.write.close().await;
    }
}
