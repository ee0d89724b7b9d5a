//! The trail of what happened. Events are written in the transaction of the change that they record.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;
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

/// More about an event: a JSON object, as its text, which is written once and goes to the database as it is.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = Object)]
pub struct Metadata(Box<str>);

impl Metadata {
    /// What `members` says. Its fields stand in alphabetical order, as they do in metadata that was made of a [`Value`], and
    /// hold nothing that a client wrote: NUL characters are left as they are.
    pub(crate) fn of(members: &impl Serialize) -> Self {
        // Ours have string keys and no failing serializers.
        Self(serde_json::to_string(members).unwrap_or_else(|_| "{}".to_owned()).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// NUL characters, which PostgreSQL cannot hold, become `U+FFFD`.
impl From<Value> for Metadata {
    fn from(value: Value) -> Self {
        Self::of(&if has_nul(&value) { metadata_without_nul(value) } else { value })
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

/// One event, in the documented JSON form. `metadata` never holds a secret, a hash or a Vault path.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "the documented resource")]
pub struct AuditEvent {
    /// Its id.
    pub event_id: Uuid,
    /// The agent that it is about, or that was claimed; none when unknown.
    #[schema(required)]
    pub agent_id: Option<Uuid>,
    /// What happened.
    pub action: AuditAction,
    /// How it ended.
    pub outcome: Outcome,
    /// Where the request came from.
    pub ip_address: String,
    /// What the client called itself.
    pub user_agent: String,
    /// More about it.
    pub metadata: Metadata,
    /// When.
    pub timestamp: Timestamp,
}

impl AuditEvent {
    /// How long events are kept: documented.
    pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

    /// A new event with a fresh id, a UUID of version 7 (RFC 9562): ids that grow with time go to the end of their index,
    /// random ones all over it. NUL characters, which PostgreSQL cannot hold, become `U+FFFD`.
    #[must_use]
    pub fn new(
        action: AuditAction,
        outcome: Outcome,
        agent_id: Option<Uuid>,
        origin: &Origin,
        metadata: impl Into<Metadata>,
        timestamp: Timestamp,
    ) -> Self {
        Self {
            event_id: Uuid::new_v7(timestamp.into()),
            agent_id,
            action,
            outcome,
            ip_address: origin.ip_address.to_string(),
            user_agent: without_nul(origin.user_agent.clone()),
            metadata: metadata.into(),
            timestamp,
        }
    }
}

fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Hardly ever: then nothing is made anew.
fn has_nul(metadata: &Value) -> bool {
    match metadata {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn metadata_without_nul(metadata: Value) -> Value {
    match metadata {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(metadata_without_nul).collect()),
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, value)| (without_nul(name), metadata_without_nul(value))).collect(),
        ),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::json;

    use super::*;

    #[test]
    fn ids_grow_with_time_and_differ_within_a_millisecond() {
        let origin = Origin { ip_address: Ipv4Addr::LOCALHOST.into(), user_agent: String::new() };
        let id = |at: Timestamp| {
            let (action, outcome) = (AuditAction::TokenIssued, Outcome::Success);
            AuditEvent::new(action, outcome, None, &origin, json!({}), at).event_id
        };
        let at = Timestamp::parse("2026-03-28T09:00:00Z").unwrap();
        assert!(id(at) < id(at.plus(Duration::from_millis(1))));
        assert_ne!(id(at), id(at));
    }

    #[test]
    fn nul_characters_do_not_reach_the_database() {
        let origin = Origin { ip_address: Ipv4Addr::LOCALHOST.into(), user_agent: "a\0b".to_owned() };
        let metadata = json!({ "na\0me": ["va\0lue", { "deep": "er\0" }, 1, null] });
        let at = Timestamp::parse("2026-03-28T09:00:00Z").unwrap();
        let event = AuditEvent::new(AuditAction::AuthFailed, Outcome::Failure, None, &origin, metadata, at);
        assert_eq!(event.user_agent, "a\u{fffd}b");
        assert_eq!(
            event.metadata.to_value(),
            json!({ "na\u{fffd}me": ["va\u{fffd}lue", { "deep": "er\u{fffd}" }, 1, null] })
        );
    }
}
