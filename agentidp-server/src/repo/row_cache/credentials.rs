//! Credentials, whose authentication is served from memory.

use std::sync::Arc;

use agentidp_secrets::lifecycle::{AsOf, ClientRows, Freshness, Known};
use agentidp_secrets_sqlx::memory::Reading;
use async_trait::async_trait;
use uuid::Uuid;

use super::cache::RowCache;
use crate::domain::{Credential, CredentialStatus, Page, Paged, Timestamp};
use crate::repo::{CredentialRepo, QueryObserver, RepoError, Result, RowCacheOutcome};

/// Answers from memory where it may.
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

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Known>>> {
        self.inner.authenticate(client_id, now).await
    }

    async fn rows(&self, client_id: Uuid, now: Timestamp, freshness: Freshness) -> Result<ClientRows> {
        let read = |why| {
            self.observer.row_cache(match why {
                Reading::Missing => RowCacheOutcome::Miss,
                Reading::Unheard => RowCacheOutcome::Off,
                Reading::Anew => RowCacheOutcome::Anew,
            });
            self.inner.authenticate(client_id, now)
        };
        let rows = self.cache.rows(&client_id, freshness, read).await;
        let rows = rows.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(|shared| RepoError::again(&shared)))?;
        if rows.from_memory {
            self.observer.row_cache(RowCacheOutcome::Hit);
        }
        Ok(ClientRows { known: rows.known.map(|known| known.unexpired(now.into())), ..rows })
    }

    fn is_current(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.cache.is_current(&client_id, as_of)
    }

    fn is_changed(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.cache.is_changed(&client_id, as_of)
    }
}
