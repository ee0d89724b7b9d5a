//! A request, before and after its sender is known.

use std::sync::Arc;

use agentidp_secrets::layers::FairPermit;
use bytes::Bytes;
use hyper::http::request::Parts;
use uuid::Uuid;

use super::bearer;
use super::body::{self, Body};
use super::idempotency_key::idempotency_key;
use crate::app::App;
use crate::domain::idempotency::{KeyedRequest, fingerprint};
use crate::domain::{Origin, Scope};
use crate::error::{ApiError, ApiResult};
use crate::places::Seat;
use crate::rate_limit::{self, Allowance};

/// A request whose sender is not known yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// The server.
    pub app: Arc<App>,
    /// Where it came from.
    pub origin: Origin,
    /// Its head.
    pub head: Parts,
    /// Its body, until it was read.
    pub body: Option<Body>,
    /// What the rate limit said, once it was asked.
    pub allowance: Option<Allowance>,
    /// The authenticated client, for the log.
    pub client: Option<String>,
    /// The client that it claims to come from, once that was counted.
    pub claimed: Option<rate_limit::Key>,
    /// The id of that client, where it is one.
    pub claimed_id: Option<Uuid>,
    /// Whether it asks about a token, which has a budget of its own.
    pub introspects: bool,
    /// What went wrong on our side, for the log.
    pub failure: Option<(&'static str, String)>,
    seat: Option<Arc<Seat>>,
}

/// A request of a caller who may make it. It is past authentication, scope and rate limit; the body is still unread.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call<'r> {
    /// The server. Clone the `Arc` into a task that must outlive the request.
    pub app: &'r Arc<App>,
    /// Where it came from, for the audit trail.
    pub origin: &'r Origin,
    /// Who calls.
    pub caller: Caller,
    /// The name in the token: an agent's id, `operator`, or `operator:` and a name.
    pub subject: String,
    head: &'r Parts,
    body: &'r mut Option<Body>,
    seat: Option<&'r Arc<Seat>>,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "handlers must tell the two apart")]
pub enum Caller {
    /// An active agent.
    Agent(Uuid),
    /// Whoever holds an operator token.
    Operator,
}

impl Request {
    /// A request of `head` and `body`.
    #[must_use]
    pub fn new(app: Arc<App>, origin: Origin, head: Parts, body: Body) -> Self {
        // Where requests come from a socket.
        let seat = head.extensions.get::<Arc<Seat>>().cloned();
        Self {
            app,
            origin,
            head,
            seat,
            body: Some(body),
            allowance: None,
            client: None,
            claimed: None,
            claimed_id: None,
            introspects: false,
            failure: None,
        }
    }

    /// Waits until the server has a place for the request.
    ///
    /// # Errors
    /// `Busy` when its connection had to go meanwhile.
    pub(crate) async fn take_place(&self) -> ApiResult<()> {
        match &self.seat {
            Some(seat) => seat.take().await.map_err(|_| ApiError::Busy(None)),
            None => Ok(()),
        }
    }

