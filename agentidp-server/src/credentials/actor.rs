//! Who asks.

use serde_json::Value;
use uuid::Uuid;

use crate::domain::{AuditAction, AuditEvent, Origin, Outcome, Timestamp};

/// Who asks and from where, for the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    /// Whose token it was: an agent's id, `operator`, or `operator:` and a name.
    pub(crate) subject: String,
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
        metadata["actor"] = self.subject.as_str().into();
        AuditEvent::new(action, Outcome::Success, about.into(), &self.origin, metadata, at)
    }
}
