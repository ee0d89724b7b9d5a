//! The addresses of a server or of a cluster's nodes, as an operator writes them.

use std::path::{Path, PathBuf};

use http::HeaderValue;
use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::vault::setting::{Names, Setting};

/// Where requests go, and how a connection to it comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Scheme, host, port and path, as error texts and logs name them.
    pub(crate) named: String,
    /// What the paths of the API follow.
    pub(super) base: Url,
    pub(super) way: Way,
}

/// How a connection comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the host of the URL.
    Direct,
    /// To another host: the URL has the name that TLS asks for. `header` is what the server knows as its own host.
    Instead { host: Host, header: HeaderValue },
    /// To a socket of this machine.
    Socket(PathBuf),
}

/// Reads addresses that are separated by commas.
///
/// # Errors
/// `InvalidConfig`, without the text: it may hold a password.
pub(crate) fn parse_addresses(text: &str, allow_plain_http: bool, names: Names) -> Result<Vec<Address>> {
    let mut addresses: Vec<Address> = Vec::new();
    for part in text.split(',') {
        let address = parse_address(part.trim(), allow_plain_http, names)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

impl Address {
    pub(super) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// The same server, whose certificate is for this name. Plain http and sockets have no certificate.
    pub(crate) fn with_tls_server_name(mut self, name: &str, names: Names) -> Result<Self> {
        let malformed = || {
            let setting = names.of(Setting::TlsServerName);
            invalid(format!("the TLS server name is the name of a host, without scheme and port: {setting}"))
        };
        let Ok(Host::Domain(name)) = Host::parse(name) else { return Err(malformed()) };
        let own = self.base.host().map(|host| host.to_owned());
        if let (false, Way::Direct, Some(host)) = (self.is_plain(), &self.way, own) {
            let port = self.base.port().map(|port| format!(":{port}")).unwrap_or_default();
            let header = HeaderValue::try_from(format!("{host}{port}")).map_err(|_| malformed())?;
            self.base.set_host(Some(&name)).map_err(|_| malformed())?;
            self.way = Way::Instead { host, header };
        }
        Ok(self)
    }
}

fn parse_address(text: &str, allow_plain_http: bool, names: Names) -> Result<Address> {
    let malformed = || {
        invalid(format!(
            "a Vault address is http://host:port, https://host:port or https://host/path, without /v1, user and query, or \
             unix:///path/of/a/socket; several are separated by commas: {}",
            names.of(Setting::Address)
        ))
    };
    if let Some(path) = text.strip_prefix("unix://") {
        return socket(path).ok_or_else(malformed);
    }
    let url = Url::parse(text).map_err(|_| malformed())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        // `/v1` is added, not given.
        && url.path() != "/v1"
        && !url.path().contains("//");
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(malformed()),
    };
    match url.scheme() {
        _ if !bare => Err(malformed()),
        "https" => Ok(direct(url)),
        "http" if local || allow_plain_http => Ok(direct(url)),
        "http" => Err(invalid(format!(
            "plain http to another host shows the token and every secret to the network: use https in {}, or set {} to \
             true if the network is private",
            names.of(Setting::Address),
            names.of(Setting::PlainHttp)
        ))),
        _ => Err(malformed()),
    }
}

fn direct(mut base: Url) -> Address {
    let path = base.path().trim_end_matches('/').to_owned();
    let named = format!("{}{path}", base.origin().ascii_serialization());
    base.set_path(&format!("{path}/v1"));
    Address { named, base, way: Way::Direct }
}

/// Plain http over a socket, as Vault's own clients speak it. The host is what they say, too.
#[cfg(unix)]
fn socket(path: &str) -> Option<Address> {
    // Neither relative nor longer than the system takes.
    let usable = path.starts_with('/') && std::os::unix::net::SocketAddr::from_pathname(path).is_ok();
    let base = Url::parse("http://localhost/v1").ok().filter(|_| usable)?;
    Some(Address { named: format!("unix://{path}"), base, way: Way::Socket(Path::new(path).to_owned()) })
}

#[cfg(not(unix))]
fn socket(_: &str) -> Option<Address> {
    None
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Address {
        parse_addresses(text, false, Names::default()).unwrap().remove(0)
    }

    #[test]
    fn the_api_follows_the_path_of_the_address() {
        for (text, base, named) in [
            ("https://h:8200", "https://h:8200/v1", "https://h:8200"),
            ("https://h/", "https://h/v1", "https://h"),
            ("https://h/vault", "https://h/vault/v1", "https://h/vault"),
            ("https://h/a/b/", "https://h/a/b/v1", "https://h/a/b"),
        ] {
            let address = one(text);
            assert_eq!((address.base.as_str(), address.named.as_str()), (base, named), "{text}");
        }
    }

    #[test]
    fn a_socket_of_this_machine_is_an_address() {
        let address = one("unix:///run/agent.sock");
        assert_eq!(address.named, "unix:///run/agent.sock");
        assert_eq!(address.way, Way::Socket(PathBuf::from("/run/agent.sock")));
        for text in [
            "https://h/v1",
            "unix://",
            "unix://run/agent.sock",
            &format!("unix:///{}", "a".repeat(108)),
            "unix:/run/agent.sock",
        ] {
            assert!(parse_addresses(text, true, Names::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_server_is_called_by_the_name_in_its_certificate_and_keeps_its_host() {
        let named = |text: &str, name: &str| one(text).with_tls_server_name(name, Names::default());
        let address = named("https://10.0.0.7:8200/vault", "vault.internal").unwrap();
        assert_eq!(address.base.as_str(), "https://vault.internal:8200/vault/v1");
        assert_eq!(address.named, "https://10.0.0.7:8200/vault");
        let Way::Instead { host, header } = address.way else { panic!("{address:?}") };
        assert_eq!((host.to_string().as_str(), header.as_bytes()), ("10.0.0.7", &b"10.0.0.7:8200"[..]));
        assert_eq!(named("http://127.0.0.1", "vault.internal").unwrap(), one("http://127.0.0.1"));
        for name in ["", "10.0.0.7", "[::1]", "https://h", "h:8200", "a b"] {
            assert!(named("https://h", name).unwrap_err().to_string().contains("`VaultKv2Builder::tls_server_name`"));
        }
    }
}
