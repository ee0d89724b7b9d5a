//! Our own transport under vaultrs' request types: what is sent, what is never sent, and how much is read back.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use reqwest::redirect;
use url::Url;
use zeroize::Zeroizing;

use super::auth::Hidden;
use super::failure::{Cause, Failure};
use super::tls;
use crate::error::{Error, ErrorKind, Result};

/// Longest answer that is read. An entry of ours takes under 1 KiB, the longest possible one under 32 KiB.
const MAX_ANSWER: usize = 64 * 1024;

/// Idle connections that are kept: more in flight than this gains nothing on the servers we measured.
const MAX_IDLE: usize = 32;

/// How long one is kept: below the 60 s after which common balancers drop it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// The state of a replicated storage that an answer was given from.
const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
/// What a standby shall do that has not reached the index yet.
const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");

/// How to reach one Vault.
pub(crate) struct Route<'a> {
    pub(crate) base: Url,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) ca_cert_pem: Option<&'a str>,
    /// Certificate and key, in PEM form.
    pub(crate) client_cert: Option<(&'a str, &'a Hidden)>,
    pub(crate) proxy: Option<&'a str>,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

/// A request as Vault's API describes it. The path is below `/v1/`. Clones share the body.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// In a buffer that is wiped when it is done with.
    pub(crate) body: Option<Bytes>,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// One pool of connections to one address.
///
/// Redirects are not followed, because reqwest would take the token and the secret along to wherever they point. Proxy
/// variables of the environment are not looked at, because the token would go there in clear.
pub(crate) struct Transport {
    client: reqwest::Client,
    base: Url,
    namespace: Option<HeaderValue>,
    /// From the newest write. A standby that is behind it passes our requests on, instead of answering a read or
    /// judging a compare-and-set from the past.
    index: RwLock<Option<HeaderValue>>,
    /// Whether any answer had an index. Successes have one on replicated storage, refusals never.
    replicated: AtomicBool,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Transport {
    pub(crate) fn new(route: Route<'_>) -> Result<Self> {
        let client = client(&route)?;
        let namespace = route.namespace.map(HeaderValue::from_str).transpose();
        Ok(Self {
            client,
            base: route.base,
            namespace: namespace.map_err(|_| invalid("the namespace does not fit into a header: VAULT_NAMESPACE"))?,
            index: RwLock::new(None),
            replicated: AtomicBool::new(false),
            read_timeout: route.read_timeout,
            write_timeout: route.write_timeout,
        })
    }

    /// Sends one request, once, with a token or none. Any status is an answer.
    pub(crate) async fn send(&self, request: Request, token: Option<&HeaderValue>) -> Result<Answer, Failure> {
        let reading = request.method == Method::GET;
        let answer = self.client.execute(self.prepare(request, token)).await.map_err(|error| failure(&error))?;
        if let Some(index) = answer.headers().get(INDEX) {
            self.replicated.store(true, Ordering::Relaxed);
            if !reading {
                *self.index.write().unwrap_or_else(PoisonError::into_inner) = Some(index.clone());
            }
        }
        Ok(Answer { status: answer.status().as_u16(), body: read_body(answer).await? })
    }

    /// Whether the storage is known to be replicated, so that a standby may answer from the past.
    pub(crate) fn is_replicated(&self) -> bool {
        self.replicated.load(Ordering::Relaxed)
    }

    fn prepare(&self, request: Request, token: Option<&HeaderValue>) -> reqwest::Request {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(request.path.split('/'));
        }
        url.set_query(request.query.as_deref());
        let reading = request.method == Method::GET;
        let mut prepared = reqwest::Request::new(request.method, url);
        *prepared.timeout_mut() = Some(if reading { self.read_timeout } else { self.write_timeout });
        let headers = prepared.headers_mut();
        if let Some(token) = token {
            headers.insert(TOKEN, token.clone());
        }
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert(NAMESPACE, namespace.clone());
        }
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(index) = index {
            headers.insert(INDEX, index);
            headers.insert(INCONSISTENT, HeaderValue::from_static("forward-active-node"));
        }
        if let Some(body) = request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *prepared.body_mut() = Some(body.into());
        }
        prepared
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("address", &self.base.as_str()).finish_non_exhaustive()
    }
}

fn client(route: &Route<'_>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(route.connect_timeout)
        .pool_max_idle_per_host(MAX_IDLE)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if let Some(proxy) = route.proxy {
        let proxy = reqwest::Proxy::all(proxy).map_err(|_| invalid("the proxy of the Vault client is no URL"))?;
        builder = builder.proxy(proxy);
    }
    if let Some(pem) = route.ca_cert_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
        if certificates.is_empty() {
            return Err(invalid("the Vault CA holds no certificate in PEM form: look at VAULT_CACERT"));
        }
        builder = builder.tls_certs_only(certificates);
    } else if route.base.scheme() == "http" && route.proxy.is_none() {
        // Plain http needs no roots: loading them takes 3 ms, and fails where a container has none.
        builder = builder.tls_certs_only([]);
    }
    if let Some((certificate, key)) = route.client_cert {
        builder = builder.identity(identity(certificate, key)?);
    }
    builder.build().map_err(|_| match route.client_cert {
        Some(_) => invalid("VAULT_CLIENT_KEY is not the key of the first certificate in VAULT_CLIENT_CERT"),
        None => invalid("TLS for Vault cannot be set up: are the system's CA certificates installed?"),
    })
}

/// The certificate and the key that we show to a server that asks for them.
fn identity(certificate_pem: &str, key_pem: &Hidden) -> Result<reqwest::Identity> {
    let both = Zeroizing::new(format!("{}\n{}\n", key_pem.expose(), certificate_pem.trim()));
    reqwest::Identity::from_pem(both.as_bytes()).map_err(|_| {
        invalid(
            "the client certificate for Vault is no certificate with its key in PEM form: look at VAULT_CLIENT_CERT and \
             VAULT_CLIENT_KEY",
        )
    })
}

/// Reads the body up to the limit, into a buffer that never moves, so that no copy is left behind unwiped.
async fn read_body(mut answer: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let announced = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(MAX_ANSWER);
    let mut body = Zeroizing::new(Vec::with_capacity(announced.min(MAX_ANSWER)));
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
        if chunk.len() > MAX_ANSWER - body.len() {
            return Err(Failure::Lost(Cause::Oversized));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The class of a transport error. Nothing else of it is kept: its texts hold the URL.
fn failure(error: &reqwest::Error) -> Failure {
    let io_kind = tls::io_kind(error);
    let cause = match io_kind {
        _ if error.is_timeout() && error.is_connect() => Cause::ConnectTimeout,
        _ if error.is_timeout() => Cause::Timeout,
        _ if error.is_dns() => Cause::Dns,
        Some(io::ErrorKind::ConnectionRefused) => Cause::Refused,
        _ => match tls::cause(error) {
            // After the handshake only a refusal of our certificate counts: the server checks it by then.
            Some(cause) if error.is_connect() || cause == Cause::ClientCertificate => cause,
            // How a peer that speaks no TLS shows.
            _ if error.is_connect() && io_kind == Some(io::ErrorKind::InvalidData) => Cause::Tls,
            _ if error.is_connect() => Cause::Other,
            _ => Cause::Cut,
        },
    };
    if error.is_connect() || error.is_builder() { Failure::NotSent(cause) } else { Failure::Lost(cause) }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
