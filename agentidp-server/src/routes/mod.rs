//! The endpoints: which there are, and what every answer has in common.

mod agents;
mod audit;
mod client;
mod credentials;
mod health;
mod introspection;
mod metrics;
mod openapi;
mod pages;
mod ready;
mod resource;
mod revocation;
mod token;
mod validate;
mod wellknown;

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body as HttpBody;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue, PRAGMA};
use hyper::{Method, StatusCode};
use tracing::Instrument;
use uuid::Uuid;

pub use self::openapi::openapi;
use self::resource::Resource;
use crate::app::App;
use crate::domain::Scope::{AgentsRead, AgentsWrite, AuditRead};
use crate::error::{ApiError, ApiResult, chain};
use crate::http::body::BoxError;
use crate::http::{self, Cors, Request, Response, respond};
use crate::rate_limit::Key;
use crate::tokens::Issuer;

/// Which endpoint answers. A handler that takes a call runs behind authentication, scope and rate limit.
async fn dispatch(request: &mut Request, resource: Resource<'_>, method: &Method) -> ApiResult<Response> {
    use Resource as On;
    let r = request;
    match (resource, method) {
        (On::Agents, &Method::POST) => agents::create(r.authorize(AgentsWrite).await?).await,
        (On::Agents, &Method::GET) => agents::list(r.authorize(AgentsRead).await?).await,
        (On::Agent(id), &Method::GET) => agents::read(r.authorize(AgentsRead).await?, agent(id)?).await,
        (On::Agent(id), &Method::PATCH) => agents::update(r.authorize(AgentsWrite).await?, agent(id)?).await,
        (On::Agent(id), &Method::DELETE) => agents::decommission(r.authorize(AgentsWrite).await?, agent(id)?).await,

        (On::Credentials(id), &Method::POST) => credentials::create(r.authorize(AgentsWrite).await?, agent(id)?).await,
        (On::Credentials(id), &Method::GET) => credentials::list(r.authorize(AgentsRead).await?, agent(id)?).await,
        (On::Credential(id, own), &Method::DELETE) => {
            credentials::revoke(r.authorize(AgentsWrite).await?, agent(id)?, credential(own)?).await
        }
        (On::Rotation(id, own), &Method::POST) => {
            credentials::rotate(r.authorize(AgentsWrite).await?, agent(id)?, credential(own)?).await
        }
        (On::PreviousSecret(id, own), &Method::DELETE) => {
            credentials::end_previous(r.authorize(AgentsWrite).await?, agent(id)?, credential(own)?).await
        }

        (On::Token, &Method::POST) => token::issue(r).await,
        (On::Introspection, &Method::POST) => introspection::introspect(r).await,
        (On::Revocation, &Method::POST) => revocation::revoke(r).await,

        (On::AuditEvents, &Method::GET) => audit::list(r.authorize(AuditRead).await?).await,
        (On::AuditEvent(id), &Method::GET) => audit::read(r.authorize(AuditRead).await?, uuid("eventId", id)?).await,

        (On::Health, &Method::GET) => Ok(health::check(&r.app)),
        (On::Ready, &Method::GET) => Ok(ready::check(&r.app)),
        (On::Metrics, &Method::GET) => Ok(metrics::render(&r.app, r.origin.ip_address).await),
        (On::Jwks, &Method::GET) => Ok(wellknown::jwks(&r.app)),
        (On::ServerMetadata(path), &Method::GET) => wellknown::server_metadata(&r.app, path),

        (On::OpenApi, &Method::GET) => Ok(respond::bytes(StatusCode::OK, "application/json", openapi())),

        (On::Unknown, _) => Err(ApiError::NotFound),
        (known, _) => Err(ApiError::MethodNotAllowed(known.methods())),
    }
}

fn agent(text: &str) -> ApiResult<Uuid> {
    uuid("agentId", text)
}

fn credential(text: &str) -> ApiResult<Uuid> {
    uuid("credentialId", text)
}

fn uuid(name: &'static str, text: &str) -> ApiResult<Uuid> {
    http::uuid(text).ok_or_else(|| ApiError::field(name, "must be a UUID"))
}

/// Answers a request that `peer` sent. Never fails: whatever goes wrong becomes an answer.
pub async fn handle<B>(app: &Arc<App>, request: hyper::Request<B>, peer: SocketAddr) -> Response
where
    B: HttpBody<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    decide(app, request, peer, Ok(())).await
}

/// The same for a request that came over a connection: it has to name its host.
pub(crate) async fn handle_from_wire<B>(app: &Arc<App>, request: hyper::Request<B>, peer: SocketAddr) -> Response
where
    B: HttpBody<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    let host = http::check_host(&request);
    decide(app, request, peer, host).await
}

