//! [`VaultAuth`]: where tokens come from.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::file;
use super::grant::Grant;
use super::login::{AppRole, Kubernetes};
use super::token::VaultToken;
use crate::vault::auth_kind::AuthKind;
use crate::vault::failure::Failure;
use crate::vault::hidden::unquoted;
use crate::vault::setting::{Names, Setting};
use crate::vault::wire::Transport;

/// Where the token comes from. Made from a text, it is a token as it is; in a configuration file it is
/// `{"token_file": "/run/secrets/vault-token"}`, say, or `"agent"`.
///
/// ```
/// use agentidp_secrets::vault::VaultKv2;
/// use agentidp_secrets::vault::auth::{AppRole, VaultAuth};
///
/// let role = AppRole::with_secret_id_file("role-id", "/run/secrets/vault-secret-id");
/// let vault = VaultKv2::builder("https://vault.example:8200", VaultAuth::AppRole(role)).build()?;
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum VaultAuth {
    /// A token that somebody made. When it is dead there is no other one: its calls are `Denied`.
    Token(VaultToken),
    /// A file that holds the token, such as Vault Agent's sink. Read again when the token is dead, and with every
    /// [`tend_token`](crate::vault::VaultKv2::tend_token).
    TokenFile(PathBuf),
    /// The AppRole login.
    AppRole(AppRole),
    /// The login of a Kubernetes service account. The JWT login takes the same request: set its mount.
    Kubernetes(Kubernetes),
    /// No token is sent: the address is that of an Agent or a Proxy of Vault's, which logs in (`auto_auth`) and adds its own
    /// (`use_auto_auth_token`).
    Agent,
}

/// How it is written.
#[derive(Deserialize)]
#[serde(remote = "VaultAuth", rename_all = "snake_case")]
enum Form {
    Token(VaultToken),
    TokenFile(PathBuf),
    AppRole(AppRole),
    Kubernetes(Kubernetes),
    Agent,
}

impl<'de> Deserialize<'de> for VaultAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "Vault's `auth` is \"agent\", or one of `token`, `token_file`, `app_role` (role_id, secret_id with `text` or \
                                `file`, wrapped, mount) and `kubernetes` (role, mount, jwt_file), such as {\"token_file\": \"/path\"}";
        unquoted(Form::deserialize(deserializer), EXPECTED)
    }
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
            Self::Agent => AuthKind::Agent,
        }
    }

    /// What can be found out before anything is sent.
    pub(super) fn check(&self, names: Names) -> crate::error::Result<()> {
        match self {
            Self::Token(token) => token.header(names).map(drop),
            Self::TokenFile(_) | Self::Agent => Ok(()),
            Self::AppRole(role) => role.check(names),
            Self::Kubernetes(account) => account.check(names),
        }
    }

    /// A token, fetched anew. Files are read anew, too: their writers replace what expires.
    pub(crate) async fn obtain(&self, transport: &Arc<Transport>) -> Result<Grant, Failure> {
        let plain = |token: &VaultToken, unusable: Failure| {
            let token = token.header(Names::default()).map_err(|_| unusable)?;
            Ok(Grant { token, lease: None })
        };
        match self {
            // The builder has looked at it.
            Self::Token(token) => plain(token, Failure::TokenDead),
            Self::TokenFile(path) => {
                let unusable = Failure::BadFile(Setting::TokenFile);
                plain(&VaultToken::from(file::read(path).ok_or(unusable)?), unusable)
            }
            Self::AppRole(role) => role.log_in(transport).await,
            Self::Kubernetes(account) => account.log_in(transport).await,
            // The session asks for none.
            Self::Agent => Err(Failure::LoginRefused(AuthKind::Agent)),
        }
    }
}

impl<T: Into<VaultToken>> From<T> for VaultAuth {
    fn from(token: T) -> Self {
        Self::Token(token.into())
    }
}
