//! Everything between a request and its answer: nodes, connections, TLS, and which body means what.

mod address;
pub(crate) mod answer;
mod client_cert;
mod connections;
mod incoming;
mod index;
mod message;
mod nodes;
mod resolve;
mod tls;
mod transport;

pub(crate) use self::address::parse_addresses;
pub use self::client_cert::ClientCert;
pub(crate) use self::connections::Dial;
pub(crate) use self::message::{Answer, Request};
pub(crate) use self::transport::{Route, Transport};
