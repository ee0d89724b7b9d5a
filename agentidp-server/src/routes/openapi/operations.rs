//! The operations of the API.

use serde_json::{Value, json};

use super::operation::{Caller, Operation, of, op, text};
use crate::domain::{Agent, AgentStatus, AgentType, AuditAction, AuditEvent, CredentialStatus, Outcome, Scope};
use crate::routes::credentials::{CredentialView, ShownView};
use crate::routes::health::Health;
use crate::routes::introspection::Introspection;
use crate::routes::ready::Ready;
use crate::routes::token::{Granted, MAX_RESOURCE, MAX_RESOURCES};
use crate::routes::validate::{AgentPatch, Name, NewAgent, NewCredential, RotationOptions};
use crate::routes::wellknown::ServerMetadata;

/// Every operation.
pub(super) fn operations() -> Vec<Operation> {
    agents().into_iter().chain(credentials()).chain(tokens()).chain(audit()).chain(open()).collect()
}

fn agents() -> [Operation; 5] {
    let (all, one) = ("/api/v1/agents", "/api/v1/agents/{agentId}");
    let (read, write) = (Caller::Bearer("agents:read"), Caller::Bearer("agents:write"));
    let filters = vec![("owner", of::<Name>()), ("agentType", of::<AgentType>()), ("status", of::<AgentStatus>())];
    [
        op(all, "post", "registerAgent", "Register an agent", write)
            .json::<NewAgent>(true)
            .gives::<Agent>(201)
            .fails(&[409]),
        op(all, "get", "listAgents", "List agents, newest first", read).page(100, filters).gives_page::<Agent>(),
        op(one, "get", "readAgent", "Read an agent", read).gives::<Agent>(200).fails(&[404]),
        op(one, "patch", "changeAgent", "Change an agent", write)
            .json::<AgentPatch>(true)
            .gives::<Agent>(200)
            .fails(&[404, 409]),
        op(one, "delete", "decommissionAgent", "End an agent for good", write).fails(&[404, 409]),
    ]
}

fn credentials() -> [Operation; 5] {
    let all = "/api/v1/agents/{agentId}/credentials";
    let one = "/api/v1/agents/{agentId}/credentials/{credentialId}";
    let previous = "/api/v1/agents/{agentId}/credentials/{credentialId}/previous";
    let rotation = "/api/v1/agents/{agentId}/credentials/{credentialId}/rotate";
    let (read, write) = (Caller::Bearer("agents:read"), Caller::Bearer("agents:write"));
    [
        op(all, "post", "createCredential", "Generate a credential. Its secret is shown once", write)
            .json::<NewCredential>(false)
            .gives::<ShownView<'_>>(201)
            .fails(&[404, 409, 422]),
        op(all, "get", "listCredentials", "List an agent's credentials, newest first", read)
            .page(100, vec![("status", of::<CredentialStatus>())])
            .gives_page::<CredentialView>()
            .fails(&[404]),
        op(one, "delete", "revokeCredential", "Revoke a credential", write).fails(&[404, 409]),
        op(previous, "delete", "endPreviousSecret", "End the secret before, which works until its time", write)
            .query("force", json!({ "type": "boolean" }))
            .fails(&[404, 409]),
        op(rotation, "post", "rotateCredential", "Give a credential a new secret. It is shown once", write)
            .json::<RotationOptions>(false)
            .gives::<ShownView<'_>>(200)
            .fails(&[404, 409, 422]),
    ]
}

fn tokens() -> [Operation; 3] {
    let scope = Scope::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join("|");
    // An absolute URI without a fragment; here, too, empty counts as left out.
    let uri = r"^([A-Za-z][A-Za-z0-9+.-]*:[!$-;=?-\[\]_a-z~]*)?$";
    let resource = json!({ "type": "string", "maxLength": MAX_RESOURCE, "pattern": uri });
    let grant = json!({
        "grant_type": { "const": "client_credentials" }, "client_id": text(), "client_secret": text(),
        // Empty counts as left out.
        "scope": { "type": "string", "pattern": format!("^(({scope})( ({scope}))*)?$") },
        // Those without a value are not counted, which `maxItems` cannot say.
        "resource": { "type": "array", "items": resource, "description": format!("At most {MAX_RESOURCES}.") },
    });
    // One without a value counts as left out.
    let token = json!({ "type": "string", "minLength": 1 });
    let about = json!({ "token": token, "token_type_hint": text(), "client_id": text(), "client_secret": text() });
    [
        op("/api/v1/token", "post", "issueToken", "Issue an access token (RFC 6749 §4.4)", Caller::Client)
            .form(&grant, "grant_type")
            .gives::<Granted<'_>>(200),
        op("/api/v1/token/introspect", "post", "introspectToken", "Ask about a token (RFC 7662)", Caller::Both)
            .form(&about, "token")
            .gives::<Introspection>(200),
        op("/api/v1/token/revoke", "post", "revokeToken", "Revoke a token (RFC 7009)", Caller::Both)
            .form(&about, "token")
            .gives_json(json!({ "type": "object" })),
    ]
}

fn audit() -> [Operation; 2] {
    let read = Caller::Bearer("audit:read");
    let filters = vec![
        ("agentId", json!({ "type": "string", "format": "uuid" })),
        ("action", of::<AuditAction>()),
        ("outcome", of::<Outcome>()),
        ("fromDate", date()),
        ("toDate", date()),
        ("credentialId", json!({ "type": "string", "format": "uuid" })),
        ("actor", of::<Name>()),
    ];
    [
        op("/api/v1/audit", "get", "listAuditEvents", "List audit events, newest first", read)
            .page(200, filters)
            .gives_page::<AuditEvent>(),
        op("/api/v1/audit/{eventId}", "get", "readAuditEvent", "Read an audit event", read)
            .gives::<AuditEvent>(200)
            .fails(&[404]),
    ]
}

fn open() -> [Operation; 6] {
    let keys = json!({ "type": "object", "required": ["keys"], "properties": { "keys": { "type": "array" } } });
    let metadata = "The endpoints (RFC 8414), also with the issuer's path behind the name";
    let get = |path, id, summary| op(path, "get", id, summary, Caller::Anybody);
    [
        get("/health", "health", "How the server and what it depends on are").gives::<Health>(200),
        get("/ready", "ready", "Whether requests should be sent to this server").gives::<Ready>(200),
        get("/metrics", "metrics", "Metrics in the text format of Prometheus").gives_text(),
        get("/.well-known/jwks.json", "keys", "The keys that tokens are signed with (RFC 7517)").gives_json(keys),
        get("/.well-known/oauth-authorization-server", "metadata", metadata)
            .gives::<ServerMetadata<'_>>(200)
            .fails(&[404]),
        get("/openapi.json", "openapi", "This document").gives_json(json!({ "type": "object" })),
    ]
}

/// A day, or a point in time.
fn date() -> Value {
    json!({ "type": "string", "anyOf": [{ "format": "date" }, { "format": "date-time" }] })
}
