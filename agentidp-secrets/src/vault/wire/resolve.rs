//! Connections to a host under another name.

use std::iter;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// Whatever name is asked for, it is at this host.
pub(super) struct Instead(pub(super) Host);

impl Resolve for Instead {
    /// The port is that of the URL.
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let one = |address: IpAddr| Box::new(iter::once(SocketAddr::new(address, 0))) as Addrs;
            Ok(match host {
                Host::Ipv4(address) => one(address.into()),
                Host::Ipv6(address) => one(address.into()),
                Host::Domain(name) => Box::new(tokio::net::lookup_host((name, 0)).await?) as Addrs,
            })
        })
    }
}
