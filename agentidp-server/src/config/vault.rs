//! `VAULT_*`: with an address there is a Vault.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::lookup::Lookup;
use super::vault_path::{parse_namespace, parse_path};
use super::{ConfigError, Secret, VaultAuth};

/// Vault's own default mount of KV version 2.
const DEFAULT_MOUNT: &str = "secret";

/// What Vault keeps unless `max_versions` of the mount or the path says otherwise.
const DEFAULT_VERSIONS_KEPT: u64 = 10;

/// The documented folder.
const DEFAULT_PREFIX: &str = "agentidp";

/// What the library allows.
const LONGEST_PREFIX: usize = 128;

/// The library's own default, which it explains.
const DEFAULT_MAX_CONNECTION_AGE: Duration = Duration::from_secs(300);

/// Where secrets live.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vault {
    /// The server's address; those of a cluster's nodes are separated by commas.
    pub address: String,
    /// Where the token comes from.
    pub auth: VaultAuth,
    /// The mount of KV version 2.
    pub mount: String,
    /// How many versions of a secret Vault keeps.
    pub versions_kept: u64,
    /// Our folder in the mount.
    pub prefix: String,
    /// The namespace, where there is one.
    pub namespace: Option<String>,
    /// The namespace of the token; none: that of the secrets; an empty one: that at the top.
    pub auth_namespace: Option<String>,
    /// Certificates to trust, as PEM.
    pub ca_cert_pem: Option<String>,
    /// What is shown to a Vault that asks for a certificate: it and its key, as PEM.
    pub client_cert: Option<(String, Secret)>,
    /// The name in Vault's certificate, where it is not the host of the address.
    pub tls_server_name: Option<String>,
    /// Whether the token may travel unencrypted to another machine.
    pub allow_plain_http: bool,
    /// The proxy on the way to Vault; the usual proxy variables are not read.
    pub proxy: Option<String>,
    /// The longest a connection may take to come about.
    pub connect_timeout: Duration,
    /// The longest a connection is kept unused.
    pub idle_timeout: Duration,
    /// The longest a connection is used.
    pub max_connection_age: Duration,
    /// The longest one read may take.
    pub read_timeout: Duration,
    /// The longest one write may take.
    pub write_timeout: Duration,
}

