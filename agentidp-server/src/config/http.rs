//! `TRUSTED_PROXIES`, `CORS_ORIGIN`, `MAX_CONNECTIONS`, `REQUEST_TIMEOUT`, `IDLE_TIMEOUT`, `SHUTDOWN_DELAY` and
//! `SHUTDOWN_TIMEOUT`.

use std::net::IpAddr;
use std::time::Duration;

use hyper::header::HeaderValue;
use ipnet::IpNet;
use url::Url;

use super::ConfigError;
use super::lookup::Lookup;

/// Each connection may cost a buffer and a file descriptor; many systems give a process 1024 of the latter by default,
/// and the database, Vault and the log need some too.
const DEFAULT_MAX_CONNECTIONS: usize = 900;

/// Longer than any documented operation takes, shorter than the patience of most clients.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Longer than the 60 seconds after which many load balancers let an idle connection go.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Who has no load balancer, or one that is told of a stop before the server is, would wait for nothing.
const DEFAULT_SHUTDOWN_DELAY: Duration = Duration::ZERO;

/// Shorter than the 30 seconds after which orchestrators kill.
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How connections and requests are handled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Http {
    /// Peers whose forwarded client address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The browser origin that may call the API, or `*`.
    pub cors_origin: Option<HeaderValue>,
    /// Connections served at a time; more wait to be accepted.
    pub max_connections: usize,
    /// The longest a request may take.
    pub request_timeout: Duration,
    /// How long a connection may stay idle after a request.
    pub idle_timeout: Duration,
    /// How long to go on serving, but not ready, once the process was asked to stop.
    pub shutdown_delay: Duration,
    /// The longest that requests in progress may hold up a shutdown.
    pub shutdown_timeout: Duration,
}

impl Http {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let second = Duration::from_secs(1);
        let proxies = lookup.parsed(
            "TRUSTED_PROXIES",
            "IP addresses or networks separated by commas, such as 10.0.0.0/8,192.0.2.7",
            parse_networks,
        )?;
        let origin = lookup.parsed(
            "CORS_ORIGIN",
            "* or one origin without a path, such as https://app.example",
            parse_origin,
        )?;
        let connections = lookup.parsed("MAX_CONNECTIONS", "a number from 1 to 100000", |text| {
            text.parse().ok().filter(|n| (1..=100_000).contains(n))
        })?;
        Ok(Self {
            trusted_proxies: proxies.unwrap_or_default(),
            cors_origin: origin,
            max_connections: connections.unwrap_or(DEFAULT_MAX_CONNECTIONS),
            request_timeout: lookup
                .duration("REQUEST_TIMEOUT", second..=second * 300)?
                .unwrap_or(DEFAULT_REQUEST_TIMEOUT),
            idle_timeout: lookup.duration("IDLE_TIMEOUT", second..=second * 3600)?.unwrap_or(DEFAULT_IDLE_TIMEOUT),
            shutdown_delay: lookup
                .duration("SHUTDOWN_DELAY", Duration::ZERO..=second * 300)?
                .unwrap_or(DEFAULT_SHUTDOWN_DELAY),
            shutdown_timeout: lookup
                .duration("SHUTDOWN_TIMEOUT", Duration::ZERO..=second * 300)?
                .unwrap_or(DEFAULT_SHUTDOWN_TIMEOUT),
        })
    }
}

fn parse_networks(text: &str) -> Option<Vec<IpNet>> {
    let network = |part: &str| part.parse::<IpNet>().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
    text.split(',').map(|part| network(part.trim())).collect()
}

/// An origin as browsers send it: no path, no trailing slash, or it would never match.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let origin = |text: &str| {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text).then_some(())
    };
    if text != "*" {
        origin(text)?;
    }
    HeaderValue::from_str(text).ok()
}
