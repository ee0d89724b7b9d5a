//! A request, before and after its sender is known.

use std::sync::Arc;

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
use crate::rate_limit::{self, Allowance};
use crate::tokens::OPERATOR;

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
    head: &'r Parts,
    body: &'r mut Option<Body>,
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
        Self { app, origin, head, body: Some(body), allowance: None, client: None }
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
        self.client = Some(claims.client_id);
        self.limit(match caller {
            Caller::Agent(id) => rate_limit::Key::Agent(id),
            Caller::Operator => rate_limit::Key::Operator,
        })?;
        Ok(Call { app: &self.app, origin: &self.origin, caller, head: &self.head, body: &mut self.body })
    }

    /// Counts the request against the rate limit of `key`.
    ///
    /// # Errors
    /// `RateLimitExceeded`.
    pub fn limit(&mut self, key: rate_limit::Key) -> ApiResult<()> {
        self.allowance = self.app.limiter.check(key);
        match self.allowance.and_then(|allowance| allowance.retry_after) {
            None => Ok(()),
            Some(retry_after) => {
                self.app.metrics.rate_limited();
                Err(ApiError::RateLimitExceeded { retry_after })
            }
        }
    }

    /// Reads the body, which has to be a form.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, and those of [`body::read`].
    pub async fn form(&mut self) -> ApiResult<Bytes> {
        body::expect_media_type(&self.head.headers, body::FORM)?;
        read(&self.app, &mut self.body).await
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
        let caller = self.caller.agent_id().map_or_else(|| OPERATOR.to_owned(), |id| id.to_string());
        Ok(Some(KeyedRequest { caller, key, fingerprint: fingerprint(self.head.method.as_str(), path, body) }))
    }

    /// Reads the body, which has to be JSON unless it is empty. Parsing is left to the caller.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, and those of [`body::read`].
    pub async fn json(&mut self) -> ApiResult<Bytes> {
        let body = read(self.app, self.body).await?;
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

/// A body that was read before is empty.
async fn read(app: &App, body: &mut Option<Body>) -> ApiResult<Bytes> {
    match body.take() {
        Some(body) => body::read(body, app.settings.body_limit, app.settings.body_timeout).await,
        None => Ok(Bytes::new()),
    }
}
