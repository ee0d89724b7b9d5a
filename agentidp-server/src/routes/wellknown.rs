//! What any OAuth client and any resource server can find out: the keys (RFC 7517) and the endpoints (RFC 8414).

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HOST, HeaderMap, HeaderValue};
use serde_json::json;

use crate::app::App;
use crate::domain::Scope;
use crate::error::{ApiError, ApiResult};
use crate::http::{Response, respond};

/// The keys that tokens are signed with.
pub(super) fn jwks(app: &App) -> Response {
    let mut response = respond::bytes(StatusCode::OK, "application/json", app.tokens.jwks().to_owned());
    // Short, so that verifiers learn of a new key soon.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// The endpoints, under the configured issuer; without one, under the host that the client called us by.
pub(super) fn server_metadata(app: &App, headers: &HeaderMap) -> ApiResult<Response> {
    let issuer = match app.tokens.issuer() {
        Some(issuer) => issuer.trim_end_matches('/').to_owned(),
        None => format!("http://{}", host(headers)?),
    };
    let methods = ["client_secret_post", "client_secret_basic"];
    let body = json!({
        "issuer": app.tokens.issuer().unwrap_or(&issuer),
        "token_endpoint": format!("{issuer}/api/v1/token"),
        "introspection_endpoint": format!("{issuer}/api/v1/token/introspect"),
        "revocation_endpoint": format!("{issuer}/api/v1/token/revoke"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": methods,
        "scopes_supported": Scope::ALL,
    });
    Ok(respond::json(StatusCode::OK, &body))
}

/// A host and port that are safe to repeat.
fn host(headers: &HeaderMap) -> ApiResult<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.filter(|host| !host.is_empty() && host.bytes().all(plain))
        .ok_or_else(|| ApiError::field("Host", "must be a host name with an optional port"))
}
