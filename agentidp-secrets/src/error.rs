//! What can go wrong, in terms that a caller can decide on and an operator can act on.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::backend_id::BackendId;

/// The result of every fallible call of this crate except user-level verification.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation could not be carried out.
///
/// An `Error` never means "wrong secret": a decided mismatch is [`Verdict::Mismatch`](crate::Verdict::Mismatch) at
/// backend level and [`VerifyError::Mismatch`] at store level. Decide on [`kind`](Self::kind); the text is for people
/// and may change. Neither `Display` nor `Debug`, nor any error in the [`source`](StdError::source) chain, contains a
/// secret, a digest, a token or the body of an answer.
///
/// `Display` prints this level only. Print the source chain beside it when you log.
///
/// Clones share the source: one failed call may be the answer to several callers.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<Operation>,
    backend: Option<BackendId>,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is. Each kind says whether a retry can help and what an operator does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else changed the credential first: a compare-and-set was lost, or it already has a secret.
    /// Retry: no; read the row again. Operator: nothing, unless it persists.
    Conflict,
    /// The backend refused our rights: a Vault token that has died, or a policy without the right.
    /// Retry: no. Operator: renew the token, or grant the right that the message names.
    Denied,
    /// A fault of this process: no randomness, a panicked worker. Retry: no. Operator: read the log, report it.
    Internal,
    /// A setting cannot work. Retry: no. Operator: change the setting that the message names.
    InvalidConfig,
    /// The secret itself cannot be stored: empty, too long, or with a NUL byte. Retry: no. Operator: nothing;
    /// generated secrets never meet it.
    InvalidSecret,
    /// The stored record cannot be read: a damaged digest, a path that is not the credential's, a record of another
    /// backend. Retry: no. Operator: rotate the credential, and find out who wrote the row.
    Malformed,
    /// The backend no longer holds what the record points to. Retry: no. Operator: rotate the credential; find out who
    /// deleted the path or the version.
    NotFound,
    /// Too much work at once: a limit shed the call, or Vault answered with a quota. Retry: yes, later.
    /// Operator: raise the limit or add capacity if it persists.
    Throttled,
    /// The backend could not be asked: refused, timed out, sealed, no leader. After a write the outcome is unknown.
    /// Retry: yes. Operator: look at the backend.
    Unavailable,
    /// The record names a backend that this store was not given. Retry: no. Operator: configure that backend, or rotate
    /// the credential.
    UnknownBackend,
}

/// Which verb failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// The version that a record means, or the last one of a key, was to be found out.
    Pin,
    /// Reachability and rights were tried.
    Probe,
    /// A secret was to be shown again.
    Reveal,
    /// A credential's secrets were to be forgotten.
    Revoke,
    /// A secret was to be replaced.
    Rotate,
    /// A first secret was to be stored.
    Store,
    /// A candidate was to be checked.
    Verify,
}

impl Error {
    /// An error of `kind`; `message` says what happened and what to do, and must not contain a secret, a digest, a
    /// token or foreign text that could.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, operation: None, backend: None, message: message.into(), source: None }))
    }

    /// Says which verb failed.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.0.operation = Some(operation);
        self
    }

    /// Says which backend failed.
    #[must_use]
    pub fn with_backend(mut self, backend: BackendId) -> Self {
        self.0.backend = Some(backend);
        self
    }

    /// Adds the cause. Only for causes known to carry no secret, token, digest or body.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The verb that failed, where one was under way.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The backend that failed, where one was involved.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendId> {
        self.0.backend.as_ref()
    }

    /// Whether the same call may succeed later without anybody changing anything. A function of the kind.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Throttled | ErrorKind::Unavailable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.backend, self.0.operation) {
            (Some(backend), Some(operation)) => write!(f, "{backend} {operation}: ")?,
            (Some(backend), None) => write!(f, "{backend}: ")?,
            (None, Some(operation)) => write!(f, "{operation}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("backend", &self.0.backend)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Internal => "internal",
            Self::InvalidConfig => "invalid_config",
            Self::InvalidSecret => "invalid_secret",
            Self::Malformed => "malformed",
            Self::NotFound => "not_found",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::UnknownBackend => "unknown_backend",
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "pin",
            Self::Probe => "probe",
            Self::Reveal => "reveal",
            Self::Revoke => "revoke",
            Self::Rotate => "rotate",
            Self::Store => "store",
            Self::Verify => "verify",
        })
    }
}

/// Why a candidate was not accepted.
///
/// Mismatch is an error here, so that `store.verify(..).await.is_ok()` is safe to write: `Ok` means "proved" and
/// nothing else does.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nobody could decide: answer as an outage or a fault, never as a wrong secret.
    Backend(Error),
    /// Decided: the candidate is not the secret.
    Mismatch,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(_) => f.write_str("the secret could not be checked"),
            Self::Mismatch => f.write_str("the secret does not match"),
        }
    }
}

impl StdError for VerifyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Backend(error) => Some(error),
            Self::Mismatch => None,
        }
    }
}

impl From<Error> for VerifyError {
    fn from(error: Error) -> Self {
        Self::Backend(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_level_and_the_chain_has_the_rest() {
        let error = Error::new(ErrorKind::Unavailable, "no answer within 1 s; is the server up?")
            .with_operation(Operation::Verify)
            .with_backend(BackendId::VAULT_KV2)
            .with_source(std::io::Error::other("refused"));
        assert_eq!(error.to_string(), "vault-kv2 verify: no answer within 1 s; is the server up?");
        assert_eq!(error.source().map(ToString::to_string), Some("refused".to_owned()));
    }

    #[test]
    fn only_throttled_and_unavailable_are_worth_a_retry() {
        for kind in [ErrorKind::Throttled, ErrorKind::Unavailable] {
            assert!(Error::new(kind, "").is_retryable(), "{kind}");
        }
        for kind in [
            ErrorKind::Conflict,
            ErrorKind::Denied,
            ErrorKind::Internal,
            ErrorKind::InvalidConfig,
            ErrorKind::InvalidSecret,
            ErrorKind::Malformed,
            ErrorKind::NotFound,
            ErrorKind::UnknownBackend,
        ] {
            assert!(!Error::new(kind, "").is_retryable(), "{kind}");
        }
    }
}
