//! Transactions that change credentials, which forget what they have changed.

use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets::lifecycle::{CommitError, Entry, Note, Row};
use async_trait::async_trait;
use uuid::Uuid;

use super::cache::RowCache;
use crate::domain::idempotency::Claim;
use crate::domain::{Agent, AgentStatus, AuditEvent, Credential, Timestamp, ids};
use crate::repo::{ChangeRepo, ChangeTx, RepoError, Result};

pub(super) struct Changes {
    pub(super) inner: Arc<dyn ChangeRepo>,
    pub(super) cache: Arc<RowCache>,
}

#[async_trait]
impl ChangeRepo for Changes {
    async fn begin(&self) -> Result<Box<dyn ChangeTx>> {
        let inner = self.inner.begin().await?;
        Ok(Box::new(Changing { inner, changed: Changed { cache: Arc::clone(&self.cache), clients: Vec::new() } }))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<(Uuid, Uuid)>> {
        self.inner.due(now, limit).await
    }

    async fn pending(&self) -> Result<u64> {
        self.inner.pending().await
    }

    async fn used(&self, row: &Row) -> Result<bool> {
        let _changed = Changed { cache: Arc::clone(&self.cache), clients: vec![ids(&row.key).0] };
        self.inner.used(row).await
    }
}

struct Changing {
    inner: Box<dyn ChangeTx>,
    changed: Changed,
}

/// The clients that a transaction has changed. They are forgotten when it is over, however it ended: whether it was committed is not
/// always known.
struct Changed {
    cache: Arc<RowCache>,
    clients: Vec<Uuid>,
}

impl Drop for Changed {
    fn drop(&mut self) {
        for client_id in self.clients.drain(..) {
            self.cache.forget(&client_id);
        }
    }
}

#[async_trait]
impl ChangeTx for Changing {
    async fn commit(self: Box<Self>) -> std::result::Result<(), CommitError<RepoError>> {
        let Self { inner, changed: _changed } = *self;
        inner.commit().await
    }

    async fn lock_agent(&mut self, agent_id: Uuid) -> Result<Option<(AgentStatus, Timestamp)>> {
        self.inner.lock_agent(agent_id).await
    }

    async fn lock(&mut self, client_id: Uuid, credential_id: Uuid) -> Result<Entry> {
        self.inner.lock(client_id, credential_id).await
    }

    async fn insert(&mut self, row: &Row, created_at: Timestamp) -> Result<()> {
        self.changed.clients.push(ids(&row.key).0);
        self.inner.insert(row, created_at).await
    }

    async fn replace(&mut self, row: &Row) -> Result<()> {
        self.changed.clients.push(ids(&row.key).0);
        self.inner.replace(row).await
    }

    async fn end(&mut self, client_id: Uuid, credential_id: Uuid, now: Timestamp) -> Result<()> {
        self.changed.clients.push(client_id);
        self.inner.end(client_id, credential_id, now).await
    }

    async fn note(&mut self, client_id: Uuid, credential_id: Uuid, note: &Note, now: Timestamp) -> Result<()> {
        self.inner.note(client_id, credential_id, note, now).await
    }

    async fn finish(
        &mut self,
        client_id: Uuid,
        credential_id: Uuid,
        expires_at: Option<Timestamp>,
        awaits_use: bool,
    ) -> Result<Credential> {
        self.inner.finish(client_id, credential_id, expires_at, awaits_use).await
    }

    async fn rotate_usage(&mut self, credential_id: Uuid, now: SystemTime) -> Result<()> {
        self.inner.rotate_usage(credential_id, now).await
    }

    async fn update_agent(&mut self, agent: &Agent) -> Result<()> {
        self.changed.clients.push(agent.agent_id);
        self.inner.update_agent(agent).await
    }

    async fn active_credentials(&mut self, agent_id: Uuid) -> Result<Vec<Uuid>> {
        self.inner.active_credentials(agent_id).await
    }

    async fn append(&mut self, event: &AuditEvent) -> Result<()> {
        self.inner.append(event).await
    }

    async fn carry_out(&mut self, claim: &Claim, row: &Credential) -> Result<bool> {
        self.inner.carry_out(claim, row).await
    }

    async fn carry_out_anew(&mut self, claim: &Claim, before: &Credential, after: &Credential) -> Result<bool> {
        self.inner.carry_out_anew(claim, before, after).await
    }
}
