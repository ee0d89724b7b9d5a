//! One operation of the API, as the document writes it.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::Paged;
use crate::http::respond::{Error, ErrorInBothForms, ErrorOfOAuth};

/// How the caller of an operation authenticates.
#[derive(Clone, Copy)]
pub(super) enum Caller {
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

/// Of a row in its list: its time, an underscore and its id.
const PLACE: &str = "^20[0-9]{2}-0[1-9]-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z_\
                     [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

/// An operation that gives 204.
pub(super) fn op(
    path: &'static str,
    method: &'static str,
    id: &'static str,
    summary: &'static str,
    caller: Caller,
) -> Operation {
    let (query, body, success, answer, failures) = (Vec::new(), None, 204, None, &[][..]);
    Operation { path, method, id, summary, caller, query, body, success, answer, failures }
}

impl Operation {
    pub(super) fn json<T: ToSchema>(self, required: bool) -> Self {
        Self { body: Some((JSON, of::<T>(), required)), ..self }
    }

    pub(super) fn form(self, properties: &Value, required: &str) -> Self {
        // Unknown parameters are ignored. None but `resource` may be repeated.
        let schema = json!({
            "type": "object", "properties": properties, "required": [required], "additionalProperties": text(),
        });
        Self { body: Some((FORM, schema, true)), ..self }
    }

    pub(super) fn gives<T: ToSchema>(self, success: u16) -> Self {
        Self { success, answer: Some(of::<T>()), ..self }
    }

    /// A page has no name of its own: each kind would have the same.
    pub(super) fn gives_page<T: ToSchema>(self) -> Self {
        Self { success: 200, answer: Some(json!(Paged::<T>::schema())), ..self }
    }

    pub(super) fn gives_json(self, schema: Value) -> Self {
        Self { success: 200, answer: Some(schema), ..self }
    }

    pub(super) fn gives_text(self) -> Self {
        Self { success: 200, ..self }
    }

    pub(super) fn fails(self, failures: &'static [u16]) -> Self {
        Self { failures, ..self }
    }

    pub(super) fn query(mut self, name: &'static str, schema: Value) -> Self {
        self.query.push((name, schema));
        self
    }

    pub(super) fn page(self, max: u32, mut filters: Vec<(&'static str, Value)>) -> Self {
        filters.push(("before", json!({ "type": "string", "pattern": PLACE })));
        filters.push(("page", json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX })));
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
            let mut answer = json!({ "description": description, "headers": self.headers(status) });
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

    /// The headers that clients act on. None is on every answer.
    fn headers(&self, status: u16) -> Map<String, Value> {
        let number = json!({ "type": "integer", "minimum": 0 });
        let mut headers = Vec::new();
        if status == 401 {
            headers.push(("WWW-Authenticate", "How to authenticate", text()));
        }
        if status == 403 && matches!(self.caller, Caller::Bearer(_) | Caller::Both) {
            headers.push(("WWW-Authenticate", "The scope that the token lacks, where it lacks one", text()));
        }
        if (self.id, status) == ("registerAgent", 201) {
            let reference = json!({ "type": "string", "format": "uri-reference" });
            headers.push(("Location", "The agent, relative to the request (RFC 9110 §10.2.2)", reference));
        }
        if matches!(status, 409 | 429 | 500 | 503) {
            headers.push(("Retry-After", "Seconds to wait for, where a retry can help", number.clone()));
        }
        if status == self.success && self.failures.contains(&422) {
            headers.push((
                "Idempotent-Replayed",
                "The request had been carried out before",
                json!({ "const": "true" }),
            ));
        }
        if status == self.success && self.query.iter().any(|(name, _)| *name == "before") {
            headers.push((
                "Link",
                "The page behind this one, where there may be one (RFC 8288), relative to the request",
                text(),
            ));
        }
        if !matches!(self.caller, Caller::Anybody) {
            headers.extend([
                ("X-RateLimit-Limit", "Requests a minute", number.clone()),
                ("X-RateLimit-Remaining", "Requests that are left", number.clone()),
                ("X-RateLimit-Reset", "When all of them are, in seconds since 1970", number),
            ]);
        }
        let named =
            |(name, what, schema): (&str, _, _)| (name.to_owned(), json!({ "description": what, "schema": schema }));
        headers.into_iter().map(named).collect()
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
pub(super) fn of<T: ToSchema>() -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}
