//! The contract of the audit trail.

use async_trait::async_trait;
use uuid::Uuid;

use super::Result;
use crate::domain::{AuditAction, AuditEvent, Outcome, Page, Paged, Timestamp};

/// The audit trail. Append-only: rows leave by age and in no other way.
#[async_trait]
pub trait AuditRepo: Send + Sync + 'static {
    /// Appends an event that records no change of another table. One that is there already stays as it is, so that this
    /// may be done again when nobody knows whether it was.
    async fn append(&self, event: &AuditEvent) -> Result<()>;

    /// As [`append`](Self::append), all or none of at most 1000 events: one statement and one commit.
    async fn append_all(&self, events: &[AuditEvent]) -> Result<()>;

    /// Waits as long as [`append`](Self::append) does, for a durable write that records nothing and takes no room: of what is
    /// not recorded, time must not tell.
    async fn pretend(&self) -> Result<()>;

    /// One event that is not older than `not_before`.
    async fn find(&self, event_id: Uuid, not_before: Timestamp) -> Result<Option<AuditEvent>>;

    /// A page of events, newest first. A page behind an event costs what the first one does, wherever that event is.
    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditEvent>>;

    /// Drops events older than `before`, and says how many.
    async fn prune(&self, before: Timestamp) -> Result<u64>;
}

/// Which events a list has.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the documented query")]
pub struct AuditFilter {
    /// Of this agent.
    pub agent_id: Option<Uuid>,
    /// About this credential.
    pub credential_id: Option<Uuid>,
    /// Caused by this agent or operator.
    pub actor: Option<String>,
    /// Of this kind.
    pub action: Option<AuditAction>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
}
