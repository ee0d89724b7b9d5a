//! What happened to a connection, and what to do about it.

use super::setting::{Names, Setting};

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server's certificate is that of a CA.
    CaAsServer,
    /// The server wants a client certificate, or another one.
    ClientCertificate,
    ConnectTimeout,
    Cut,
    Dns,
    /// The server's certificate is out of its time.
    Expired,
    /// This user may not use the socket.
    Forbidden,
    Other,
    /// The server's certificate is for another name.
    OtherName,
    Oversized,
    Refused,
    Timeout,
    Tls,
    /// The server's certificate is of a CA that is not trusted.
    UnknownIssuer,
}

impl Cause {
    pub(super) fn told(self, address: &str, names: Names) -> String {
        match self {
            Self::CaAsServer => format!(
                "the certificate of {address} is that of a CA, which no server may show as its own: give Vault one that the CA \
                 has signed (basicConstraints CA:FALSE), and put the CA's into {}",
                names.of(Setting::CaCert)
            ),
            Self::ClientCertificate => format!(
                "Vault at {address} refuses our client certificate, or the lack of one: look at {} and {}",
                names.of(Setting::ClientCert),
                names.of(Setting::ClientKey)
            ),
            Self::ConnectTimeout => format!("no connection to Vault at {address} in time: is the host up?"),
            Self::Cut => format!("Vault at {address} broke off before its answer was complete"),
            Self::Dns => {
                format!("the host of Vault's address {address} is unknown: look at {}", names.of(Setting::Address))
            }
            Self::Expired => {
                format!(
                    "the certificate of {address} has expired or is not valid yet: renew it, or set the clock right"
                )
            }
            Self::Forbidden => {
                format!("this user may not connect to {address}: look at who owns the socket and who may write to it")
            }
            Self::OtherName => {
                format!(
                    "the certificate of {address} is for another name: {} must have a name that is in it, or {} be one",
                    names.of(Setting::Address),
                    names.of(Setting::TlsServerName)
                )
            }
            Self::Other => format!("the connection to Vault at {address} failed"),
            Self::Oversized => {
                format!(
                    "{address} answered with more than 1 MiB, or listed more than 4 MiB of names: is {} right?",
                    names.of(Setting::Address)
                )
            }
            Self::Refused => format!(
                "Vault at {address} refuses connections: is it running, is {} right?",
                names.of(Setting::Address)
            ),
            Self::Timeout => format!("Vault at {address} gave no answer in time"),
            Self::Tls => {
                format!(
                    "no TLS with {address}: does it speak TLS, with a certificate of the CA in {}?",
                    names.of(Setting::CaCert)
                )
            }
            Self::UnknownIssuer => format!(
                "the certificate of {address} is not of a trusted CA: put the right one into {}, without which those of \
                 the system are trusted",
                names.of(Setting::CaCert)
            ),
        }
    }
}
