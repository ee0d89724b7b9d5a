//! What any OAuth client and any resource server can find out: the keys (RFC 7517) and the endpoints (RFC 8414).

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::domain::Scope;
use crate::error::{ApiError, ApiResult};
use crate::http::{Response, respond};

/// How clients authenticate, at each endpoint that they authenticate at.
const METHODS: [&str; 2] = ["client_secret_post", "client_secret_basic"];

/// The metadata of RFC 8414. Without `response_types_supported`: there are none, and an empty list is left out (§3.2).
#[derive(Serialize, ToSchema)]
pub(super) struct ServerMetadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    grant_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    scopes_supported: &'static [Scope],
}

/// The keys that tokens are signed with.
pub(super) fn jwks(app: &App) -> Response {
    let mut response = respond::bytes(StatusCode::OK, "application/json", app.tokens.jwks().to_owned());
    // Short, so that verifiers learn of a new key soon.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// The endpoints, under the one issuer; without one there is no metadata, because two servers could disagree. `path` follows
/// the well-known name: nothing, or the path of the issuer (RFC 8414 §3.1). RFC 8414 drops a slash at the path's end, and some
/// clients keep it.
pub(super) fn server_metadata(app: &App, path: &str) -> ApiResult<Response> {
    let issuer = app.tokens.issuer().ok_or(ApiError::NotFound)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if !path.is_empty() && path != issuer.path() {
        return Err(ApiError::NotFound);
    }
    let base = issuer.url().trim_end_matches('/');
    let body = ServerMetadata {
        issuer: issuer.url(),
        token_endpoint: format!("{base}/api/v1/token"),
        introspection_endpoint: format!("{base}/api/v1/token/introspect"),
        revocation_endpoint: format!("{base}/api/v1/token/revoke"),
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        grant_types_supported: ["client_credentials"],
        token_endpoint_auth_methods_supported: METHODS,
        introspection_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint_auth_methods_supported: METHODS,
        scopes_supported: Scope::ALL,
    };
    Ok(respond::json(StatusCode::OK, &body))
}
