//! The settings that error texts name, and what they are called.

use std::error::Error as StdError;
use std::fmt;

/// A setting that an error text of this backend may name.
///
/// The texts call it by the method that sets it. A program that takes its settings from elsewhere has them called by its own
/// names: see [`VaultKv2Builder::setting_names`](super::VaultKv2Builder::setting_names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a program with names of its own has one for each")]
pub enum Setting {
    /// The address, or several.
    Address,
    /// Where the token comes from.
    Auth,
    /// The mount of a login.
    AuthMount,
    /// The namespace of the token.
    AuthNamespace,
    /// The CA certificates.
    CaCert,
    /// The certificate that we show.
    ClientCert,
    /// Its key.
    ClientKey,
    /// The name of this Vault.
    Instance,
    /// The file with the JWT of a service account.
    JwtFile,
    /// The role of a service account.
    KubernetesRole,
    /// Where an entry lies.
    Layout,
    /// The member of an entry that holds the secret.
    Member,
    /// The mount of the KV engine.
    Mount,
    /// The namespace.
    Namespace,
    /// Whether plain http may leave this host.
    PlainHttp,
    /// Our folder on the mount.
    Prefix,
    /// The role id of an AppRole.
    RoleId,
    /// The secret id of an AppRole.
    SecretId,
    /// The file that holds it.
    SecretIdFile,
    /// The name in the server's certificate.
    TlsServerName,
    /// The token.
    Token,
    /// The file that holds it.
    TokenFile,
}

impl Setting {
    /// Every setting.
    pub const ALL: &'static [Self] = &[
        Self::Address,
        Self::Auth,
        Self::AuthMount,
        Self::AuthNamespace,
        Self::CaCert,
        Self::ClientCert,
        Self::ClientKey,
        Self::Instance,
        Self::JwtFile,
        Self::KubernetesRole,
        Self::Layout,
        Self::Member,
        Self::Mount,
        Self::Namespace,
        Self::PlainHttp,
        Self::Prefix,
        Self::RoleId,
        Self::SecretId,
        Self::SecretIdFile,
        Self::TlsServerName,
        Self::Token,
        Self::TokenFile,
    ];

    /// The method that sets it.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Address => "the address of `VaultKv2::builder`",
            Self::Auth => "another `VaultAuth`",
            Self::AuthMount => "`mount` of the login",
            Self::AuthNamespace => "`VaultKv2Builder::auth_namespace`",
            Self::CaCert => "`VaultKv2Builder::ca_cert_pem`",
            Self::ClientCert => "`VaultKv2Builder::client_cert`",
            Self::ClientKey => "the key of `ClientCert::new`",
            Self::Instance => "`VaultKv2Builder::instance`",
            Self::JwtFile => "`Kubernetes::jwt_file`",
            Self::KubernetesRole => "the role of `Kubernetes::new`",
            Self::Layout => "`VaultKv2Builder::layout`",
            Self::Member => "`VaultKv2Builder::member`",
            Self::Mount => "`VaultKv2Builder::mount`",
            Self::Namespace => "`VaultKv2Builder::namespace`",
            Self::PlainHttp => "`VaultKv2Builder::danger_allow_plain_http`",
            Self::Prefix => "`VaultKv2Builder::prefix`",
            Self::RoleId => "the role id of `AppRole::new`",
            Self::SecretId => "the secret id of `AppRole::new`",
            Self::SecretIdFile => "`AppRole::with_secret_id_file`",
            Self::TlsServerName => "`VaultKv2Builder::tls_server_name`",
            Self::Token => "the token of `VaultAuth::Token`",
            Self::TokenFile => "`VaultAuth::TokenFile`",
        }
    }
}

/// What the program calls its settings.
#[derive(Clone, Copy)]
pub(crate) struct Names(pub(crate) fn(Setting) -> &'static str);

impl Names {
    pub(crate) fn of(self, setting: Setting) -> &'static str {
        (self.0)(setting)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self(Setting::method)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

/// The [source](std::error::Error::source) of an error: a file that a setting names cannot be read, is empty or holds no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableFile(Setting);

impl UnreadableFile {
    pub(crate) fn of(setting: Setting) -> Self {
        Self(setting)
    }

    /// The setting that names the file.
    #[must_use]
    pub fn setting(&self) -> Setting {
        self.0
    }
}

impl fmt::Display for UnreadableFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file cannot be read, is empty or holds no text")
    }
}

impl StdError for UnreadableFile {}
