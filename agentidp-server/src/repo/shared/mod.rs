//! The repositories, written once and compiled for each database.
//!
//! `postgres` and `sqlite` both include this module. The statements are the same on both; what differs is the driver's
//! types, named `Db` by the includer, and three constants. A form that is generic over the driver would say less about
//! the statements than about `sqlx`'s bounds.

#![expect(clippy::duplicate_mod, reason = "compiled for each database")]

mod agents;
mod audit;
mod credentials;
mod list;
mod purges;
mod tokens;

use std::sync::Arc;

use sqlx::{Database, Pool, Transaction};

use super::{BEGIN, Db, LOCK_AGENT, LOCK_REGISTRATION};
use crate::repo::open::Watch;
use crate::repo::{DatabaseRepo, Repos, Result};

type Connection = <Db as Database>::Connection;

/// All repositories of one database. `read` and `write` are one pool where the database takes several writers.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) read: Pool<Db>,
    pub(super) write: Pool<Db>,
    pub(super) watch: Watch,
}

impl Store {
    pub(super) fn into_repos(self, database: impl DatabaseRepo) -> Repos {
        let store = Arc::new(self);
        Repos {
            agents: Arc::clone(&store) as _,
            credentials: Arc::clone(&store) as _,
            purges: Arc::clone(&store) as _,
            tokens: Arc::clone(&store) as _,
            audit: store,
            database: Arc::new(database),
        }
    }

    /// A transaction that writes. Dropped without a commit, it changed nothing.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction<'static, Db>> {
        self.write.begin_with(BEGIN).await
    }

    pub(super) async fn ping(&self) -> Result<()> {
        let work = async { sqlx::query("SELECT 1").execute(&self.read).await.map(drop) };
        self.watch.run("database.ping", work).await
    }

    pub(super) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