/// Answers a request, or refuses it with what was `checked` ahead.
async fn decide<B>(app: &Arc<App>, request: hyper::Request<B>, peer: SocketAddr, checked: ApiResult<()>) -> Response
where
    B: HttpBody<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    let start = app.clock.instant();
    let (head, body) = request.into_parts();
    let (path, method, request_id) = (head.uri.path().to_owned(), head.method.clone(), http::request_id(&head.headers));
    let resource = Resource::of(&path, app.tokens.issuer().map_or("", Issuer::path));
    let origin = http::origin(&head.headers, peer, &app.settings.trusted_proxies);
    if let Some(header) = http::uncounted_header(&head.headers, peer, &app.settings.trusted_proxies)
        && app.limiter.strangers.is_new_proxy(app.limiter.network(peer.ip().to_canonical()))
    {
        tracing::warn!(
            peer = %peer.ip(),
            %header,
            "a request names a forwarded client, which counts only in X-Forwarded-For and from TRUSTED_PROXIES: if the peer is \
             your proxy, let it send that header and name it there, or all of its clients are limited as one address"
        );
    }
    let mut request = Request::new(Arc::clone(app), origin, head, body.map_err(Into::into).boxed());

    request.introspects = resource == Resource::Introspection;

    let span = tracing::info_span!("request", request_id, refused = tracing::field::Empty);
    let mut response = match checked {
        Ok(()) => answer(&mut request, resource, &method).instrument(span.clone()).await,
        Err(error) => refuse(resource, &error),
    };
    finish(&mut response, &request, resource, &method, &request_id);

    let (elapsed, status) = (app.clock.instant().saturating_duration_since(start), response.status().as_u16());
    app.metrics.http_request(method_label(&method), resource.pattern(), status, elapsed);
    settle(&request, status);
    let _entered = span.enter();
    if let Some(unlogged) = is_logged(&request, status) {
        if let Some((code, cause)) = &request.failure {
            tracing::error!(code, cause, "the request failed");
        }
        tracing::info!(
            method = method_label(&method),
            path = resource.pattern(),
            status,
            elapsed_ms = elapsed.as_secs_f64() * 1000.0,
            client_id = request.client,
            unlogged,
            "answered"
        );
    }
    response
}

/// Notes whether the client that the request claimed to come from has proved it.
fn settle(request: &Request, status: u16) {
    let (limiter, Some(key)) = (&request.app.limiter, request.claimed) else { return };
    let Key::Claimed { pair, network } = key else { return };
    match status {
        200 if request.client.is_some() => limiter.strangers.proved(pair),
        401 => {
            limiter.strangers.failed(network);
            if request.introspects {
                // It was counted as an introspection, and turned out to be a guess.
                let _ = limiter.check(key);
            }
        }
        _ => {}
    }
}

/// Whether the request gets its lines in the log, and then how many before it got none. What a client asks for within its
/// rate is logged; senders that are not known, and what is beyond the rate, have a bound for each address or client.
fn is_logged(request: &Request, status: u16) -> Option<Option<u64>> {
    let limiter = &request.app.limiter;
    let key = match &request.client {
        Some(_) if status != 429 => return Some(None),
        Some(client) => limiter.hash(client),
        None => limiter.network(request.origin.ip_address),
    };
    limiter.strangers.log(key).map(|unlogged| Some(unlogged).filter(|count| *count > 0))
}

async fn answer(request: &mut Request, resource: Resource<'_>, method: &Method) -> Response {
    if method == Method::OPTIONS && resource != Resource::Unknown {
        return options(request, resource);
    }
    let as_read = if method == Method::HEAD { &Method::GET } else { method };
    let timeout = request.app.settings.request_timeout;
    let answered = tokio::time::timeout(timeout, async {
        // Probes wait for nobody, and nothing is to be done for the document.
        if !matches!(resource, Resource::Health | Resource::Ready | Resource::Metrics | Resource::OpenApi) {
            request.take_place().await?;
        }
        dispatch(request, resource, as_read).await
    });
    let answered = answered.await;
    let error = match answered.unwrap_or(Err(ApiError::Busy(None))) {
        Ok(response) => return response,
        Err(error) => error,
    };
    if let Some(cause) = error.source() {
        request.failure = Some((error.code(), chain(cause)));
    }
    refuse(resource, &error)
}

/// The error in the form that the endpoint's clients read.
fn refuse(resource: Resource<'_>, error: &ApiError) -> Response {
    match resource {
        Resource::Token if matches!(error, ApiError::OAuth(_)) => respond::oauth_error(error),
        Resource::Token | Resource::Introspection | Resource::Revocation => respond::error_in_both_forms(error),
        _ => respond::error(error),
    }
}

/// What a route has, and what a page of the configured origin may send to it.
fn options(request: &Request, resource: Resource<'_>) -> Response {
    let cors = Cors::new(request.app.settings.cors_origin.as_ref());
    let mut response = respond::no_content();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(resource.methods()));
    if cors.is_preflight(&request.head.method, &request.head.headers) {
        cors.preflight(response.headers_mut(), resource.methods());
    }
    response
}

/// Adds what every answer has.
fn finish(response: &mut Response, request: &Request, resource: Resource<'_>, method: &Method, request_id: &str) {
    if method == Method::HEAD {
        let length = response.body().size_hint().lower();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Full::default();
    }
    let headers = response.headers_mut();
    if let Some(allowance) = &request.allowance {
        respond::rate_limit_headers(headers, allowance);
    }
    // Whatever does not say otherwise is nobody's to keep: it may hold a secret or a token.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if resource == Resource::Token {
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    }
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    Cors::new(request.app.settings.cors_origin.as_ref()).allow(headers);
    http::mark(headers, request_id);
}

/// Methods as metrics and log name them: a client may invent any number of others.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
