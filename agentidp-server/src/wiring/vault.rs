//! Vault from its settings.

use agentidp_secrets::backends::VaultKv2;
use agentidp_secrets::{Error, ErrorKind};

use super::StartError;
use crate::config::{ConfigError, Vault};

/// The documented folder in the mount.
pub(super) const PREFIX: &str = "agentidp";

/// The client, without any layer around it. Nothing is sent yet.
///
/// # Errors
/// [`StartError`] naming the setting that cannot work.
pub(crate) fn backend(settings: &Vault) -> Result<VaultKv2, StartError> {
    let mut builder = VaultKv2::builder(settings.address.as_str(), settings.token.expose_secret())
        .mount(settings.mount.as_str())
        .prefix(PREFIX)
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .write_timeout(settings.write_timeout)
        .danger_allow_plain_http(settings.allow_plain_http);
    if let Some(namespace) = &settings.namespace {
        builder = builder.namespace(namespace.as_str());
    }
    if let Some(pem) = &settings.ca_cert_pem {
        builder = builder.ca_cert_pem(pem.as_str());
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(proxy.as_str());
    }
    Ok(builder.build()?)
}

/// Tries the mount and the token. An outage is handed back; what waiting would not mend is refused.
pub(super) async fn refuse_unless_usable(vault: &VaultKv2) -> Result<Option<Error>, StartError> {
    match vault.check().await {
        Ok(()) => Ok(None),
        Err(error) if error.is_retryable() => Ok(Some(error)),
        Err(error) if error.kind() == ErrorKind::Denied => Err(ConfigError::new("VAULT_TOKEN", because(&error)).into()),
        Err(error) => Err(ConfigError::new("VAULT_KV_MOUNT", because(&error)).into()),
    }
}

fn because(error: &Error) -> String {
    format!("does not work: {error}; `agentidp-server check` says more")
}
