//! Who asks.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::{AuditAction, AuditEvent, Origin, Outcome, Timestamp};

/// Who asks and from where, for the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    /// The agent whose token it was; none for the operator.
    pub(crate) agent_id: Option<Uuid>,
    /// Where the request came from.
    pub(crate) origin: Origin,
}

impl Actor {
    /// A successful `action` on an agent. The event belongs to the agent that it is about, so that an agent's trail is
    /// complete whoever acted; `metadata` says who did.
    pub(crate) fn event(
        &self,
        action: AuditAction,
        about: impl Into<Option<Uuid>>,
        mut metadata: Value,
        at: Timestamp,
    ) -> AuditEvent {
        metadata["actor"] = match self.agent_id {
            Some(id) => json!(id),
            None => json!("operator"),
        };
        AuditEvent::new(action, Outcome::Success, about.into(), &self.origin, metadata, at)
    }
}
