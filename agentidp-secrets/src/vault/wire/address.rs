//! The addresses of a server or of a cluster's nodes, as an operator writes them.

use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::vault::setting::{Names, Setting};

/// Reads addresses that are separated by commas.
///
/// # Errors
/// `InvalidConfig`, without the text: it may hold a password.
pub(crate) fn parse_addresses(text: &str, allow_plain_http: bool, names: Names) -> Result<Vec<Url>> {
    let mut bases: Vec<Url> = Vec::new();
    for part in text.split(',') {
        let base = parse_address(part, allow_plain_http, names)?;
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    Ok(bases)
}

fn parse_address(text: &str, allow_plain_http: bool, names: Names) -> Result<Url> {
    let malformed = || {
        invalid(format!(
            "the Vault address is http://host:port or https://host:port and nothing else, several separated by commas: {}",
            names.of(Setting::Address)
        ))
    };
    let url = Url::parse(text.trim()).map_err(|_| malformed())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(malformed()),
    };
    match url.scheme() {
        _ if !bare => Err(malformed()),
        "https" => Ok(url),
        "http" if local || allow_plain_http => Ok(url),
        "http" => Err(invalid(format!(
            "plain http to another host shows the token and every secret to the network: use https in {}, or set {} to \
             true if the network is private",
            names.of(Setting::Address),
            names.of(Setting::PlainHttp)
        ))),
        _ => Err(malformed()),
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
