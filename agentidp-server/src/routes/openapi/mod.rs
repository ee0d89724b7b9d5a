//! `GET /openapi.json`: the API as a document (OpenAPI 3.1). Its schemas are made from the types that the routes use; its paths
//! are a table, which a test holds against the router.

mod operation;
mod operations;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use self::operations::operations;
use super::credentials::{CredentialView, ShownView};
use super::health::Health;
use super::introspection::Introspection;
use super::ready::Ready;
use super::token::Granted;
use super::validate::{
    AgentPatch, Capabilities, Capability, Email, Name, NewAgent, NewCredential, RotationOptions, SemanticVersion,
};
use super::wellknown::ServerMetadata;
use crate::domain::{Agent, AgentStatus, AgentType, AuditAction, AuditEvent, CredentialStatus, Outcome, Timestamp};
use crate::http::respond::{Error, ErrorInBothForms, ErrorOfOAuth};

/// The document.
#[must_use]
pub fn openapi() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());
    &DOCUMENT
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in operations() {
        paths.entry(operation.path).or_insert_with(|| json!({}))[operation.method] = operation.to_value();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "AgentIdP",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "An identity provider for AI agents.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "basic": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

/// The schemas that operations name, and those that these name.
fn schemas() -> Map<String, Value> {
    let mut all = Vec::new();
    macro_rules! add {
        ($($type:ty),+ $(,)?) => {$(
            all.push((<$type>::name().into_owned(), <$type>::schema()));
            <$type>::schemas(&mut all);
        )+};
    }
    add!(
        Agent,
        AgentPatch,
        AgentStatus,
        AgentType,
        AuditAction,
        AuditEvent,
        Capabilities,
        Capability,
        CredentialStatus,
        CredentialView,
        Email,
        Error,
        ErrorInBothForms,
        ErrorOfOAuth,
        Granted<'_>,
        Health,
        Introspection,
        Name,
        NewAgent,
        NewCredential,
        Outcome,
        Ready,
        RotationOptions,
        SemanticVersion,
        ServerMetadata<'_>,
        ShownView<'_>,
        Timestamp,
    );
    let mut all: Map<_, _> =
        all.into_iter().filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?))).collect();
    restrict_patch(&mut all["AgentPatch"]);
    all
}

/// What no attribute of the type can say: a change names one of these at least, and none of those.
fn restrict_patch(patch: &mut Value) {
    patch["anyOf"] = AgentPatch::CHANGEABLE.iter().map(|name| json!({ "required": [name] })).collect();
    for fixed in AgentPatch::FIXED {
        patch["properties"][fixed] = json!(false);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routes::resource::{PATHS, Resource};

    #[test]
    fn each_route_of_the_router_is_in_the_document_and_no_other() {
        let document: Value = serde_json::from_str(openapi()).unwrap();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let routed: BTreeSet<(String, String)> = PATHS
            .iter()
            .map(|path| Resource::at(path))
            .flat_map(|resource| {
                resource.methods().split(", ").map(move |method| (resource.pattern().to_owned(), method.to_owned()))
            })
            .filter(|(_, method)| method != "HEAD" && method != "OPTIONS")
            .collect();
        assert_eq!(documented, routed);
    }

    #[test]
    fn each_reference_leads_to_a_schema() {
        let document: Value = serde_json::from_str(openapi()).unwrap();
        let text = openapi();
        let names = text.split("\"$ref\":\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        for name in names {
            let schema = document.pointer(name.trim_start_matches('#'));
            assert!(schema.is_some_and(Value::is_object), "{name}");
        }
        let secret = &document["components"]["schemas"]["CredentialWithSecret"];
        assert!(secret.to_string().contains("clientSecret"), "{secret}");
    }
}
