//! The kinds of sources that a token comes from.

use std::fmt;

use super::setting::{Names, Setting};

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
    /// [`VaultAuth::Agent`](crate::vault::auth::VaultAuth::Agent).
    Agent,
}

impl AuthKind {
    /// Whether a token can be had at any time, by logging in.
    #[must_use]
    pub fn logs_in(self) -> bool {
        matches!(self, Self::AppRole | Self::Kubernetes)
    }

    /// What an operator looks at when a login is refused.
    pub(crate) fn settings(self, names: Names) -> String {
        match self {
            Self::Token => names.of(Setting::Token).to_owned(),
            Self::TokenFile => names.of(Setting::TokenFile).to_owned(),
            Self::AppRole => format!(
                "{}, {} or {}, {} and {}",
                names.of(Setting::RoleId),
                names.of(Setting::SecretId),
                names.of(Setting::SecretIdFile),
                names.of(Setting::AuthMount),
                names.of(Setting::AuthNamespace)
            ),
            Self::Agent => "`auto_auth` and `use_auto_auth_token` in the configuration of the agent".to_owned(),
            Self::Kubernetes => format!(
                "{}, {}, {} and {}, and at whether the cluster's token reviewer answers",
                names.of(Setting::KubernetesRole),
                names.of(Setting::JwtFile),
                names.of(Setting::AuthMount),
                names.of(Setting::AuthNamespace)
            ),
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
            Self::Agent => "agent's token",
        })
    }
}
