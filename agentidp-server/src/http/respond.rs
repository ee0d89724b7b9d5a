//! Answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

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

/// The documented envelope of errors.
#[derive(Serialize, ToSchema)]
pub(crate) struct Error {
    code: &'static str,
    message: String,
    /// Each failing field with its reason, or a limit, or more about a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}

/// An error in the form of OAuth (RFC 6749 §5.2).
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthError)]
pub(crate) struct ErrorOfOAuth {
    error: &'static str,
    error_description: String,
}

/// An error in both forms.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorInBothForms {
    #[serde(flatten)]
    ours: Error,
    #[serde(flatten)]
    of_oauth: ErrorOfOAuth,
}

impl Error {
    fn of(error: &ApiError) -> Self {
        Self { code: error.code(), message: error.to_string(), details: error.details() }
    }
}

impl ErrorOfOAuth {
    fn of(error: &ApiError) -> Self {
        Self { error: error.oauth_code(), error_description: error.to_string() }
    }
}

/// The documented envelope.
#[must_use]
pub fn error(error: &ApiError) -> Response {
    with_headers(error, json(error.status(), &Error::of(error)))
}

/// The OAuth members alone: what `POST /token` answers.
#[must_use]
pub fn oauth_error(error: &ApiError) -> Response {
    with_headers(error, json(error.status(), &ErrorOfOAuth::of(error)))
}

/// Both in one body: what introspection and revocation answer, and `POST /token` when the failure is none that RFC 6749 §5.2
/// knows.
#[must_use]
pub fn error_in_both_forms(error: &ApiError) -> Response {
    let body = ErrorInBothForms { ours: Error::of(error), of_oauth: ErrorOfOAuth::of(error) };
    with_headers(error, json(error.status(), &body))
}

/// `X-RateLimit-*` on a limited answer.
pub(crate) fn rate_limit_headers(headers: &mut HeaderMap, allowance: &Allowance) {
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(allowance.limit));
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(allowance.remaining));
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), HeaderValue::from(allowance.reset));
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
        // Vault may answer the next one.
        ApiError::VaultRead(error) | ApiError::VaultWrite(error) if error.is_retryable() => {
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

#[cfg(test)]
mod tests {
    use agentidp_secrets::{BackendId, Error, ErrorKind, Operation};

    use super::*;
    use crate::repo::RepoError;

    #[test]
    fn a_time_to_wait_is_told_where_a_retry_can_help_and_nowhere_else() {
        let vault = |kind, operation| {
            ApiError::vault(Error::new(kind, "").with_operation(operation).with_backend(BackendId::VAULT_KV2))
        };
        let gone = RepoError::Unavailable { during: "agents.find", source: "gone".into() };
        let table = [
            (ApiError::RateLimitExceeded { retry_after: 7 }, Some("7")),
            (ApiError::Busy(None), Some("1")),
            (gone.into(), Some("1")),
            (ApiError::IdempotencyKeyInUse, Some("1")),
            (vault(ErrorKind::Unavailable, Operation::Verify), Some("1")),
            (vault(ErrorKind::Unavailable, Operation::Rotate), Some("1")),
            (vault(ErrorKind::Throttled, Operation::Verify), Some("1")),
            (vault(ErrorKind::Denied, Operation::Verify), None),
            (vault(ErrorKind::NotFound, Operation::Verify), None),
            (vault(ErrorKind::InvalidConfig, Operation::Store), None),
            (ApiError::internal("a fault of ours"), None),
            (ApiError::FreeTierLimitExceeded { limit: 1 }, None),
            (ApiError::IdempotencyKeyReused, None),
            (ApiError::AgentNotActive, None),
        ];
        for (problem, expected) in table {
            let answer = error(&problem);
            let told = answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(told, expected, "{problem:?}");
        }
    }
}
