//! How the backend comes by its token, and keeps it alive.
//!
//! [`VaultAuth`] says where tokens come from. A session holds the one in use: it sends requests with it, and when Vault
//! calls it dead gets another one from the source, one call at a time however many requests have met it.

mod file;
mod life;
mod login;
mod session;
mod tend;
mod token;

use std::fmt;
use std::path::PathBuf;

use http::HeaderValue;
use serde::Deserialize;

use super::failure::Failure;
use super::transport::Transport;

pub use self::life::TokenLife;
pub use self::login::{AppRole, Kubernetes};
pub(crate) use self::session::Session;
pub use self::tend::{Tended, TokenCare};
pub(crate) use self::token::Hidden;
pub use self::token::VaultToken;

/// Where the token comes from. A text is a token as it is.
///
/// ```
/// use agentidp_secrets::backends::{AppRole, VaultAuth, VaultKv2};
///
/// let role = AppRole::with_secret_id_file("role-id", "/run/secrets/vault-secret-id");
/// let vault = VaultKv2::builder("https://vault.example:8200", VaultAuth::AppRole(role)).build()?;
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VaultAuth {
    /// A token that somebody made. When it is dead there is no other one: its calls are `Denied`.
    Token(VaultToken),
    /// A file that holds the token, such as Vault Agent's sink. Read again when the token is dead, and with every
    /// [`tend_token`](super::VaultKv2::tend_token).
    TokenFile(PathBuf),
    /// The AppRole login.
    AppRole(AppRole),
    /// The login of a Kubernetes service account. The JWT login takes the same request: set its mount.
    Kubernetes(Kubernetes),
}

/// Which kind of [`VaultAuth`] is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthKind {
    /// [`VaultAuth::Token`].
    Token,
    /// [`VaultAuth::TokenFile`].
    TokenFile,
    /// [`VaultAuth::AppRole`].
    AppRole,
    /// [`VaultAuth::Kubernetes`].
    Kubernetes,
}

/// A token from a source, with what the source says about its life.
pub(crate) struct Grant {
    pub(crate) token: HeaderValue,
    /// None: to be asked about.
    pub(crate) lease: Option<Lease>,
}

/// A life as a login or a renewal grants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// In seconds; 0 is a token that never ends.
    pub(crate) seconds: u64,
    pub(crate) renewable: bool,
}

impl VaultAuth {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> AuthKind {
        match self {
            Self::Token(_) => AuthKind::Token,
            Self::TokenFile(_) => AuthKind::TokenFile,
            Self::AppRole(_) => AuthKind::AppRole,
            Self::Kubernetes(_) => AuthKind::Kubernetes,
        }
    }

    /// A token, fetched anew. Files are read anew, too: their writers replace what expires.
    pub(crate) async fn obtain(&self, transport: &Transport) -> Result<Grant, Failure> {
        let plain = |token: &VaultToken, unusable: Failure| {
            let token = token.header().map_err(|_| unusable)?;
            Ok(Grant { token, lease: None })
        };
        match self {
            // The builder has looked at it.
            Self::Token(token) => plain(token, Failure::TokenDead),
            Self::TokenFile(path) => {
                let unusable = Failure::BadFile("VAULT_TOKEN_FILE");
                plain(&VaultToken::from(file::read(path).ok_or(unusable)?), unusable)
            }
            Self::AppRole(role) => role.log_in(transport).await,
            Self::Kubernetes(account) => account.log_in(transport).await,
        }
    }
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

impl<T: Into<VaultToken>> From<T> for VaultAuth {
    fn from(token: T) -> Self {
        Self::Token(token.into())
    }
}
