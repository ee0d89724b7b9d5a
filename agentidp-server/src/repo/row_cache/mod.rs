//! Rows in memory: a token request of a known client asks the database nothing.
//!
//! On PostgreSQL only, which tells when a row changes (migration 0011); SQLite reads its own file. A change is acknowledged when
//! every server obeys it. One by plain SQL is obeyed within a second, whatever becomes of the network: while the connection that
//! would tell of it gives no sign of life, rows are read.
//!
//! Rows and what keeps them true are [`memory`](agentidp_secrets_sqlx::memory) and [`replicas`](agentidp_secrets_sqlx::replicas) of the
//! library's adapter. The changes of this process are counted on SQLite too, and with a capacity of 0.

mod cache;
mod changes;
mod credentials;
mod outcome;

use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets_sqlx::replicas::{LeaseClock, Memory as _, Replicas};
use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use self::cache::{RowCache, rows};
use self::credentials::Credentials;
pub use self::outcome::RowCacheOutcome;
use super::{DatabaseRepo, QueryObserver, Repos, Result, Schema, postgres, watch};

impl Repos {
    /// The same repositories of the database at `url`, with up to `capacity` credentials in memory.
    ///
    /// A task listens for changes until the database is closed. Where `capacity` is 0 or the
    /// database is SQLite, no rows are kept and no task runs: the changes of this process are
    /// counted, and that is all. The migrations must have been applied; needs a Tokio runtime.
    ///
    /// # Errors
    /// `Unavailable` when `url` cannot be read. That nobody can be listened to is no error: rows are read meanwhile.
    pub fn with_row_cache(
        self,
        url: &str,
        capacity: usize,
        clock: LeaseClock,
        observer: Arc<dyn QueryObserver>,
    ) -> Result<Self> {
        let Some(replicas) = self.replicas.clone().filter(|_| capacity > 0) else {
            // Without a lease nothing is looked for in memory, so there is nothing to observe.
            let counts = Arc::new(rows(0, clock));
            return Ok(self.decorated(&counts, Arc::new(watch::NobodyListens)));
        };
        let cache = Arc::new(rows(capacity, clock));
        let (options, memory, replica) = (postgres::listener(url)?, Arc::clone(&cache), replicas.clone());
        let hears = tell(Arc::clone(&observer));
        let listen = tokio::spawn(async move { replica.listen(options, memory, hears).await });
        let listener = AbortOnDropHandle::new(listen);
        let repos = self.decorated(&cache, observer);
        Ok(Self { database: Arc::new(Database { inner: repos.database, cache, listener, replicas }), ..repos })
    }

    /// Without anybody who listens.
    fn decorated(self, cache: &Arc<RowCache>, observer: Arc<dyn QueryObserver>) -> Self {
        let credentials = Credentials { inner: self.credentials, cache: Arc::clone(cache), observer };
        Self {
            changes: Arc::new(changes::Changes { inner: self.changes, cache: Arc::clone(cache) }),
            credentials: Arc::new(credentials),
            ..self
        }
    }
}

/// Tells metrics and log whether changes are heard of.
fn tell(observer: Arc<dyn QueryObserver>) -> impl Fn(std::result::Result<(), &str>) + Send + Sync {
    observer.listener(false);
    move |heard| {
        observer.listener(heard.is_ok());
        match heard {
            Ok(()) => info!("listening for changed rows: rows of known clients are served from memory"),
            Err(reason) => warn!(%reason, "changed rows are not heard of: every request reads its rows until they are"),
        }
    }
}

struct Database {
    inner: Arc<dyn DatabaseRepo>,
    cache: Arc<RowCache>,
    listener: AbortOnDropHandle<()>,
    replicas: Replicas,
}

#[async_trait]
impl DatabaseRepo for Database {
    async fn migrate(&self) -> Result<()> {
        self.inner.migrate().await
    }

    async fn is_current(&self) -> Result<bool> {
        self.inner.is_current().await
    }

    async fn schema(&self) -> Result<Schema> {
        self.inner.schema().await
    }

    async fn try_write(&self) -> Result<()> {
        self.inner.try_write().await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn now(&self) -> Result<Option<SystemTime>> {
        self.inner.now().await
    }

    async fn close(&self) {
        self.listener.abort();
        self.cache.end_lease();
        self.replicas.leave().await;
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests;
