//! What any OAuth client and any resource server can find out: the keys (RFC 7517) and the endpoints (RFC 8414).

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde_json::json;
use url::Url;

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

/// The endpoints, under the one issuer; without one there is no metadata, because two servers could disagree. `path` follows
/// the well-known name: nothing, or the path of the issuer (RFC 8414 §3.1).
pub(super) fn server_metadata(app: &App, path: &str) -> ApiResult<Response> {
    let issuer = app.tokens.issuer().ok_or(ApiError::NotFound)?;
    let url = Url::parse(issuer).map_err(ApiError::internal)?;
    if !path.is_empty() && path != url.path().trim_end_matches('/') {
        return Err(ApiError::NotFound);
    }
    let base = issuer.trim_end_matches('/');
    let methods = ["client_secret_post", "client_secret_basic"];
    let body = json!({
        "issuer": issuer,
        "token_endpoint": format!("{base}/api/v1/token"),
        "introspection_endpoint": format!("{base}/api/v1/token/introspect"),
        "revocation_endpoint": format!("{base}/api/v1/token/revoke"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "scopes_supported": Scope::ALL,
    });
    Ok(respond::json(StatusCode::OK, &body))
}
