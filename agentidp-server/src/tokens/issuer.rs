//! Who issues tokens, and whose tokens count.

use std::net::SocketAddr;

use url::Url;

/// The one issuer of a server, fixed at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    url: String,
    /// Its path without a slash at the end, which is nothing for most.
    path: String,
    /// What a former start was called, before its port. Where the system chooses the port, each start has another.
    former: Option<String>,
}

impl Issuer {
    /// The URL that clients see. Compared as text.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        let path = Url::parse(&url).map_or_else(|_| String::new(), |url| url.path().trim_end_matches('/').to_owned());
        Self { url, path, former: None }
    }

    /// The address of a server whose port the system chose. Tokens of a former start on another port count, too.
    #[must_use]
    pub fn on_any_port(address: SocketAddr) -> Self {
        let fixed = Self::new(format!("http://{address}"));
        let origin = fixed.url.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        Self { former: Some(origin), ..fixed }
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of that URL as requests have it, without a slash at its end: empty, or `/tenants/a`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether `text` names this issuer.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let former = || self.former.as_deref().and_then(|origin| text.strip_prefix(origin));
        text == self.url
            || former()
                .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_has_no_slash_at_its_end() {
        for (url, path) in [
            ("https://idp.example", ""),
            ("https://idp.example/", ""),
            ("https://idp.example/tenants/a/", "/tenants/a"),
            ("https://idp.example/té", "/t%C3%A9"),
            ("http://[::1]:3000", ""),
        ] {
            assert_eq!(Issuer::new(url).path(), path, "{url}");
        }
    }

    #[test]
    fn another_port_counts_only_where_the_system_chose_it() {
        let (fixed, any) =
            (Issuer::new("http://127.0.0.1:3000"), Issuer::on_any_port("127.0.0.1:3000".parse().unwrap()));
        assert_eq!(fixed.url(), any.url());
        assert!(
            fixed.is("http://127.0.0.1:3000") && any.is("http://127.0.0.1:3000") && any.is("http://127.0.0.1:3001")
        );
        assert!(!fixed.is("http://127.0.0.1:3001"));
        assert!(Issuer::on_any_port("[::1]:9".parse().unwrap()).is("http://[::1]:3000"));
        for other in [
            "http://127.0.0.1",
            "http://127.0.0.1:",
            "http://127.0.0.1:a",
            "http://127.0.0.1:+1",
            "http://127.0.0.1:1/",
        ] {
            assert!(!any.is(other), "{other}");
        }
    }
}
