//! Holds every answer that a test gets against the API document.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use agentidp_server::routes::openapi;
use hyper::Method;
use jsonschema::Validator;
use serde_json::{Value, json};

use super::site::{Reply, Site};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(openapi()).unwrap());

/// Headers that say how to go on.
const LEADING: [&str; 4] = ["Link", "Location", "Retry-After", "WWW-Authenticate"];

/// Panics where the document does not know the answer: its status, a header that leads on, or the form of its body.
pub(crate) fn hold(method: &Method, path: &str, reply: &Reply) {
    let method = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    // What is no operation is answered by the router itself.
    let Some(operation) = find(path).and_then(|(_, operations)| operations.get(&method)) else { return };
    let answer = &operation["responses"][reply.status.to_string()];
    assert!(answer.is_object(), "{method} {path} is not documented to answer {}: {}", reply.status, reply.text);
    for name in LEADING.iter().filter(|name| reply.headers.contains_key(**name)) {
        assert!(answer["headers"][name].is_object(), "{method} {path} {}: {name} is not documented", reply.status);
    }
    let schema = &answer["content"]["application/json"]["schema"];
    if schema.is_object() && !reply.text.is_empty() {
        let problem =
            with_validator(schema, |validator| validator.validate(&reply.json()).err().map(|e| e.to_string()));
        assert_eq!(problem, None, "{method} {path} {}: {}", reply.status, reply.text);
    }
}

/// The operations at a path.
fn find(path: &str) -> Option<(&'static String, &'static Value)> {
    let is_at = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(part, given)| part.starts_with('{') || *part == given)
    };
    DOCUMENT["paths"].as_object().unwrap().iter().find(|(pattern, _)| is_at(pattern))
}

fn with_validator<T>(schema: &Value, ask: impl FnOnce(&Validator) -> T) -> T {
    static KNOWN: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    ask(known.entry(schema.to_string()).or_insert_with(|| {
        let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
        jsonschema::validator_for(&whole).unwrap()
    }))
}

#[tokio::test]
async fn the_document_is_served_and_is_openapi_3_1() {
    let site = Site::bcrypt().await;
    let document = site.bare("GET", "/openapi.json", &[]).await;
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    assert_eq!((&document.json()["openapi"], document.json()), (&json!("3.1.0"), DOCUMENT.clone()));
}

#[test]
#[should_panic(expected = "is not documented to answer 418")]
fn an_answer_that_is_not_documented_is_noticed() {
    hold(&Method::GET, "/api/v1/agents", &a_reply(418, "{}"));
}

#[test]
#[should_panic(expected = "is a required property")]
fn an_answer_of_another_form_is_noticed() {
    hold(&Method::GET, "/api/v1/agents", &a_reply(200, r#"{"data":[],"total":0,"page":1}"#));
}

fn a_reply(status: u16, text: &str) -> Reply {
    Reply { status, headers: Default::default(), text: text.to_owned() }
}
