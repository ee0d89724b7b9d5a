//! `POST /token`: the client credentials grant (RFC 6749 §4.4).
//!
//! Checks come in this order: the form's shape, the grant type, that client authentication is there at all; the rate
//! limit; the client's secret; the agent's status; the scope and the resources; the monthly limit.
//!
//! The last check is a second look at the rows, when the token is on record and its answer is ready
//! to be sent. It refuses a login that a revocation, a rotation or a suspension has overtaken
//! ([`still_counts`](agentidp_secrets::lifecycle::Lifecycle::still_counts)). Nothing waits between that look and the
//! answer.

use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::Client;
use crate::domain::{AuditAction, AuditEvent, Metadata, Outcome, Scopes, ids};
use crate::error::ApiResult;
use crate::http::{Form, OAuthError, Request, Response, body, respond};
use crate::tokens::Grant;

/// How long a token lives (documented).
const TTL: Duration = Duration::from_secs(3600);

/// Most resources of one token, and the longest of them in bytes. A token has to fit into a request's head.
pub(super) const MAX_RESOURCES: usize = 8;
pub(super) const MAX_RESOURCE: usize = 512;

/// Issues a token to a client that proves itself.
pub(super) async fn issue(request: &mut Request) -> ApiResult<Response> {
    let outcome = attempt(request).await;
    request.app.metrics.token_issued(if outcome.is_ok() { Outcome::Success } else { Outcome::Failure });
    outcome
}

async fn attempt(request: &mut Request) -> ApiResult<Response> {
    let body = request.form().await?;
    let form = Form::parse(&body);
    body::wipe(body);
    let form = form.map_err(|_| OAuthError::InvalidRequest("the form is malformed or repeats a parameter"))?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(OAuthError::UnsupportedGrantType.into()),
        None => return Err(OAuthError::InvalidRequest("grant_type is missing").into()),
    }
    let client = Client::authenticate(request, &form).await?;
    let scope = match form.get("scope") {
        Some(list) => Scopes::parse(list).ok_or(OAuthError::InvalidScope)?,
        None => Scopes::ALL,
    };
    let resources = resources(&form).ok_or(OAuthError::InvalidTarget)?;
    grant(request, client, scope, resources).await
}

/// The resources that the token is to be for, each once (RFC 8707 §2). `None`: one of them is none, or there are too many.
fn resources(form: &Form) -> Option<Vec<String>> {
    let mut resources = Vec::new();
    if form.get_all("resource").count() > MAX_RESOURCES {
        return None;
    }
    for resource in form.get_all("resource") {
        if !is_resource(resource) {
            return None;
        }
        if resources.iter().all(|known| known != resource) {
            resources.push(resource.to_owned());
        }
    }
    Some(resources)
}

/// Whether the text is an absolute URI without a fragment. It is compared as text by whoever reads the token, so it is kept
/// as it is written, and what a URI may not hold is refused.
fn is_resource(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    text.len() <= MAX_RESOURCE && text.bytes().all(plain) && Url::parse(text).is_ok_and(|url| url.fragment().is_none())
}

/// Signs a token and records it; it goes out only when it is on record, within the monthly limit,
/// and its proof still counts. What is on record and did not go out is named by an `auth.failed`
/// event, or by the log where the rows could not be read.
async fn grant(request: &Request, client: Client, scope: Scopes, resources: Vec<String>) -> ApiResult<Response> {
    let (app, proof) = (&request.app, &client.proof);
    let ((client_id, credential_id), stale) = (ids(proof.key()), proof.verified().stale);
    let epoch = proof.epoch();
    let issued =
        app.tokens.issue(Grant { agent_id: client_id, credential_id, epoch, scope, resources, ttl: TTL }).await?;
    let token_id = issued.claims.jti;
    let about = Metadata::of(&Issued { credential_id, scope, stale, token_id });
    let success = event(request, Outcome::Success, client_id, about);
    let body = Granted { access_token: &issued.token, token_type: "Bearer", expires_in: TTL.as_secs(), scope };
    let response = respond::json(StatusCode::OK, &body);
    let limit = app.settings.monthly_token_limit;
    if !app.repos.tokens.issued(client_id, limit, &success).await? {
        let about = json!({ "error": "unauthorized_client", "limit": limit });
        app.repos.audit.append(&event(request, Outcome::Failure, client_id, about)).await?;
        return Err(OAuthError::UnauthorizedClient("the monthly token limit is reached").into());
    }
    // Last of all: a wait below this line would be time for a revocation to overtake the token.
    client.confirm(request, token_id).await?;
    Ok(response)
}

/// What the trail tells of a token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    credential_id: Uuid,
    scope: Scopes,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    token_id: Uuid,
}

/// The documented answer (RFC 6749 §5.1). No `Debug`: it holds a token.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenAnswer)]
pub(super) struct Granted<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    scope: Scopes,
}

fn event(request: &Request, outcome: Outcome, client_id: Uuid, metadata: impl Into<Metadata>) -> AuditEvent {
    let (action, now) = (AuditAction::TokenIssued, request.app.now());
    AuditEvent::new(action, outcome, Some(client_id), &request.origin, metadata, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_an_absolute_uri_without_a_fragment() {
        let longest = format!("https://api.example/{}", "a".repeat(MAX_RESOURCE - 20));
        for fine in ["https://api.example/", "https://api.example/mcp?a=b", "urn:example:api", "app://x", &longest] {
            assert!(is_resource(fine), "{fine}");
        }
        let fragment = ["https://api.example/#", "https://api.example/#a"];
        let relative = ["", "api", "/api", "//api.example", "?a", "https://", "https://[::1", "1:a"];
        let written =
            ["https://api.example/ä", " https://api.example", "https://a b", "https://a\tb", "https://a/\"", "a:\\b"];
        for refused in fragment.iter().chain(&relative).chain(&written).copied().chain([&*format!("{longest}a")]) {
            assert!(!is_resource(refused), "{refused}");
        }
    }
}
