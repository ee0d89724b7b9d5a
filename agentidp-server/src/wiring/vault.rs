//! Vault from its settings.

use std::error::Error as _;
use std::sync::Arc;

use agentidp_secrets::vault::auth::{AppRole, ClientCert, Kubernetes, VaultAuth};
use agentidp_secrets::vault::{Setting, UnreadableFile, VaultKv2};
use agentidp_secrets::{Clock, Error, ErrorKind};

use super::StartError;
use crate::app::VaultPlace;
use crate::config::{self, ConfigError, SecretId, Vault};

/// Where secrets live in it.
pub(super) fn place(settings: &Vault) -> VaultPlace {
    VaultPlace { mount: settings.mount.clone(), prefix: settings.prefix.clone() }
}

/// The client, without any layer around it. Nothing is sent yet.
///
/// # Errors
/// [`StartError`] naming the setting that cannot work.
pub(crate) fn backend(settings: &Vault, clock: &Arc<dyn Clock>) -> Result<VaultKv2, StartError> {
    let mut builder = VaultKv2::builder(settings.address.as_str(), auth(&settings.auth))
        .clock(Arc::clone(clock))
        .mount(settings.mount.as_str())
        .prefix(settings.prefix.as_str())
        .versions_kept(settings.versions_kept)
        .connect_timeout(settings.connect_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_connection_age(settings.max_connection_age)
        .read_timeout(settings.read_timeout)
        .write_timeout(settings.write_timeout)
        .danger_allow_plain_http(settings.allow_plain_http)
        .setting_names(name_of);
    if let Some(namespace) = &settings.namespace {
        builder = builder.namespace(namespace.as_str());
    }
    if let Some(namespace) = &settings.auth_namespace {
        builder = builder.auth_namespace(namespace.as_str());
    }
    if let Some(pem) = &settings.ca_cert_pem {
        builder = builder.ca_cert_pem(pem.as_str());
    }
    if let Some((certificate, key)) = &settings.client_cert {
        builder = builder.client_cert(ClientCert::new(certificate.as_str(), key.expose_secret()));
    }
    if let Some(name) = &settings.tls_server_name {
        builder = builder.tls_server_name(name.as_str());
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(proxy.as_str());
    }
    Ok(builder.build()?)
}

/// Tries the mount and the token. An outage is handed back; what waiting would not mend is refused.
pub(super) async fn refuse_unless_usable(vault: &VaultKv2, settings: &Vault) -> Result<Option<Error>, StartError> {
    match vault.check().await {
        Ok(()) => Ok(None),
        Err(error) if error.is_retryable() => Ok(Some(error)),
        Err(error) if error.kind() == ErrorKind::Denied => {
            Err(ConfigError::new(settings.auth.setting(), because(&error)).into())
        }
        Err(error) if let Some(setting) = unreadable_file(&error) => {
            let problem = "names a file that cannot be read, is empty or holds no text: look at whoever writes it";
            Err(ConfigError::new(setting, problem).into())
        }
        Err(error) => Err(ConfigError::new("VAULT_KV_MOUNT", because(&error)).into()),
    }
}

/// The setting whose file the login could not read.
fn unreadable_file(error: &Error) -> Option<&'static str> {
    let file: &UnreadableFile = error.source()?.downcast_ref()?;
    Some(name_of(file.setting()))
}

/// What the settings of the library are called here.
fn name_of(setting: Setting) -> &'static str {
    match setting {
        Setting::Address => "VAULT_ADDR",
        Setting::Auth => "VAULT_AUTH",
        Setting::AuthMount => "VAULT_AUTH_MOUNT",
        Setting::AuthNamespace => "VAULT_AUTH_NAMESPACE",
        Setting::CaCert => "VAULT_CACERT",
        Setting::ClientCert => "VAULT_CLIENT_CERT",
        Setting::ClientKey => "VAULT_CLIENT_KEY",
        Setting::JwtFile => "VAULT_K8S_JWT_FILE",
        Setting::KubernetesRole => "VAULT_K8S_ROLE",
        Setting::Mount => "VAULT_KV_MOUNT",
        Setting::Namespace => "VAULT_NAMESPACE",
        Setting::PlainHttp => "VAULT_ALLOW_PLAIN_HTTP",
        Setting::Prefix => "VAULT_PREFIX",
        Setting::RoleId => "VAULT_ROLE_ID",
        Setting::SecretId => "VAULT_SECRET_ID",
        Setting::SecretIdFile => "VAULT_SECRET_ID_FILE",
        Setting::TlsServerName => "VAULT_TLS_SERVER_NAME",
        Setting::Token => "VAULT_TOKEN",
        Setting::TokenFile => "VAULT_TOKEN_FILE",
        // Of these a server has no choice.
        Setting::Instance | Setting::Layout | Setting::Member => setting.method(),
    }
}

fn auth(settings: &config::VaultAuth) -> VaultAuth {
    match settings {
        config::VaultAuth::Token(token) => token.expose_secret().into(),
        config::VaultAuth::TokenFile(path) => VaultAuth::TokenFile(path.clone()),
        config::VaultAuth::AppRole { role_id, secret_id, wrapped, mount } => {
            let role_id = role_id.expose_secret();
            let role = match secret_id {
                Some(SecretId::Text(text)) => AppRole::new(role_id, text.expose_secret()),
                Some(SecretId::File(path)) => AppRole::with_secret_id_file(role_id, path),
                None => AppRole::without_secret_id(role_id),
            };
            let role = if *wrapped { role.wrapped() } else { role };
            VaultAuth::AppRole(match mount {
                Some(mount) => role.mount(mount),
                None => role,
            })
        }
        config::VaultAuth::Kubernetes { role, jwt_file, mount } => {
            let mut account = Kubernetes::new(role);
            if let Some(path) = jwt_file {
                account = account.jwt_file(path);
            }
            if let Some(mount) = mount {
                account = account.mount(mount);
            }
            VaultAuth::Kubernetes(account)
        }
        config::VaultAuth::Agent => VaultAuth::Agent,
    }
}

fn because(error: &Error) -> String {
    format!("does not work: {error}; `agentidp-server check` says more")
}
