//! Credentials, whose authentication is served from memory.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::cache::RowCache;
use crate::domain::{AuditEvent, Credential, CredentialStatus, Page, Paged, Timestamp};
use crate::repo::{Authentication, CredentialRepo, InsertCredential, QueryObserver, Result, Revoke, RowCacheOutcome};

/// Answers from memory where it may, and forgets what it changes.
pub(super) struct Credentials {
    pub(super) inner: Arc<dyn CredentialRepo>,
    pub(super) cache: Arc<RowCache>,
    pub(super) observer: Arc<dyn QueryObserver>,
}

#[async_trait]
impl CredentialRepo for Credentials {
    async fn find(&self, client_id: Uuid, credential_id: Uuid) -> Result<Option<Credential>> {
        self.inner.find(client_id, credential_id).await
    }

    async fn list(&self, client_id: Uuid, status: Option<CredentialStatus>, page: Page) -> Result<Paged<Credential>> {
        self.inner.list(client_id, status, page).await
    }

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Authentication>>> {
        if !self.cache.is_live() {
            self.observer.row_cache(RowCacheOutcome::Off);
            return self.inner.authenticate(client_id, now).await;
        }
        if let Some(found) = self.cache.get(client_id) {
            self.observer.row_cache(RowCacheOutcome::Hit);
            return Ok(Some(found.unexpired(now)));
        }
        self.authenticate_anew(client_id, now).await
    }

    async fn authenticate_anew(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Authentication>>> {
        self.observer.row_cache(RowCacheOutcome::Miss);
        let epoch = self.cache.epoch(client_id);
        let found = self.inner.authenticate(client_id, now).await?;
        if let Some(found) = &found {
            self.cache.put(client_id, epoch, Arc::clone(found));
        }
        Ok(found)
    }

    async fn insert(&self, credential: &Credential, event: &AuditEvent) -> Result<InsertCredential> {
        let _forgetting = self.cache.forgetting(credential.client_id);
        self.inner.insert(credential, event).await
    }

    async fn rotate(&self, before: &Credential, after: &Credential, event: &AuditEvent) -> Result<bool> {
        let _forgetting = self.cache.forgetting(before.client_id);
        self.inner.rotate(before, after, event).await
    }

    async fn upgrade(&self, before: &Credential, after: &Credential) -> Result<bool> {
        let _forgetting = self.cache.forgetting(before.client_id);
        self.inner.upgrade(before, after).await
    }

    async fn revoke(&self, client_id: Uuid, credential_id: Uuid, now: Timestamp, event: &AuditEvent) -> Result<Revoke> {
        let _forgetting = self.cache.forgetting(client_id);
        self.inner.revoke(client_id, credential_id, now, event).await
    }
}
