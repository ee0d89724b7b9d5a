//! An OpenBao that speaks TLS, in several ways at once.

use std::sync::Mutex;

use super::{Bao, configuration};
use crate::support::process::free_port;

/// A listener beside the plain one, which the test itself talks to.
pub(crate) struct TlsListener<'a> {
    pub(crate) certificate: &'a str,
    pub(crate) key: &'a str,
    /// With it, only clients with a certificate of this CA are served.
    pub(crate) client_ca: Option<&'a str>,
}

impl Bao {
    /// A server of a test's own, and the address of each listener.
    pub(crate) async fn start_with_tls(listeners: &[TlsListener<'_>]) -> (Self, Vec<String>) {
        let ports = Mutex::new(Vec::new());
        let server = Self::start_configured(|home, port| {
            let mut text = configuration(port);
            let mut taken = ports.lock().expect("no panic holds it");
            taken.clear();
            for (number, listener) in listeners.iter().enumerate() {
                let name = |what: &str| format!("{number}-{what}.pem");
                home.write_file(&name("certificate"), listener.certificate);
                home.write_file(&name("key"), listener.key);
                let port = free_port();
                taken.push(port);
                text += &format!(
                    "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{}\"\n  \
                     tls_key_file = \"{}\"\n",
                    name("certificate"),
                    name("key")
                );
                if let Some(authority) = listener.client_ca {
                    home.write_file(&name("clients"), authority);
                    text += &format!(
                        "  tls_require_and_verify_client_cert = true\n  tls_client_ca_file = \"{}\"\n",
                        name("clients")
                    );
                }
                text += "}\n";
            }
            home.write_file("server.hcl", &text);
        })
        .await;
        let ports = ports.into_inner().expect("no panic holds it");
        (server, ports.iter().map(|port| format!("https://127.0.0.1:{port}")).collect())
    }
}
