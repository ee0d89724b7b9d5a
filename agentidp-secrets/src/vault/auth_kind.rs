//! The kinds of sources that a token comes from.

use std::fmt;

/// Which kind of [`VaultAuth`](crate::vault::auth::VaultAuth) is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthKind {
    /// [`VaultAuth::Token`](crate::vault::auth::VaultAuth::Token).
    Token,
    /// [`VaultAuth::TokenFile`](crate::vault::auth::VaultAuth::TokenFile).
    TokenFile,
    /// [`VaultAuth::AppRole`](crate::vault::auth::VaultAuth::AppRole).
    AppRole,
    /// [`VaultAuth::Kubernetes`](crate::vault::auth::VaultAuth::Kubernetes).
    Kubernetes,
}

impl AuthKind {
    /// Whether a token can be had at any time, by logging in.
    #[must_use]
    pub fn logs_in(self) -> bool {
        matches!(self, Self::AppRole | Self::Kubernetes)
    }

    /// What an operator looks at when a login is refused.
    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::Token => "VAULT_TOKEN",
            Self::TokenFile => "VAULT_TOKEN_FILE",
            Self::AppRole => "VAULT_ROLE_ID, VAULT_SECRET_ID (or its _FILE) and VAULT_AUTH_MOUNT",
            Self::Kubernetes => {
                "VAULT_K8S_ROLE, VAULT_K8S_JWT_FILE and VAULT_AUTH_MOUNT, and at whether the cluster's token reviewer \
                 answers"
            }
        }
    }
}

impl fmt::Display for AuthKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::TokenFile => "token file",
            Self::AppRole => "AppRole login",
            Self::Kubernetes => "Kubernetes login",
        })
    }
}
