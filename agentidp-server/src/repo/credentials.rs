//! Credentials.

use std::sync::Arc;

use agentidp_secrets::lifecycle::{AsOf, ClientRows, Freshness, Known};
use async_trait::async_trait;
use uuid::Uuid;

use super::Result;
use crate::domain::{Credential, CredentialStatus, Page, Paged, Timestamp};

/// Credentials.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait CredentialRepo: Send + Sync + 'static {
    /// One credential of a client; `None` also for another client's.
    async fn find(&self, client_id: Uuid, credential_id: Uuid) -> Result<Option<Credential>>;

    /// A page of a client's credentials, newest first.
    async fn list(&self, client_id: Uuid, status: Option<CredentialStatus>, page: Page) -> Result<Paged<Credential>>;

    /// A client with its active credentials that have not expired at `now`, newest first, as the
    /// database has them: one joined select.
    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Known>>>;

    /// The same rows as [`authenticate`](Self::authenticate), from memory where `freshness` and the
    /// repository let them be.
    async fn rows(&self, client_id: Uuid, now: Timestamp, _freshness: Freshness) -> Result<ClientRows> {
        let known = self.authenticate(client_id, now).await?;
        Ok(ClientRows { known, as_of: AsOf::default(), from_memory: false })
    }

    /// Whether the rows of `as_of` are what memory would serve now: changes are heard of, and none
    /// is known of since then. Asks the database nothing. Expiry is the caller's to judge.
    fn is_current(&self, _client_id: Uuid, _as_of: AsOf) -> bool {
        false
    }

    /// Whether this process has made a change to the client since `as_of`, or has heard of one.
    /// Asks the database nothing.
    fn is_changed(&self, _client_id: Uuid, _as_of: AsOf) -> bool {
        false
    }
}