    /// Lets the request pass if its bearer token is sound, has `scope`, and its sender has not called too often, in
    /// this order.
    ///
    /// # Errors
    /// `Unauthorized`, `Forbidden`, `RateLimitExceeded`; `DatabaseUnavailable` when the database cannot be asked.
    pub async fn authorize(&mut self, scope: Scope) -> ApiResult<Call<'_>> {
        let claims = bearer::authenticate(&self.app, &self.head.headers).await?;
        if !claims.scope.contains(scope) {
            return Err(ApiError::InsufficientScope(scope));
        }
        let caller = claims.agent_id().map_or(Caller::Operator, Caller::Agent);
        let limiter = &self.app.limiter;
        let key = match caller {
            Caller::Agent(id) => rate_limit::Key::Agent(id),
            Caller::Operator => limiter.operator(&claims.client_id),
        };
        let subject = self.client.insert(claims.client_id).clone();
        self.limit(key)?;
        Ok(Call {
            app: &self.app,
            origin: &self.origin,
            caller,
            subject,
            head: &self.head,
            body: &mut self.body,
            seat: self.seat.as_ref(),
        })
    }

    /// Counts the request against the rate limit of `key`.
    ///
    /// # Errors
    /// `RateLimitExceeded`.
    pub fn limit(&mut self, key: rate_limit::Key) -> ApiResult<()> {
        let limiter = &self.app.limiter;
        if matches!(key, rate_limit::Key::Claimed { .. }) {
            self.claimed = Some(key);
        }
        self.allowance = limiter.check(if self.introspects { limiter.introspecting(key) } else { key });
        match self.allowance.and_then(|allowance| allowance.retry_after) {
            None => Ok(()),
            Some(retry_after) => {
                self.app.metrics.rate_limited();
                Err(ApiError::RateLimitExceeded { retry_after })
            }
        }
    }

    /// Whether the failure of a client that does not exist goes into the audit trail, and then how many before it did not.
    /// Each is counted in the metrics.
    #[must_use]
    pub(crate) fn record_stranger(&self) -> Option<u64> {
        let limiter = &self.app.limiter;
        let unrecorded = limiter.strangers.record(limiter.network(self.origin.ip_address));
        self.app.metrics.unknown_client(unrecorded.is_some());
        if let Some(unrecorded) = unrecorded {
            let claimed = self.claimed_id.map(tracing::field::display);
            let reason = if claimed.is_some() { "no such client" } else { "no id of a client" };
            tracing::warn!(client_id = claimed, reason, unrecorded, "a client failed to authenticate");
        }
        unrecorded
    }

    /// Reads the body, which has to be a form.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, and those of [`body::read`].
    pub async fn form(&mut self) -> ApiResult<Bytes> {
        body::expect_media_type(&self.head.headers, body::FORM)?;
        read(&self.app, &mut self.body, self.seat.as_ref()).await
    }
}

impl Call<'_> {
    /// The raw query, empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// What tells this request, to `path` and with `body`, from others, if it carries an `Idempotency-Key`. `path` has ids in
    /// one spelling.
    ///
    /// # Errors
    /// `Validation` when the key is none.
    pub(crate) fn keyed(&self, path: &str, body: &[u8]) -> ApiResult<Option<KeyedRequest>> {
        let Some(key) = idempotency_key(&self.head.headers)? else { return Ok(None) };
        let caller = self.subject.clone();
        Ok(Some(KeyedRequest { caller, key, fingerprint: fingerprint(self.head.method.as_str(), path, body) }))
    }

    /// Waits for the caller's turn at the connections for lists.
    pub(crate) async fn list_turn(&self) -> FairPermit<String> {
        self.app.list_turns.acquire(self.subject.clone()).await
    }

    /// Reads the body, which has to be JSON unless it is empty. Parsing is left to the caller.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, and those of [`body::read`].
    pub async fn json(&mut self) -> ApiResult<Bytes> {
        let body = read(self.app, self.body, self.seat).await?;
        // A body without an announced length may turn out to be empty, too.
        if !body.is_empty() {
            body::expect_media_type(&self.head.headers, body::JSON)?;
        }
        Ok(body)
    }
}

impl Caller {
    /// The calling agent; none for an operator.
    #[must_use]
    pub fn agent_id(self) -> Option<Uuid> {
        match self {
            Self::Agent(id) => Some(id),
            Self::Operator => None,
        }
    }

    /// An operator may manage every agent, an agent only itself.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn may_manage(self, agent_id: Uuid) -> ApiResult<()> {
        match self {
            Self::Operator => Ok(()),
            Self::Agent(id) if id == agent_id => Ok(()),
            Self::Agent(_) => Err(ApiError::Forbidden("an agent may change itself only".into())),
        }
    }
}

/// Reads the body, without a place while the client sends it. A body that was read before is empty.
async fn read(app: &App, body: &mut Option<Body>, seat: Option<&Arc<Seat>>) -> ApiResult<Bytes> {
    let Some(body) = body.take() else { return Ok(Bytes::new()) };
    let reading = body::read(body, app.settings.body_limit, app.settings.body_timeout);
    let Some(seat) = seat else { return reading.await };
    seat.give_back();
    let whole = seat.unless_evicted(reading).await.map_err(|_| ApiError::Busy(None))??;
    seat.take().await.map_err(|_| ApiError::Busy(None))?;
    Ok(whole)
}
