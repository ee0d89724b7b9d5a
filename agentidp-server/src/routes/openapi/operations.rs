//! The operations of the API.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::{Agent, AgentStatus, AgentType, AuditAction, AuditEvent, CredentialStatus, Outcome, Paged};
use crate::http::respond::{Error, ErrorInBothForms, ErrorOfOAuth};
use crate::routes::credentials::{CredentialView, ShownView};
use crate::routes::health::Health;
use crate::routes::introspection::Introspection;
use crate::routes::ready::Ready;
use crate::routes::token::Granted;
use crate::routes::validate::{AgentPatch, CredentialOptions, NewAgent};
use crate::routes::wellknown::ServerMetadata;

/// How the caller of an operation authenticates.
#[derive(Clone, Copy)]
enum Caller {
    Anybody,
    /// A bearer token with this scope.
    Bearer(&'static str),
    /// A client by its secret.
    Client,
    /// Either of them.
    Both,
}

/// One operation of the API.
pub(super) struct Operation {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    id: &'static str,
    summary: &'static str,
    caller: Caller,
    /// Parameters of the query: name and schema.
    query: Vec<(&'static str, Value)>,
    /// Media type and schema of the body, and whether it has to be there.
    body: Option<(&'static str, Value, bool)>,
    success: u16,
    /// The schema of its JSON body, where it has one.
    answer: Option<Value>,
    /// Failures beside those that every operation of its kind has.
    failures: &'static [u16],
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Every operation.
pub(super) fn operations() -> Vec<Operation> {
    agents().into_iter().chain(credentials()).chain(tokens()).chain(audit()).chain(open()).collect()
}

fn agents() -> [Operation; 5] {
    let (all, one) = ("/api/v1/agents", "/api/v1/agents/{agentId}");
    let (read, write) = (Caller::Bearer("agents:read"), Caller::Bearer("agents:write"));
    let filters = vec![
        ("owner", json!({ "type": "string", "minLength": 1, "maxLength": 128 })),
        ("agentType", of::<AgentType>()),
        ("status", of::<AgentStatus>()),
    ];
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
            .json::<CredentialOptions>(false)
            .gives::<ShownView<'_>>(201)
            .fails(&[404, 409, 422]),
        op(all, "get", "listCredentials", "List an agent's credentials, newest first", read)
            .page(100, vec![("status", of::<CredentialStatus>())])
            .gives_page::<CredentialView>()
            .fails(&[404]),
        op(one, "delete", "revokeCredential", "Revoke a credential", write).fails(&[404, 409]),
        op(previous, "delete", "endPreviousSecret", "End the secret before, which works until its time", write)
            .fails(&[404, 409]),
        op(rotation, "post", "rotateCredential", "Give a credential a new secret. It is shown once", write)
            .json::<CredentialOptions>(false)
            .gives::<ShownView<'_>>(200)
            .fails(&[404, 409, 422]),
    ]
}

fn tokens() -> [Operation; 3] {
    let resource = json!({ "type": "array", "maxItems": 8, "items": { "type": "string", "maxLength": 512 } });
    let grant = json!({
        "grant_type": { "const": "client_credentials" }, "client_id": text(), "client_secret": text(), "scope": text(),
        "resource": resource,
    });
    let about = json!({ "token": text(), "token_type_hint": text(), "client_id": text(), "client_secret": text() });
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
        ("fromDate", text()),
        ("credentialId", text()),
        ("actor", text()),
        ("toDate", text()),
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
        Operation { success: 200, ..get("/metrics", "metrics", "Metrics in the text format of Prometheus") },
        get("/.well-known/jwks.json", "keys", "The keys that tokens are signed with (RFC 7517)").gives_json(keys),
        get("/.well-known/oauth-authorization-server", "metadata", metadata)
            .gives::<ServerMetadata<'_>>(200)
            .fails(&[404]),
        get("/openapi.json", "openapi", "This document").gives_json(json!({ "type": "object" })),
    ]
}

/// An operation that gives 204.
fn op(path: &'static str, method: &'static str, id: &'static str, summary: &'static str, caller: Caller) -> Operation {
    let (query, body, success, answer, failures) = (Vec::new(), None, 204, None, &[][..]);
    Operation { path, method, id, summary, caller, query, body, success, answer, failures }
}

impl Operation {
    fn json<T: ToSchema>(self, required: bool) -> Self {
        Self { body: Some((JSON, of::<T>(), required)), ..self }
    }

