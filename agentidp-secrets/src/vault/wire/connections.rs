//! The connections to Vault, and how old they may get.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::redirect;
use zeroize::Zeroizing;

use super::address::{Address, Way};
use super::client_cert::ClientCert;
use super::resolve::Instead;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::hidden::Hidden;
use crate::vault::setting::{Names, Setting};

/// Idle connections that are kept for each address: more in flight than this gains nothing on the servers we measured.
const MAX_IDLE: usize = 32;

/// How connections are made.
pub(crate) struct Dial {
    pub(crate) ca_cert_pem: Option<String>,
    pub(crate) client_cert: Option<ClientCert>,
    pub(crate) proxy: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_age: Duration,
    /// What the program calls its settings.
    pub(crate) names: Names,
}

/// The connections in use. Once the oldest could be over age, new requests get new ones, and the old ones end with the
/// requests that are on them.
pub(super) struct Connections {
    dial: Dial,
    addresses: Vec<Address>,
    clock: Arc<dyn Clock>,
    current: RwLock<Current>,
}

struct Current {
    /// One for each address.
    clients: Vec<reqwest::Client>,
    began: Instant,
}

impl Connections {
    pub(super) fn new(dial: Dial, addresses: &[Address], clock: Arc<dyn Clock>) -> Result<Self> {
        let current = Current { clients: dial.clients(addresses)?, began: clock.instant() };
        Ok(Self { dial, addresses: addresses.to_vec(), clock, current: RwLock::new(current) })
    }

    /// The connections to one of the addresses.
    pub(super) fn client(&self, node: usize) -> reqwest::Client {
        let now = self.clock.instant();
        let of_age = |current: &Current| now.saturating_duration_since(current.began) < self.dial.max_age;
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if of_age(&current) {
                return current.clients[node].clone();
            }
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if !of_age(&current) {
            current.began = now;
            // The same settings worked at start. Should they not work now, old connections are better than none.
            if let Ok(clients) = self.dial.clients(&self.addresses) {
                current.clients = clients;
            }
        }
        current.clients[node].clone()
    }
}

impl Dial {
    /// One client for each address. Those that need nothing of their own share one.
    fn clients(&self, addresses: &[Address]) -> Result<Vec<reqwest::Client>> {
        let plain = addresses.iter().all(Address::is_plain);
        let mut shared = None;
        let client = |address: &Address| match (&address.way, &shared) {
            (Way::Direct, Some(client)) => Ok(reqwest::Client::clone(client)),
            (Way::Direct, None) => Ok(shared.insert(self.client(address, plain)?).clone()),
            (Way::Instead { .. } | Way::Socket(_), _) => self.client(address, address.is_plain()),
        };
        addresses.iter().map(client).collect()
    }

    /// Redirects are not followed, because reqwest would take the token and the secret along to wherever they point. Proxy
    /// variables of the environment are not looked at, because the token would go there in clear.
    fn client(&self, address: &Address, plain: bool) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(self.connect_timeout)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(self.idle_timeout);
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|_| invalid("the proxy of the Vault client is no URL"))?;
            builder = builder.proxy(proxy);
        }
        builder = match &address.way {
            Way::Direct => builder,
            #[cfg(unix)]
            Way::Socket(path) => builder.unix_socket(path.as_path()),
            #[cfg(not(unix))]
            Way::Socket(_) => builder,
            // The proxy would be asked for the name in the certificate.
            Way::Instead { .. } if self.proxy.is_some() => {
                let setting = self.names.of(Setting::TlsServerName);
                return Err(invalid(format!(
                    "a TLS server name does not go with a proxy: unset one of them, {setting}"
                )));
            }
            Way::Instead { host, .. } => builder.dns_resolver(Instead(host.clone())),
        };
        if let Some(pem) = &self.ca_cert_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
            if certificates.is_empty() {
                let setting = self.names.of(Setting::CaCert);
                return Err(invalid(format!("the Vault CA holds no certificate in PEM form: look at {setting}")));
            }
            builder = builder.tls_certs_only(certificates);
        } else if plain && self.proxy.is_none() {
            // Plain http needs no roots: loading them takes 3 ms, and fails where a container has none.
            builder = builder.tls_certs_only([]);
        }
        if let Some(own) = &self.client_cert {
            builder = builder.identity(self.identity(&own.certificate_pem, &own.key_pem)?);
        }
        builder.build().map_err(|_| match self.client_cert {
            Some(_) => invalid(format!(
                "{} is not the key of the first certificate in {}",
                self.names.of(Setting::ClientKey),
                self.names.of(Setting::ClientCert)
            )),
            None => invalid("TLS for Vault cannot be set up: are the system's CA certificates installed?"),
        })
    }

    /// The certificate and the key that we show to a server that asks for them.
    fn identity(&self, certificate_pem: &str, key_pem: &Hidden) -> Result<reqwest::Identity> {
        let both = Zeroizing::new(format!("{}\n{}\n", key_pem.expose(), certificate_pem.trim()));
        reqwest::Identity::from_pem(both.as_bytes()).map_err(|_| {
            invalid(format!(
                "the client certificate for Vault is no certificate with its key in PEM form: look at {} and {}",
                self.names.of(Setting::ClientCert),
                self.names.of(Setting::ClientKey)
            ))
        })
    }
}

fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
