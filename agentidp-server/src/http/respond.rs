//! Answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::OAuthError;
use crate::domain::Scope;
use crate::error::ApiError;
use crate::rate_limit::Allowance;

/// What the server sends.
pub type Response = hyper::Response<Full<Bytes>>;

/// How long a busy server asks its clients to wait, in seconds.
const BUSY_RETRY_AFTER: u64 = 1;

/// The challenge to a client that used Basic.
const BASIC: &str = "Basic realm=\"agentidp\", charset=\"UTF-8\"";

/// Room for a token and what is said about it: the body that is sent most often takes its memory once.
const USUAL_BODY: usize = 1024;

/// A JSON body.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut written = Vec::with_capacity(USUAL_BODY);
    match serde_json::to_writer(&mut written, body) {
        Ok(()) => bytes(status, "application/json", written),
        // Our types have string keys and no failing serializers; if one ever fails, fail closed.
        Err(cause) => error(&ApiError::internal(cause)),
    }
}

/// 204.
#[must_use]
pub fn no_content() -> Response {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A body that is ready to be sent.
#[must_use]
pub fn bytes(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The documented envelope.
#[must_use]
pub fn error(error: &ApiError) -> Response {
    with_headers(error, json(error.status(), &envelope(error)))
}

/// The OAuth members alone: what `POST /token` answers (RFC 6749 §5.2).
#[must_use]
pub fn oauth_error(error: &ApiError) -> Response {
    let body = json!({ "error": error.oauth_code(), "error_description": error.to_string() });
    with_headers(error, json(error.status(), &body))
}

/// The documented envelope and the OAuth members in one body: what introspection and revocation answer, and `POST /token` when
/// the failure is none that RFC 6749 §5.2 knows.
#[must_use]
pub fn error_in_both_forms(error: &ApiError) -> Response {
    let mut body = envelope(error);
    body.insert("error".to_owned(), json!(error.oauth_code()));
    body.insert("error_description".to_owned(), json!(error.to_string()));
    with_headers(error, json(error.status(), &body))
}

/// `X-RateLimit-*` on a limited answer.
pub(crate) fn rate_limit_headers(headers: &mut HeaderMap, allowance: &Allowance) {
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(allowance.limit));
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(allowance.remaining));
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(allowance.reset));
}

fn envelope(error: &ApiError) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("code".to_owned(), json!(error.code()));
    body.insert("message".to_owned(), json!(error.to_string()));
    if let Some(details) = error.details() {
        body.insert("details".to_owned(), details);
    }
    body
}

/// What RFC 6750 §3 wants to be said of a scope that is missing.
fn insufficient_scope(scope: Scope) -> HeaderValue {
    HeaderValue::from_static(match scope {
        Scope::AgentsRead => "Bearer error=\"insufficient_scope\", scope=\"agents:read\"",
        Scope::AgentsWrite => "Bearer error=\"insufficient_scope\", scope=\"agents:write\"",
        Scope::TokensRead => "Bearer error=\"insufficient_scope\", scope=\"tokens:read\"",
        Scope::AuditRead => "Bearer error=\"insufficient_scope\", scope=\"audit:read\"",
    })
}

fn with_headers(error: &ApiError, mut response: Response) -> Response {
    let (name, value) = match error {
        ApiError::Unauthorized(challenge) => (WWW_AUTHENTICATE, HeaderValue::from_static(challenge.header())),
        ApiError::OAuth(OAuthError::InvalidClient { basic: true }) => {
            (WWW_AUTHENTICATE, HeaderValue::from_static(BASIC))
        }
        ApiError::InsufficientScope(scope) => (WWW_AUTHENTICATE, insufficient_scope(*scope)),
        ApiError::RateLimitExceeded { retry_after } => (RETRY_AFTER, HeaderValue::from(*retry_after)),
        ApiError::Busy(_) | ApiError::DatabaseUnavailable(_) | ApiError::IdempotencyKeyInUse => {
            (RETRY_AFTER, HeaderValue::from(BUSY_RETRY_AFTER))
        }
        ApiError::MethodNotAllowed(methods) => (ALLOW, HeaderValue::from_static(methods)),
        // The rest of the body will not be read.
        ApiError::RequestTimeout | ApiError::PayloadTooLarge(_) => (CONNECTION, HeaderValue::from_static("close")),
        _ => return response,
    };
    response.headers_mut().insert(name, value);
    response
}
