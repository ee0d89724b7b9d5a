//! Group commit: audit events that record no change of another table share commits.
//!
//! Most of what this server writes are such events, one for each token and each failed authentication. A commit waits for
//! the disk, and one commit waits as long for many events as for one. So requests hand their event over and wait, and one
//! task writes whatever waits in one statement. Events of a change are still part of the change's own transaction.

mod batcher;
mod mode;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use uuid::Uuid;

use self::batcher::Batcher;
pub use self::mode::AuditMode;
use super::{AuditFilter, AuditRepo, Bearer, DatabaseRepo, QueryObserver, Repos, Result, Schema, TokenRepo};
use crate::domain::{AuditEvent, Page, Paged, Timestamp};

impl Repos {
    /// The same repositories, with group commit. Closing the database writes what is left. `observer` hears of lost events.
    #[must_use]
    pub fn with_group_commit(self, mode: AuditMode, observer: Arc<dyn QueryObserver>) -> Self {
        let batcher = Arc::new(Batcher::new(Arc::clone(&self.audit), mode, observer));
        Self {
            tokens: Arc::new(Tokens { inner: self.tokens, batcher: Arc::clone(&batcher) }),
            audit: Arc::new(Audit { inner: self.audit, batcher: Arc::clone(&batcher) }),
            database: Arc::new(Database { inner: self.database, batcher }),
            ..self
        }
    }
}

struct Tokens {
    inner: Arc<dyn TokenRepo>,
    batcher: Arc<Batcher>,
}

#[async_trait]
impl TokenRepo for Tokens {
    async fn issued(&self, client_id: Uuid, monthly_limit: Option<u64>, event: &AuditEvent) -> Result<bool> {
        match monthly_limit {
            // The count and the event are one transaction.
            Some(_) => self.inner.issued(client_id, monthly_limit, event).await,
            None => self.batcher.record(event).await.map(|()| true),
        }
    }

    async fn bearer(&self, token_id: Uuid, agent_id: Option<Uuid>, credential_id: Option<Uuid>) -> Result<Bearer> {
        self.inner.bearer(token_id, agent_id, credential_id).await
    }

    async fn revoke(&self, token_id: Uuid, expires_at: Timestamp, event: &AuditEvent) -> Result<()> {
        self.inner.revoke(token_id, expires_at, event).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64> {
        self.inner.prune(now).await
    }
}

struct Audit {
    inner: Arc<dyn AuditRepo>,
    batcher: Arc<Batcher>,
}

#[async_trait]
impl AuditRepo for Audit {
    async fn append(&self, event: &AuditEvent) -> Result<()> {
        self.batcher.record(event).await
    }

    async fn append_all(&self, events: &[AuditEvent]) -> Result<()> {
        self.inner.append_all(events).await
    }

    async fn pretend(&self) -> Result<()> {
        self.batcher.pretend().await
    }

    async fn find(&self, event_id: Uuid, not_before: Timestamp) -> Result<Option<AuditEvent>> {
        self.inner.find(event_id, not_before).await
    }

    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditEvent>> {
        self.inner.list(filter, page).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64> {
        self.inner.prune(before).await
    }
}

struct Database {
    inner: Arc<dyn DatabaseRepo>,
    batcher: Arc<Batcher>,
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
        self.batcher.stop().await;
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests;
