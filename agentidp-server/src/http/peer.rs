//! Where a request came from.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, HeaderName, USER_AGENT};
use ipnet::IpNet;

use crate::domain::Origin;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What other proxies write instead. Nothing reads them.
const OTHERS: [HeaderName; 2] = [HeaderName::from_static("forwarded"), HeaderName::from_static("x-real-ip")];

/// Longest `User-Agent` in characters that is kept.
const MAX_USER_AGENT: usize = 512;

/// The origin of a request that `peer` sent. `X-Forwarded-For` counts only as far as trusted proxies wrote it.
pub(crate) fn origin(headers: &HeaderMap, peer: SocketAddr, trusted: &[IpNet]) -> Origin {
    let user_agent = headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Origin {
        ip_address: sender(headers, peer, trusted),
        user_agent: user_agent
            .map(|text| text.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect())
            .unwrap_or_default(),
    }
}

/// The address alone.
pub(crate) fn sender(headers: &HeaderMap, peer: SocketAddr, trusted: &[IpNet]) -> IpAddr {
    address(headers, peer.ip().to_canonical(), trusted)
}

/// The header by which a peer says for whom it asks, where that does not count: it is no trusted proxy, or writes none that is
/// read.
pub(crate) fn uncounted_header(headers: &HeaderMap, peer: SocketAddr, trusted: &[IpNet]) -> Option<HeaderName> {
    let peer = peer.ip().to_canonical();
    if headers.contains_key(X_FORWARDED_FOR) {
        return (!trusted.iter().any(|network| network.contains(&peer))).then_some(X_FORWARDED_FOR);
    }
    OTHERS.into_iter().find(|name| headers.contains_key(name))
}

/// Goes from the peer backwards through the forwarded addresses for as long as each was written by a trusted proxy.
fn address(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut address = peer;
    for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
        // A proxy appends to what it was sent, which may be anything.
        for entry in value.as_bytes().rsplit(|byte| *byte == b',') {
            match std::str::from_utf8(entry).ok().and_then(|entry| parse(entry.trim())) {
                Some(forwarded) if is_trusted(address) => address = forwarded,
                _ => return address,
            }
        }
    }
    address
}

/// An address, with or without a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| entry.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn seen<T: AsRef<[u8]>>(peer: &str, forwarded: &[T]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(value.as_ref()).unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        origin(&headers, SocketAddr::new(peer.parse().unwrap(), 1), &trusted).ip_address.to_string()
    }

    #[test]
    fn forwarded_addresses_count_as_far_as_trusted_proxies_wrote_them() {
        assert_eq!(seen("192.0.2.9", &["198.51.100.1"]), "192.0.2.9", "the peer is no proxy of ours");
        assert_eq!(seen::<&str>("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7, 198.51.100.1"]), "198.51.100.1", "the left one is a claim");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1, rubbish"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &[b"\xff, 198.51.100.1"]), "198.51.100.1", "whatever it was appended to");
        assert_eq!(seen("10.0.0.1", &[b"198.51.100.1, \xff"]), "10.0.0.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(seen("fd00::1", &["[2001:db8::1]"]), "2001:db8::1");
    }

    #[test]
    fn the_user_agent_is_cut_and_has_no_control_characters() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, format!("a\tb{}", "ü".repeat(600)).parse().unwrap());
        let origin = origin(&headers, SocketAddr::from(([192, 0, 2, 1], 1)), &[]);
        assert_eq!(origin.user_agent.chars().count(), 512);
        assert!(origin.user_agent.starts_with("abü"));
    }
}
