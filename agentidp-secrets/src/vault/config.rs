//! The settings of a [`VaultKv2`](super::VaultKv2) as data, and their defaults.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::auth::{ClientCert, VaultAuth};

/// Settings of a [`VaultKv2`](super::VaultKv2) as data. Only the address and where the token comes from have no default.
///
/// ```
/// use agentidp_secrets::vault::VaultKv2Config;
///
/// let text = r#"{ "address": "http://127.0.0.1:8200", "auth": { "token": "s.x" } }"#;
/// let config: VaultKv2Config = serde_json::from_str(text)?;
/// assert_eq!(config.mount, "secret");
/// let vault = config.into_builder().build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct VaultKv2Config {
    /// The server as Vault's own clients have it: `https://vault.example:8200`, `https://gateway.example/vault`, or
    /// `unix:///run/vault-agent.sock`. The nodes of a cluster are separated by commas, so that another one is asked when
    /// one is down.
    pub address: String,
    /// Where the token comes from.
    pub auth: VaultAuth,
    /// The mount of the KV engine, version 2. Default `secret`.
    #[serde(default = "default_mount")]
    pub mount: String,
    /// Our folder on the mount. Default `agentidp`. Empty, with a layout of your own, it is the whole mount.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Where below the prefix a credential's entry lies. Default `agents/{client}/credentials/{credential}`.
    #[serde(default)]
    pub layout: Option<String>,
    /// The member of an entry that holds the secret. Default `clientSecret`.
    #[serde(default = "default_member")]
    pub member: String,
    /// Whether a write keeps what else the entry holds. Default yes where the layout or the member is another one than ours, so that
    /// nothing which other software has written is lost; else no.
    #[serde(default)]
    pub keep_other_members: Option<bool>,
    /// The name of this Vault where a store has several.
    #[serde(default)]
    pub instance: Option<String>,
    /// How many versions of a secret the mount keeps: its `max_versions`, or 10 where it has none. Default 10.
    #[serde(default = "default_versions_kept")]
    pub versions_kept: u64,
    /// The namespace, where the server has any. Empty is none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The namespace that the token is from, where it is another one than that of the secrets. Empty is the one at the top.
    #[serde(default)]
    pub auth_namespace: Option<String>,
    /// The only CA certificates to trust, in PEM form. Without it those of the system are.
    #[serde(default)]
    pub ca_cert_pem: Option<String>,
    /// What we show to a server that asks for a certificate.
    #[serde(default)]
    pub client_cert: Option<ClientCert>,
    /// The name in the server's certificate, where it is not the host of the address.
    #[serde(default)]
    pub tls_server_name: Option<String>,
    /// The proxy to go through. Proxy variables of the environment are never looked at.
    #[serde(default)]
    pub proxy: Option<String>,
    /// How long a connection may take to come up; in milliseconds in data. Default 500 ms.
    #[serde(default = "default_connect_timeout", deserialize_with = "milliseconds")]
    pub connect_timeout: Duration,
    /// How long a connection is kept that nobody uses; in milliseconds in data. Default 30 s.
    #[serde(default = "default_idle_timeout", deserialize_with = "milliseconds")]
    pub idle_timeout: Duration,
    /// How long a connection is used at the most; in milliseconds in data. Default 5 minutes.
    #[serde(default = "default_max_connection_age", deserialize_with = "milliseconds")]
    pub max_connection_age: Duration,
    /// How long one read may take as a whole, whichever nodes it asks; in milliseconds in data. Default 1 s.
    #[serde(default = "default_read_timeout", deserialize_with = "milliseconds")]
    pub read_timeout: Duration,
    /// How long one write may take as a whole, whichever nodes it asks; in milliseconds in data. Default 2 s.
    #[serde(default = "default_write_timeout", deserialize_with = "milliseconds")]
    pub write_timeout: Duration,
    /// Whether token and secrets may cross a network in clear. Default no.
    #[serde(default)]
    pub danger_allow_plain_http: bool,
}

impl VaultKv2Config {
    /// The settings for a server, or the nodes of a cluster separated by commas, and where the token comes from, with
    /// defaults for the rest.
    pub fn new(address: impl Into<String>, auth: impl Into<VaultAuth>) -> Self {
        Self {
            address: address.into(),
            auth: auth.into(),
            mount: default_mount(),
            prefix: default_prefix(),
            layout: None,
            member: default_member(),
            keep_other_members: None,
            instance: None,
            versions_kept: default_versions_kept(),
            namespace: None,
            auth_namespace: None,
            ca_cert_pem: None,
            client_cert: None,
            tls_server_name: None,
            proxy: None,
            connect_timeout: default_connect_timeout(),
            idle_timeout: default_idle_timeout(),
            max_connection_age: default_max_connection_age(),
            read_timeout: default_read_timeout(),
            write_timeout: default_write_timeout(),
            danger_allow_plain_http: false,
        }
    }

    pub(super) fn keeps_other_members(&self) -> bool {
        let are_ours = self.layout.is_none() && self.member == default_member();
        self.keep_other_members.unwrap_or(!are_ours)
    }
}

/// The address and the proxy may hold a password, so they are not shown.
impl fmt::Debug for VaultKv2Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultKv2Config")
            .field("auth", &self.auth)
            .field("mount", &self.mount)
            .field("prefix", &self.prefix)
            .field("layout", &self.layout)
            .field("member", &self.member)
            .field("keep_other_members", &self.keep_other_members)
            .field("instance", &self.instance)
            .field("versions_kept", &self.versions_kept)
            .field("namespace", &self.namespace)
            .field("auth_namespace", &self.auth_namespace)
            .finish_non_exhaustive()
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// What `-dev` servers and most guides mount.
fn default_mount() -> String {
    "secret".to_owned()
}

fn default_member() -> String {
    "clientSecret".to_owned()
}

fn default_versions_kept() -> u64 {
    10
}

fn default_prefix() -> String {
    "agentidp".to_owned()
}

/// A server that is up accepts within a few milliseconds; a dead host must not eat the whole budget.
fn default_connect_timeout() -> Duration {
    Duration::from_millis(500)
}

/// Below the 60 s after which common balancers drop one without a word.
fn default_idle_timeout() -> Duration {
    Duration::from_secs(30)
}

/// A changed name in DNS or a balancer's new target is taken up within this, at a few milliseconds of handshake.
fn default_max_connection_age() -> Duration {
    Duration::from_secs(300)
}

/// Reads take under 5 ms at the 99th percentile of a server that is not overloaded. A hung leader costs this much.
fn default_read_timeout() -> Duration {
    Duration::from_secs(1)
}

/// Writes on three replicated nodes took up to 150 ms at the 99th percentile under full load.
fn default_write_timeout() -> Duration {
    Duration::from_secs(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_data_too() {
        let text = r#"{"address":"http://localhost","auth":{"token":"s.canary"},"read_timeout":50}"#;
        let config: VaultKv2Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.read_timeout, Duration::from_millis(50));
        assert_eq!((config.mount.as_str(), config.prefix.as_str()), ("secret", "agentidp"));
        assert!(serde_json::from_str::<VaultKv2Config>(r#"{"address":"a","auth":{"token":"t"},"mout":"x"}"#).is_err());
    }
}