impl Vault {
    /// None when `VAULT_ADDR` is unset: then the other settings are looked at, but not used.
    pub(super) fn read(lookup: &Lookup<'_>, warnings: &mut Vec<String>) -> Result<Option<Self>, ConfigError> {
        let allow_plain_http = lookup.flag("VAULT_ALLOW_PLAIN_HTTP")?.unwrap_or(false);
        let mount = mount(lookup, warnings)?;
        let versions_kept = lookup.parsed("VAULT_MAX_VERSIONS", "a number from 2 to 1000", |text| {
            text.parse().ok().filter(|versions| (2..=1000).contains(versions))
        })?;
        let expected = "a folder below the mount such as agentidp or team/agentidp, 128 characters at most";
        let prefix = lookup.parsed("VAULT_PREFIX", expected, |text| {
            parse_path(text).filter(|prefix| prefix.len() <= LONGEST_PREFIX)
        })?;
        let namespace =
            lookup.parsed("VAULT_NAMESPACE", "a namespace path such as team/apps", parse_namespace)?.flatten();
        let auth_namespace = lookup.parsed(
            "VAULT_AUTH_NAMESPACE",
            "a namespace path such as team, or / for that at the top",
            parse_namespace,
        )?;
        let tls_server_name =
            lookup.parsed("VAULT_TLS_SERVER_NAME", "the name of a host such as vault.example", parse_host)?;
        let proxy = lookup.parsed("VAULT_PROXY", "an http or https URL of a proxy", |text| {
            parse_base_url(text).map(|_| text.to_owned())
        })?;
        let connect_timeout = timeout(lookup, "VAULT_CONNECT_TIMEOUT", 500)?;
        let read_timeout = timeout(lookup, "VAULT_READ_TIMEOUT", 1000)?;
        let write_timeout = timeout(lookup, "VAULT_WRITE_TIMEOUT", 2000)?;
        let idle_timeout = timeout(lookup, "VAULT_IDLE_TIMEOUT", 30_000)?;
        let hour = Duration::from_secs(3600);
        let max_connection_age = lookup.duration("VAULT_MAX_CONNECTION_AGE", Duration::from_secs(1)..=hour)?;
        let expected = "an address without /v1, such as https://vault.example:8200, https://gateway.example/vault or \
                        unix:///run/vault-agent.sock, or several separated by commas";
        let parse = |text: &str| text.split(',').map(parse_address).collect::<Option<Vec<_>>>();
        let Some(addresses) = lookup.parsed("VAULT_ADDR", expected, parse)? else {
            // Files that would be needed with an address are left alone, their names still count as known.
            VaultAuth::name_all(lookup);
            let _ = ["VAULT_CACERT", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY"].map(|name| lookup.text(name));
            return Ok(None);
        };
        for (url, _) in &addresses {
            refuse_plain_http(url, allow_plain_http)?;
        }
        let addresses: Vec<_> = addresses.into_iter().map(|(_, address)| address).collect();
        Ok(Some(Self {
            address: addresses.join(","),
            auth: VaultAuth::read(lookup, warnings)?,
            mount,
            versions_kept: versions_kept.unwrap_or(DEFAULT_VERSIONS_KEPT),
            prefix: prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
            namespace,
            auth_namespace: auth_namespace.map(Option::unwrap_or_default),
            ca_cert_pem: certificates(lookup, "VAULT_CACERT")?,
            client_cert: client_cert(lookup)?,
            tls_server_name,
            allow_plain_http,
            proxy,
            connect_timeout,
            idle_timeout,
            max_connection_age: max_connection_age.unwrap_or(DEFAULT_MAX_CONNECTION_AGE),
            read_timeout,
            write_timeout,
        }))
    }
}

impl Vault {
    /// What the database calls our folder in Vault. A namespace may be part of the mount instead.
    #[must_use]
    pub fn folder(&self) -> String {
        let parts = self.namespace.iter().chain([&self.mount, &self.prefix]);
        parts.map(String::as_str).collect::<Vec<_>>().join("/")
    }
}

/// A time in milliseconds where the setting gives none: the library's own defaults, which it explains.
fn timeout(lookup: &Lookup<'_>, name: &'static str, default: u64) -> Result<Duration, ConfigError> {
    let time = lookup.duration(name, Duration::from_millis(10)..=Duration::from_secs(60))?;
    Ok(time.unwrap_or(Duration::from_millis(default)))
}

fn mount(lookup: &Lookup<'_>, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
    let expected = "a mount path such as secret or team/kv";
    let preferred = lookup.parsed("VAULT_KV_MOUNT", expected, parse_path)?;
    let documented = lookup.parsed("VAULT_MOUNT", expected, parse_path)?;
    if let (Some(preferred), Some(documented)) = (&preferred, &documented)
        && preferred != documented
    {
        warnings.push(format!("VAULT_KV_MOUNT ({preferred}) wins over VAULT_MOUNT ({documented}): unset one of them"));
    }
    Ok(preferred.or(documented).unwrap_or_else(|| DEFAULT_MOUNT.to_owned()))
}

fn certificates(lookup: &Lookup<'_>, name: &'static str) -> Result<Option<String>, ConfigError> {
    let pem = lookup.file(name)?;
    match pem {
        Some(pem) if !pem.contains("-----BEGIN CERTIFICATE-----") => {
            Err(ConfigError::new(name, "must name a file with PEM certificates (-----BEGIN CERTIFICATE-----)"))
        }
        pem => Ok(pem),
    }
}

fn client_cert(lookup: &Lookup<'_>) -> Result<Option<(String, Secret)>, ConfigError> {
    let lone = |name, other| {
        Err(ConfigError::new(name, format_args!("is missing while {other} is set: a certificate goes with its key")))
    };
    let key = lookup.text("VAULT_CLIENT_KEY").map(|path| lookup.secret_file("VAULT_CLIENT_KEY", &path));
    match (certificates(lookup, "VAULT_CLIENT_CERT")?, key.transpose()?) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (None, Some(_)) => lone("VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY"),
        (Some(_), None) => lone("VAULT_CLIENT_KEY", "VAULT_CLIENT_CERT"),
    }
}

/// The token and every secret would travel in the clear.
fn refuse_plain_http(address: &Url, allowed: bool) -> Result<(), ConfigError> {
    let loopback = match address.host() {
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if address.scheme() != "http" || loopback || allowed {
        return Ok(());
    }
    Err(ConfigError::new(
        "VAULT_ADDR",
        "is plain http to another machine, which would send the token and every secret unencrypted: use https, or set \
         VAULT_ALLOW_PLAIN_HTTP=true where the network itself is private",
    ))
}

/// An address as Vault's own clients have it, parsed and as text. The library looks more closely.
fn parse_address(text: &str) -> Option<(Url, String)> {
    let text = text.trim();
    let url = Url::parse(text).ok()?;
    let sound = match url.scheme() {
        "http" | "https" if url.path().contains("//") => false,
        "http" | "https" => {
            url.path() != "/v1" && url.query().is_none() && url.fragment().is_none() && is_anonymous(&url)
        }
        "unix" => url.host().is_none() && text.starts_with("unix:///"),
        _ => false,
    };
    sound.then(|| (url, text.trim_end_matches('/').to_owned()))
}

fn parse_host(text: &str) -> Option<String> {
    matches!(Host::parse(text), Ok(Host::Domain(_))).then(|| text.to_owned())
}

/// Credentials belong into the token.
fn is_anonymous(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// `scheme://host[:port]`: nothing else belongs to a proxy.
fn parse_base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && bare && is_anonymous(&url)).then_some(url)
}
