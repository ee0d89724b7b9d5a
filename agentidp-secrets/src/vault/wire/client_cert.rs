//! What we show to a server that asks for a certificate.

use serde::{Deserialize, Deserializer};

use crate::vault::hidden::{Hidden, unquoted};

/// A certificate with its key, for servers that ask for one (mutual TLS). `Debug` does not show the key.
#[derive(Clone, Debug)]
pub struct ClientCert {
    /// The certificate and those that lead to its CA.
    pub(super) certificate_pem: String,
    pub(super) key_pem: Hidden,
}

/// How it is written.
#[derive(Deserialize)]
#[serde(remote = "ClientCert", deny_unknown_fields)]
struct Form {
    certificate_pem: String,
    key_pem: Hidden,
}

impl<'de> Deserialize<'de> for ClientCert {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        unquoted(Form::deserialize(deserializer), "a client certificate has `certificate_pem` and `key_pem`")
    }
}

impl ClientCert {
    /// A certificate, followed by those that lead to its CA, and its key, all in PEM form.
    pub fn new(certificate_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        Self { certificate_pem: certificate_pem.into(), key_pem: Hidden::from(key_pem.into()) }
    }
}
