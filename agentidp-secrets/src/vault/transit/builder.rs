//! How a [`VaultTransit`] is set up.

use std::sync::Arc;
use std::time::Duration;

use super::VaultTransit;
use super::client::TransitClient;
use super::newest::NewestVersion;
use super::site::TransitSite;
use super::text::{is_key, parameters};
use crate::backend::{BackendInfo, Custody};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::record::BackendId;
use crate::vault::auth::{ClientCert, VaultAuth};
use crate::vault::builder::{Connected, VaultKv2Builder};
use crate::vault::config::VaultKv2Config;
use crate::vault::path::Folder;
use crate::vault::setting::Setting;

/// Sets up a [`VaultTransit`]. Everything is checked in [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct VaultTransitBuilder {
    /// The settings of the way to Vault. What it says of a mount is not looked at.
    way: VaultKv2Builder,
    mount: String,
    key: String,
}

impl VaultTransit {
    /// Sets up a backend on the server at `address`, or on a cluster whose nodes' addresses are separated by commas, with the `key` of
    /// its transit engine. A text for `auth` is the token.
    pub fn builder(
        address: impl Into<String>,
        auth: impl Into<VaultAuth>,
        key: impl Into<String>,
    ) -> VaultTransitBuilder {
        let way = VaultKv2Config::new(address, auth).into_builder().setting_names(method);
        VaultTransitBuilder { way, mount: "transit".to_owned(), key: key.into() }
    }
}

/// The settings of the way to Vault, which are those of the other backend.
macro_rules! of_the_way {
    ($($(#[$doc:meta])* $setting:ident($value:ident: $type:ty);)*) => {
        impl VaultTransitBuilder {
            $(
                $(#[$doc])*
                pub fn $setting(mut self, $value: $type) -> Self {
                    self.way = self.way.$setting($value);
                    self
                }
            )*
        }
    };
}

of_the_way! {
    /// As [`VaultKv2Builder::namespace`].
    namespace(namespace: impl Into<String>);
    /// As [`VaultKv2Builder::auth_namespace`].
    auth_namespace(namespace: impl Into<String>);
    /// As [`VaultKv2Builder::ca_cert_pem`].
    ca_cert_pem(pem: impl Into<String>);
    /// As [`VaultKv2Builder::client_cert`].
    client_cert(client_cert: ClientCert);
    /// As [`VaultKv2Builder::tls_server_name`].
    tls_server_name(name: impl Into<String>);
    /// As [`VaultKv2Builder::proxy`].
    proxy(url: impl Into<String>);
    /// As [`VaultKv2Builder::connect_timeout`].
    connect_timeout(timeout: Duration);
    /// As [`VaultKv2Builder::idle_timeout`].
    idle_timeout(timeout: Duration);
    /// As [`VaultKv2Builder::max_connection_age`].
    max_connection_age(age: Duration);
    /// As [`VaultKv2Builder::read_timeout`]. It is that of every verification, issue and rotation: none changes anything in Vault.
    read_timeout(timeout: Duration);
    /// As [`VaultKv2Builder::write_timeout`]. It is that of logins.
    write_timeout(timeout: Duration);
    /// As [`VaultKv2Builder::danger_allow_plain_http`].
    danger_allow_plain_http(allow: bool);
    /// As [`VaultKv2Builder::clock`].
    clock(clock: Arc<dyn Clock>);
    /// As [`VaultKv2Builder::setting_names`].
    setting_names(names: fn(Setting) -> &'static str);
}

impl VaultTransitBuilder {
    /// The mount of the transit engine. Default `transit`.
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// Checks every setting and makes the backend. Nothing is sent: [`VaultTransit::check`] does that.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting. The message does not repeat the address, which may hold a password.
    pub fn build(self) -> Result<VaultTransit> {
        let Self { way, mount, key } = self;
        let (names, clock) = (way.names(), way.shared_clock());
        let mount = mount.trim_matches('/').to_owned();
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidConfig, message));
        if !Folder::is_folder(&mount) {
            let setting = names.of(Setting::Mount);
            return invalid(format!("the mount is 1 to 128 bytes of A-Z a-z 0-9 . _ - in segments: {setting}"));
        }
        if !is_key(&key) {
            return invalid(
                "the key is 1 to 128 bytes of A-Z a-z 0-9 . _ -, and neither . nor - at an end: `VaultTransit::builder`".to_owned(),
            );
        }
        let Connected { session, address } = way.connect()?;
        let info = BackendInfo::new(BackendId::VAULT_TRANSIT, Custody::Record)
            .with_max_secret_len(VaultTransit::MAX_SECRET_LEN)
            .with_remote()
            .with_bound_records()
            .with_parameters(parameters);
        let client = TransitClient { session, site: TransitSite { address, mount, key, names } };
        Ok(VaultTransit { info, client: Arc::new(client), newest: Arc::new(NewestVersion::new(clock)) })
    }
}

/// What error texts call the settings.
fn method(setting: Setting) -> &'static str {
    match setting {
        Setting::Address => "the address of `VaultTransit::builder`",
        Setting::AuthNamespace => "`VaultTransitBuilder::auth_namespace`",
        Setting::CaCert => "`VaultTransitBuilder::ca_cert_pem`",
        Setting::ClientCert => "`VaultTransitBuilder::client_cert`",
        Setting::Mount => "`VaultTransitBuilder::mount`",
        Setting::Namespace => "`VaultTransitBuilder::namespace`",
        Setting::PlainHttp => "`VaultTransitBuilder::danger_allow_plain_http`",
        Setting::TlsServerName => "`VaultTransitBuilder::tls_server_name`",
        other => other.method(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::assert_redacted;

    /// What an engine without entries has no use for.
    const OF_KV: [Setting; 4] = [Setting::Prefix, Setting::Layout, Setting::Member, Setting::Instance];

    fn refusal(builder: VaultTransitBuilder) -> String {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.to_string()
    }

    #[test]
    fn settings_are_refused_by_the_names_of_this_builder() {
        let with_key = |key: &str| VaultTransit::builder("http://127.0.0.1:8200", "s.canary", key);
        for key in ["", ".", "-a", "a-", "a/b", "a b", "a%", "ä", &"k".repeat(129)] {
            assert!(refusal(with_key(key)).contains("`VaultTransit::builder`"), "{key}");
        }
        assert!(refusal(with_key("k").mount("a//b")).contains("`VaultTransitBuilder::mount`"));
        assert!(refusal(with_key("k").namespace("a b")).contains("`VaultTransitBuilder::namespace`"));
        assert!(refusal(VaultTransit::builder("nonsense", "t", "k")).contains("`VaultTransit::builder`"));
        assert!(with_key("a.b-c_1").mount("/team/transit/").build().is_ok());
        for &setting in Setting::ALL.iter().filter(|setting| !OF_KV.contains(setting)) {
            assert!(!method(setting).contains("VaultKv2"), "{setting:?}");
        }
    }

    #[test]
    fn nothing_shows_the_token() {
        let builder = VaultTransit::builder("https://h", "s.canary-canary", "k");
        assert_redacted(&builder, "s.canary-canary");
        assert_redacted(&builder.build().unwrap(), "s.canary-canary");
    }
}
