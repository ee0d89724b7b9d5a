//! Why a request is not answered as wished: one variant for each documented code, and those of HTTP itself.

mod from;
mod why;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error as StdError;

use agentidp_secrets::{BackendId, ErrorKind, Operation};
use hyper::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::Scope;
use crate::http::OAuthError;
use crate::repo::RepoError;

pub use self::why::{Challenge, NotShownAgain};

/// What handlers answer.
pub type ApiResult<T> = Result<T, ApiError>;

/// The reason of each failing field, by the field's name as the client wrote it.
pub type FieldErrors = BTreeMap<Cow<'static, str>, Cow<'static, str>>;

/// A refusal or a failure. What a variant carries beside its code is for the log unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// Body, path or query failed validation; each failing field is named to the client.
    #[error("the request failed validation")]
    Validation(FieldErrors),
    /// No acceptable bearer token.
    #[error("{}", .0.message())]
    Unauthorized(Challenge),
    /// The token is fine; scope or ownership is not. The text is the client's.
    #[error("{0}")]
    Forbidden(Cow<'static, str>),
    /// The token is fine and lacks this scope.
    #[error("the token lacks the scope {}", .0.as_str())]
    InsufficientScope(Scope),
    /// A client is refused in the words of OAuth.
    #[error("{}", .0.description())]
    OAuth(OAuthError),
    /// A configured limit is reached; shown to the client.
    #[error("the limit of {limit} is reached")]
    FreeTierLimitExceeded {
        /// The limit.
        limit: u64,
    },
    /// A credential was asked for an agent that is not active.
    #[error("the agent is not active")]
    AgentNotActive,
    /// No such agent.
    #[error("there is no such agent")]
    AgentNotFound,
    /// No such credential of this agent.
    #[error("the agent has no such credential")]
    CredentialNotFound,
    /// No such event, or one older than retention.
    #[error("there is no such audit event")]
    AuditEventNotFound,
    /// The e-mail is taken.
    #[error("an agent with this email exists")]
    AgentAlreadyExists,
    /// The agent has ended for good.
    #[error("the agent is decommissioned")]
    AgentAlreadyDecommissioned,
    /// The credential has ended.
    #[error("the credential is revoked")]
    CredentialAlreadyRevoked,
    /// There is no previous secret to end.
    #[error("the credential has no previous secret")]
    NoPreviousSecret,
    /// The previous secret was used not long ago.
    #[error(
        "the previous secret is still in use, and its user would be refused; with ?force=true it ends all the same"
    )]
    PreviousSecretInUse,
    /// Too many requests; the next passes in so many seconds.
    #[error("too many requests; try again in {retry_after} s")]
    RateLimitExceeded {
        /// Seconds.
        retry_after: u64,
    },
    /// Vault refused or could not be reached on a write.
    #[error("the secret could not be written")]
    VaultWrite(#[source] agentidp_secrets::Error),
    /// The same on a read.
    #[error("the secret could not be read")]
    VaultRead(#[source] agentidp_secrets::Error),
    /// Too much work at once.
    #[error("the server is busy; try again")]
    Busy(#[source] Option<agentidp_secrets::Error>),
    /// The database cannot be asked just now. The cause is for the log only.
    #[error("the database cannot be asked; try again")]
    DatabaseUnavailable(#[source] RepoError),
    /// Anything else. The cause is for the log only.
    #[error("something went wrong on our side")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
    /// No such route.
    #[error("there is nothing here")]
    NotFound,
    /// The route has other methods, as `Allow` lists them.
    #[error("this method is not for this path; it has {0}")]
    MethodNotAllowed(&'static str),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    RequestTimeout,
    /// The body is larger than this many bytes.
    #[error("a body may have {0} bytes")]
    PayloadTooLarge(usize),
    /// A request with this `Idempotency-Key` is being carried out; the key, or what it made, may be asked for again soon.
    #[error("a request with this Idempotency-Key is being carried out; send it again in a moment")]
    IdempotencyKeyInUse,
    /// The `Idempotency-Key` came with another method, path or body before.
    #[error("this Idempotency-Key belongs to another request; take a new key for a new request")]
    IdempotencyKeyReused,
    /// The request was carried out before, and its secret can be neither shown again nor replaced. Both are the client's.
    #[error("this request was carried out before, and {}", .why.message())]
    NotShownAgain {
        /// The credential that it made or rotated.
        credential_id: Uuid,
        /// Why.
        why: NotShownAgain,
    },
    /// The body is of another media type than the one named.
    #[error("send the body as {0}")]
    UnsupportedMediaType(&'static str),
}

impl ApiError {
    /// One field failed validation.
    #[must_use]
    pub fn field(name: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Validation(FieldErrors::from([(name.into(), reason.into())]))
    }

    /// The secrets store could not do its work. The verb decides between `VAULT_READ_ERROR` and `VAULT_WRITE_ERROR`;
    /// faults of our own process, of a digest in a row, and of the settings that a digest needs are internal errors.
    #[must_use]
    pub fn vault(error: agentidp_secrets::Error) -> Self {
        let is_digests = error.backend().is_some_and(|backend| *backend != BackendId::VAULT_KV2);
        match (error.kind(), error.operation()) {
            (ErrorKind::Throttled, _) => Self::Busy(Some(error)),
            (ErrorKind::Internal | ErrorKind::InvalidSecret, _) => Self::Internal(Box::new(error)),
            (ErrorKind::InvalidConfig | ErrorKind::UnknownBackend, _) if is_digests => Self::Internal(Box::new(error)),
            // Of Vault it says that the row points elsewhere, or that there is no secret at its path.
            (ErrorKind::Malformed, _) if error.backend() != Some(&BackendId::VAULT_KV2) => {
                Self::Internal(Box::new(error))
            }
            (_, Some(Operation::Store | Operation::Rotate | Operation::Revoke)) => Self::VaultWrite(error),
            _ => Self::VaultRead(error),
        }
    }

    /// An unexpected failure, with its cause for the log.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The documented code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code_and_status().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.code_and_status().1
    }

    /// More about it for the client: failing fields, or the limit.
    #[must_use]
    pub fn details(&self) -> Option<Value> {
        match self {
            Self::Validation(fields) => Some(json!(fields)),
            Self::FreeTierLimitExceeded { limit } => Some(json!({ "limit": limit })),
            Self::NotShownAgain { credential_id, why } => {
                Some(json!({ "credentialId": credential_id, "reason": why.as_str() }))
            }
            _ => None,
        }
    }

    /// The OAuth code of the same (RFC 6749 §5.2, RFC 6750 §3.1), for the endpoints that answer in both forms.
    #[must_use]
    pub fn oauth_code(&self) -> &'static str {
        match self {
            Self::OAuth(error) => error.code(),
            Self::Unauthorized(Challenge::Missing) => "invalid_client",
            Self::Unauthorized(Challenge::Invalid) => "invalid_token",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::Forbidden(_) => "unauthorized_client",
            error if error.status().is_server_error() => "server_error",
            _ => "invalid_request",
        }
    }

    fn code_and_status(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Validation(_) => ("VALIDATION_ERROR", StatusCode::BAD_REQUEST),
            Self::Unauthorized(_) => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::Forbidden(_) | Self::InsufficientScope(_) => ("FORBIDDEN", StatusCode::FORBIDDEN),
            Self::OAuth(error) => (code_beside(error.status()), error.status()),
            Self::FreeTierLimitExceeded { .. } => ("FREE_TIER_LIMIT_EXCEEDED", StatusCode::FORBIDDEN),
            Self::AgentNotActive => ("AGENT_NOT_ACTIVE", StatusCode::FORBIDDEN),
            Self::AgentNotFound => ("AGENT_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::CredentialNotFound => ("CREDENTIAL_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::AuditEventNotFound => ("AUDIT_EVENT_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::AgentAlreadyExists => ("AGENT_ALREADY_EXISTS", StatusCode::CONFLICT),
            Self::AgentAlreadyDecommissioned => ("AGENT_ALREADY_DECOMMISSIONED", StatusCode::CONFLICT),
            Self::CredentialAlreadyRevoked => ("CREDENTIAL_ALREADY_REVOKED", StatusCode::CONFLICT),
            Self::NoPreviousSecret => ("NO_PREVIOUS_SECRET", StatusCode::CONFLICT),
            Self::PreviousSecretInUse => ("PREVIOUS_SECRET_IN_USE", StatusCode::CONFLICT),
            Self::RateLimitExceeded { .. } => ("RATE_LIMIT_EXCEEDED", StatusCode::TOO_MANY_REQUESTS),
            Self::VaultWrite(_) => ("VAULT_WRITE_ERROR", StatusCode::INTERNAL_SERVER_ERROR),
            Self::VaultRead(_) => ("VAULT_READ_ERROR", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Busy(_) | Self::DatabaseUnavailable(_) => ("SERVICE_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal(_) => ("INTERNAL_SERVER_ERROR", StatusCode::INTERNAL_SERVER_ERROR),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed(_) => ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED),
            Self::RequestTimeout => ("REQUEST_TIMEOUT", StatusCode::REQUEST_TIMEOUT),
            Self::PayloadTooLarge(_) => ("PAYLOAD_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
            Self::IdempotencyKeyInUse => ("IDEMPOTENCY_KEY_IN_USE", StatusCode::CONFLICT),
            Self::IdempotencyKeyReused => ("IDEMPOTENCY_KEY_REUSED", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NotShownAgain { .. } => ("IDEMPOTENCY_SECRET_NOT_SHOWN", StatusCode::CONFLICT),
            Self::UnsupportedMediaType(_) => ("UNSUPPORTED_MEDIA_TYPE", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        }
    }
}

/// The code of ours beside an OAuth error with this status.
fn code_beside(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        _ => "VALIDATION_ERROR",
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