    fn form(self, properties: &Value, required: &str) -> Self {
        let schema = json!({ "type": "object", "properties": properties, "required": [required] });
        Self { body: Some((FORM, schema, true)), ..self }
    }

    fn gives<T: ToSchema>(self, success: u16) -> Self {
        Self { success, answer: Some(of::<T>()), ..self }
    }

    /// A page has no name of its own: each kind would have the same.
    fn gives_page<T: ToSchema>(self) -> Self {
        Self { success: 200, answer: Some(json!(Paged::<T>::schema())), ..self }
    }

    fn gives_json(self, schema: Value) -> Self {
        Self { success: 200, answer: Some(schema), ..self }
    }

    fn fails(self, failures: &'static [u16]) -> Self {
        Self { failures, ..self }
    }

    fn page(self, max: u32, mut filters: Vec<(&'static str, Value)>) -> Self {
        filters.push(("page", json!({ "type": "integer", "minimum": 1 })));
        filters.push(("limit", json!({ "type": "integer", "minimum": 1, "maximum": max })));
        Self { query: filters, ..self }
    }

    /// The operation in the form of the document.
    pub(super) fn to_value(&self) -> Value {
        let in_path = self.path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } })
        });
        let in_query = self.query.iter().map(|(name, schema)| json!({ "name": name, "in": "query", "schema": schema }));
        let mut parameters: Vec<_> = in_path.chain(in_query).collect();
        if self.failures.contains(&422) {
            let key = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
            parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "schema": key }));
        }
        let mut operation = json!({
            "operationId": self.id, "summary": self.summary, "parameters": parameters, "responses": self.responses(),
            "security": self.security(),
        });
        if let Some((media_type, schema, required)) = &self.body {
            operation["requestBody"] =
                json!({ "required": required, "content": { (*media_type): { "schema": schema } } });
        }
        operation
    }

    fn responses(&self) -> Map<String, Value> {
        let mut statuses = vec![400, 500, 503];
        match self.caller {
            Caller::Anybody => {}
            Caller::Bearer(_) | Caller::Client | Caller::Both => statuses.extend([401, 403, 429]),
        }
        if self.body.is_some() {
            statuses.extend([408, 413, 415]);
        }
        statuses.extend(self.failures);
        let error = match self.caller {
            Caller::Client => json!({ "anyOf": [of::<ErrorOfOAuth>(), of::<ErrorInBothForms>()] }),
            Caller::Both => of::<ErrorInBothForms>(),
            _ => of::<Error>(),
        };
        let failure = |status: u16| match (self.path, status, &self.answer) {
            // These two answer in one form, however things are.
            ("/health" | "/ready", 503, Some(schema)) => json!({ "anyOf": [schema, error] }),
            _ => error.clone(),
        };
        let answer = |status: u16, schema: Option<Value>| {
            let description = hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            let mut answer = json!({ "description": description });
            match schema {
                Some(schema) => answer["content"] = json!({ JSON: { "schema": schema } }),
                None if status == 200 => answer["content"] = json!({ "text/plain": { "schema": text() } }),
                None => {}
            }
            (status.to_string(), answer)
        };
        let failures = statuses.into_iter().map(|status| answer(status, Some(failure(status))));
        failures.chain([answer(self.success, self.answer.clone())]).collect()
    }

    fn security(&self) -> Value {
        let client = [json!({ "basic": [] }), json!({})];
        match self.caller {
            Caller::Anybody => json!([]),
            Caller::Bearer(scope) => json!([{ "bearer": [scope] }]),
            // The empty one: the credentials are in the form.
            Caller::Client => json!(client),
            Caller::Both => json!([{ "bearer": ["tokens:read"] }, client[0], client[1]]),
        }
    }
}

/// A reference to the schema of a type.
fn of<T: ToSchema>() -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

fn text() -> Value {
    json!({ "type": "string" })
}
