//! Credentials.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::{AsOf, Authentication, ClientRows, Freshness, Result};
use crate::domain::{AuditEvent, Credential, CredentialStatus, Page, Paged, PurgeJob, Timestamp};

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
    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Authentication>>>;

    /// The same rows as [`authenticate`](Self::authenticate), from memory where `freshness` and the
    /// repository let them be.
    async fn rows(&self, client_id: Uuid, now: Timestamp, _freshness: Freshness) -> Result<ClientRows> {
        Ok(ClientRows::read(self.authenticate(client_id, now).await?))
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

    /// Inserts a credential if its agent is still active. A place in Vault needs the open write of the same attempt: the commit
    /// redeems it, and without it there is no commit.
    async fn insert(&self, credential: &Credential, event: &AuditEvent) -> Result<InsertCredential>;

    /// Replaces the record and the expiry if the row still has `before`'s revision; says whether it did. A version that is new
    /// to the row needs its open write as in `insert`. A place that the credential leaves becomes due to be blanked.
    async fn rotate(&self, before: &Credential, after: &Credential, event: &AuditEvent) -> Result<bool>;

    /// Puts `after`'s record and selector, which are of the same secret, in place of `before`'s, as `rotate` does; says whether
    /// it did. No event: nothing happened to the credential.
    async fn upgrade(&self, before: &Credential, after: &Credential) -> Result<bool>;

    /// Revokes; each place where Vault has something of the credential becomes due to be deleted in the same transaction.
    async fn revoke(&self, client_id: Uuid, credential_id: Uuid, now: Timestamp, event: &AuditEvent) -> Result<Revoke>;
}

/// What became of a new credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each outcome")]
pub enum InsertCredential {
    /// It was inserted.
    Inserted,
    /// The agent is gone or no longer active.
    AgentNotActive,
    /// The open write is gone: whatever was written is being deleted, or was.
    WriteLost,
}

/// What became of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each outcome")]
pub enum Revoke {
    /// It took effect; the jobs, where Vault has something to forget.
    Revoked(Vec<PurgeJob>),
    /// It had been revoked before.
    AlreadyRevoked,
    /// There is no such credential of this client.
    NotFound,
}
