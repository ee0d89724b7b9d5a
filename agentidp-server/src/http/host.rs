//! Which host a request is for.

use std::net::Ipv6Addr;

use hyper::header::HOST;
use hyper::{Request, Version};

use crate::error::{ApiError, ApiResult};

/// Makes sure that the request names one host, and names it well (RFC 9112 §3.2, RFC 9113 §8.3.1). HTTP/1.0 may leave it out.
///
/// # Errors
/// `Validation`.
pub(crate) fn check_host<B>(request: &Request<B>) -> ApiResult<()> {
    let mut values = request.headers().get_all(HOST).iter();
    if request.uri().authority().is_some_and(|target| !is_host(target.as_str())) {
        return Err(unsound());
    }
    // HTTP/2 names the host in the request's target. With HTTP/1.1 the target wins where it has one, and the header must be sent.
    let target = request.uri().authority().filter(|_| request.version() == Version::HTTP_2);
    let sound = match (values.next(), values.next()) {
        (None, _) if request.version() == Version::HTTP_10 => true,
        (None, _) => target.is_some(),
        (Some(host), None) => {
            let host = host.to_str().unwrap_or_default();
            is_host(host) && target.is_none_or(|target| target.as_str().eq_ignore_ascii_case(host))
        }
        (Some(_), Some(_)) => false,
    };
    if sound { Ok(()) } else { Err(unsound()) }
}

fn unsound() -> ApiError {
    ApiError::field("Host", "must be one host name with an optional port")
}

/// Whether the text is a host with an optional port (RFC 3986 §3.2). An http URI has no empty host (RFC 9110 §4.2.1).
fn is_host(text: &str) -> bool {
    let port_is_sound = |port: &str| port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && port_is_sound(port);
    }
    let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    let mut escapes = name.split('%').skip(1).map(|rest| rest.as_bytes().get(..2));
    let is_escape = |digits: Option<&[u8]>| digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    !name.is_empty() && name.bytes().all(plain) && escapes.all(is_escape) && port_is_sound(port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, hosts: &[&[u8]]) -> bool {
        let request = Request::builder().version(version).uri(uri);
        let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
        check_host(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn one_host_that_is_one() {
        let http11 = |hosts: &[&[u8]]| request(Version::HTTP_11, "/health", hosts);
        for fine in ["localhost", "idp.example:3000", "127.0.0.1", "[::1]:3000", "[::1]", "a_b.example", "a:", "a%2db"]
        {
            assert!(http11(&[fine.as_bytes()]), "{fine}");
        }
        let broken: [&[u8]; 20] = [
            b"a%zz", b"a%", b"a%4", b"", b" ", b"a b", b"a/b", b"a@b", b"a:b", b"a:65536", b"a:1:2", b":80", b"[::1",
            b"[a]", b"[::1]a", b"::1", b"a?b", b"a#b", b"a\\b", b"\xff",
        ];
        for broken in broken {
            assert!(!http11(&[broken]), "{}", broken.escape_ascii());
        }
        assert!(!http11(&[]), "none");
        assert!(!http11(&[b"a", b"a"]), "two");
        assert!(request(Version::HTTP_10, "/health", &[]));
        assert!(!request(Version::HTTP_10, "/health", &[b"a b"]));
        assert!(!request(Version::HTTP_11, "http://a/health", &[]), "a target with a host is none in the header");
        assert!(request(Version::HTTP_11, "http://b/health", &[b"a"]), "the target's counts");
        assert!(!request(Version::HTTP_11, "http://user@a/health", &[b"a"]), "RFC 9110 §4.2.4");
    }

    #[test]
    fn http2_names_it_in_the_target_and_may_repeat_it() {
        let http2 = |hosts: &[&[u8]]| request(Version::HTTP_2, "http://a.example:1/health", hosts);
        assert!(http2(&[]) && http2(&[b"A.example:1"]));
        assert!(!http2(&[b"b.example"]) && !http2(&[b""]));
        assert!(request(Version::HTTP_2, "/health", &[b"a"]) && !request(Version::HTTP_2, "/health", &[]));
    }
}
