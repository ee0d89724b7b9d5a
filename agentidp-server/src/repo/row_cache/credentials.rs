//! Credentials, whose authentication is served from memory.

use std::sync::Arc;

use agentidp_secrets::lifecycle::{AsOf, ClientRows, Freshness, Known};
use async_trait::async_trait;
use uuid::Uuid;

use super::cache::RowCache;
use super::flights::Flights;
use crate::domain::{Credential, CredentialStatus, Page, Paged, Timestamp};
use crate::repo::{CredentialRepo, QueryObserver, Result, RowCacheOutcome};

/// Answers from memory where it may.
pub(super) struct Credentials {
    pub(super) inner: Arc<dyn CredentialRepo>,
    pub(super) cache: Arc<RowCache>,
    pub(super) flights: Flights,
    pub(super) observer: Arc<dyn QueryObserver>,
}

impl Credentials {
    /// Begins a read. Its rows are kept where rows may be served.
    fn begin_read(
        &self,
        client_id: Uuid,
        now: Timestamp,
        outcome: RowCacheOutcome,
    ) -> (AsOf, impl Future<Output = Result<ClientRows>> + Send) {
        self.observer.row_cache(outcome);
        let as_of = self.cache.begin_read(client_id);
        let read = async move {
            let known = self.inner.authenticate(client_id, now).await?;
            if let (Some(known), false) = (&known, outcome == RowCacheOutcome::Off) {
                self.cache.put(client_id, as_of, Arc::clone(known));
            }
            Ok(ClientRows { known, as_of, from_memory: false })
        };
        (as_of, read)
    }
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
        let live = self.cache.is_live();
        let read = |outcome| self.begin_read(client_id, now, if live { outcome } else { RowCacheOutcome::Off });
        let rows = match freshness {
            Freshness::Cached => match live.then(|| self.cache.get(client_id)).flatten() {
                Some(rows) => {
                    self.observer.row_cache(RowCacheOutcome::Hit);
                    rows
                }
                None => read(RowCacheOutcome::Miss).1.await?,
            },
            Freshness::After(served) => match live.then(|| self.cache.get_after(client_id, served)).flatten() {
                Some(rows) => rows,
                None => self.flights.join(client_id, served, || read(RowCacheOutcome::Anew)).await?,
            },
            Freshness::Latest => read(RowCacheOutcome::Miss).1.await?,
        };
        Ok(ClientRows { known: rows.known.map(|known| known.unexpired(now.into())), ..rows })
    }

    fn is_current(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.cache.is_live() && !self.cache.is_changed(client_id, as_of)
    }

    fn is_changed(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.cache.is_changed(client_id, as_of)
    }
}
