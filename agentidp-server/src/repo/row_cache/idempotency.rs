//! Commits of requests that may come again, which forget as those of other requests do.

use std::sync::Arc;

use async_trait::async_trait;

use super::cache::{Forgetting, RowCache};
use crate::domain::idempotency::Claim;
use crate::domain::{AuditEvent, Credential, Timestamp};
use crate::repo::{Claimed, IdempotencyRepo, InsertCredential, Once, Result};

pub(super) struct Idempotency {
    pub(super) inner: Arc<dyn IdempotencyRepo>,
    pub(super) cache: Arc<RowCache>,
}

impl Idempotency {
    fn forgetting(&self, credential: &Credential) -> Forgetting<'_> {
        self.cache.forgetting(credential.client_id)
    }
}

#[async_trait]
impl IdempotencyRepo for Idempotency {
    async fn claim(&self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
        self.inner.claim(claim, now).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        self.inner.release(claim).await
    }

    async fn insert(
        &self,
        claim: &Claim,
        credential: &Credential,
        event: &AuditEvent,
    ) -> Result<Once<InsertCredential>> {
        let _forgetting = self.forgetting(credential);
        self.inner.insert(claim, credential, event).await
    }

    async fn rotate(
        &self,
        claim: &Claim,
        before: &Credential,
        after: &Credential,
        event: &AuditEvent,
    ) -> Result<Once<bool>> {
        let _forgetting = self.forgetting(before);
        self.inner.rotate(claim, before, after, event).await
    }

    async fn replace(
        &self,
        claim: &Claim,
        before: &Credential,
        after: &Credential,
        event: &AuditEvent,
    ) -> Result<bool> {
        let _forgetting = self.forgetting(before);
        self.inner.replace(claim, before, after, event).await
    }

    async fn used(&self, credential: &Credential) -> Result<bool> {
        let _forgetting = self.forgetting(credential);
        self.inner.used(credential).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64> {
        self.inner.prune(now).await
    }
}
