//! `HOST` and `PORT`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::ConfigError;
use super::lookup::Lookup;

/// The documented port.
const DEFAULT_PORT: u16 = 3000;

/// Where the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listen {
    /// The address; loopback unless `HOST` says otherwise.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The port that was taken, once one was.
    pub bound: Option<u16>,
}

impl Listen {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let host = lookup.parsed(
            "HOST",
            "an IP address such as 127.0.0.1 or 0.0.0.0, without the port, which is PORT",
            parse_host,
        )?;
        let port = lookup.parsed("PORT", "a number from 0 (any free port) to 65535", |text| text.parse().ok())?;
        Ok(Self { host: host.unwrap_or(Ipv4Addr::LOCALHOST.into()), port: port.unwrap_or(DEFAULT_PORT), bound: None })
    }

    /// Both as one address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

fn parse_host(text: &str) -> Option<IpAddr> {
    if text == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().ok()
}
