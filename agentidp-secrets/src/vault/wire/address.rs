//! The addresses of a server or of a cluster's nodes, as an operator writes them.

use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};

/// Reads addresses that are separated by commas.
///
/// # Errors
/// `InvalidConfig`, without the text: it may hold a password.
pub(crate) fn parse_addresses(text: &str, allow_plain_http: bool) -> Result<Vec<Url>> {
    let mut bases: Vec<Url> = Vec::new();
    for part in text.split(',') {
        let base = parse_address(part, allow_plain_http)?;
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    Ok(bases)
}

fn parse_address(text: &str, allow_plain_http: bool) -> Result<Url> {
    let form = "the Vault address is http://host:port or https://host:port and nothing else, several separated by \
                commas: VAULT_ADDR";
    let url = Url::parse(text.trim()).map_err(|_| invalid(form))?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(invalid(form)),
    };
    match url.scheme() {
        _ if !bare => Err(invalid(form)),
        "https" => Ok(url),
        "http" if local || allow_plain_http => Ok(url),
        "http" => Err(invalid(
            "plain http to another host shows the token and every secret to the network: use https in VAULT_ADDR, or \
             set VAULT_ALLOW_PLAIN_HTTP=true if the network is private",
        )),
        _ => Err(invalid(form)),
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
