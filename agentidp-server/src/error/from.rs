//! What goes wrong below, as it is answered.

use agentidp_secrets::lifecycle::Failure;

use super::ApiError;
use crate::http::OAuthError;
use crate::keys::SignError;
use crate::repo::RepoError;

impl From<OAuthError> for ApiError {
    fn from(error: OAuthError) -> Self {
        Self::OAuth(error)
    }
}

impl From<RepoError> for ApiError {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::Unavailable { .. } => Self::DatabaseUnavailable(error),
            error => Self::Internal(Box::new(error)),
        }
    }
}

impl From<Failure<Self>> for ApiError {
    fn from(failure: Failure<Self>) -> Self {
        match failure {
            Failure::NotFound => Self::CredentialNotFound,
            Failure::Ended => Self::CredentialAlreadyRevoked,
            Failure::NoPrevious => Self::NoPreviousSecret,
            Failure::PreviousInUse(_) => Self::PreviousSecretInUse,
            Failure::Busy => Self::Busy(None),
            Failure::Backend(error) => Self::vault(error),
            Failure::Ledger(error) | Failure::Unknown(error) => error,
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<SignError> for ApiError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Busy => Self::Busy(None),
            SignError::Failed => Self::Internal(Box::new(error)),
        }
    }
}
