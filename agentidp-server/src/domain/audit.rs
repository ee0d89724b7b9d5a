//! The trail of what happened. Events are written in the transaction of the change that they record.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Timestamp;
use super::named::named_enum;

named_enum! {
    /// What happened.
    AuditAction {
        /// An agent was registered.
        AgentCreated = "agent.created",
        /// An agent was changed.
        AgentUpdated = "agent.updated",
        /// An agent may no longer authenticate, for now.
        AgentSuspended = "agent.suspended",
        /// A suspended agent may authenticate again.
        AgentReactivated = "agent.reactivated",
        /// An agent has ended for good.
        AgentDecommissioned = "agent.decommissioned",
        /// A credential was created.
        CredentialGenerated = "credential.generated",
        /// A credential got a new secret.
        CredentialRotated = "credential.rotated",
        /// A credential has ended.
        CredentialRevoked = "credential.revoked",
        /// A token was issued.
        TokenIssued = "token.issued",
        /// A token was asked about.
        TokenIntrospected = "token.introspected",
        /// A token was revoked.
        TokenRevoked = "token.revoked",
        /// A client failed to authenticate.
        AuthFailed = "auth.failed",
    }
}

named_enum! {
    /// How it ended.
    Outcome {
        /// It was done.
        Success = "success",
        /// It was refused or failed.
        Failure = "failure",
    }
}

/// Where a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two documented members")]
pub struct Origin {
    /// The peer's address, or the forwarded one where a trusted proxy forwarded it.
    pub ip_address: IpAddr,
    /// The `User-Agent` header, cut to 512 characters; empty when there was none.
    pub user_agent: String,
}

/// One event, in the documented JSON form. `metadata` never holds a secret, a hash or a Vault path.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "the documented resource")]
pub struct AuditEvent {
    /// Its id.
    pub event_id: Uuid,
    /// The agent that it is about, or that was claimed; none when unknown.
    pub agent_id: Option<Uuid>,
    /// What happened.
    pub action: AuditAction,
    /// How it ended.
    pub outcome: Outcome,
    /// Where the request came from.
    pub ip_address: String,
    /// What the client called itself.
    pub user_agent: String,
    /// More about it, a JSON object.
    pub metadata: Value,
    /// When.
    pub timestamp: Timestamp,
}

impl AuditEvent {
    /// How long events are kept: documented.
    pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

    /// A new event with a fresh id.
    #[must_use]
    pub fn new(
        action: AuditAction,
        outcome: Outcome,
        agent_id: Option<Uuid>,
        origin: &Origin,
        metadata: Value,
        timestamp: Timestamp,
    ) -> Self {
        Self {
            event_id: Uuid::new_v4(),
            agent_id,
            action,
            outcome,
            ip_address: origin.ip_address.to_string(),
            user_agent: origin.user_agent.clone(),
            metadata,
            timestamp,
        }
    }
}
