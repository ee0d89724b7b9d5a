//! Client authentication (RFC 6749 §2.3): one room for the three endpoints that take it.
//!
//! `POST /token` takes a client's id and secret and nothing else. Introspection and revocation take them as well as a bearer
//! token. Nowhere may a request authenticate in two ways.

use std::sync::Arc;

use agentidp_secrets::ClientId;
use agentidp_secrets::lifecycle::{Decision, Proof};
use hyper::header::AUTHORIZATION;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::app::App;
use crate::credentials::Actor;
use crate::domain::{AuditAction, AuditEvent, Metadata, Outcome, Scope, ids};
use crate::error::{ApiError, ApiResult, Challenge};
use crate::http::{self, Caller, ClientAuthError, ClientCredentials, Form, OAuthError, Request, body};

/// A client that has proved who it is.
pub(super) struct Client {
    pub(super) proof: Proof,
    presented: ClientCredentials,
}

impl Client {
    /// Reads what the client presents, counts the request against its rate limit, and has the secret proved. A failure is
    /// recorded in the audit trail.
    ///
    /// # Errors
    /// `OAuth` for a client that is refused, `RateLimitExceeded`, and what rows and backends fail with.
    pub(super) async fn authenticate(request: &mut Request, form: &Form) -> ApiResult<Self> {
        let presented = match ClientCredentials::read(&request.head.headers, form) {
            Ok(presented) => presented,
            Err(ClientAuthError::InvalidRequest(why)) => return Err(OAuthError::InvalidRequest(why).into()),
            Err(ClientAuthError::InvalidBasic) => {
                request.limit(request.app.limiter.claimed("", request.origin.ip_address))?;
                return Err(fail(request, None, OAuthError::InvalidClient { basic: true }, None).await?);
            }
        };
        let client_id = http::uuid(&presented.client_id);
        request.claimed_id = client_id;
        // One spelling a client: another spelling of its id must not be another bucket.
        let claimed = client_id.map_or(presented.client_id.clone(), |id| id.to_string());
        request.limit(request.app.limiter.claimed(&claimed, request.origin.ip_address))?;

        let app = Arc::clone(&request.app);
        // No client has an id of another form, which costs what an unknown one costs.
        let client = ClientId::parse(&client_id.unwrap_or_default().to_string()).map_err(ApiError::internal)?;
        let decision = app.life().authenticate(&client, &presented.secret).await?;
        let proof = admit(request, client_id, decision, &presented, None).await?;
        request.client = Some(claimed);
        tell_stale(&app, &proof);
        Ok(Self { proof, presented })
    }

    /// Looks at the proof once more, when the token with this id is ready to be sent. `Ok` is returned without a wait after
    /// the look: hand over the answer without another one.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate); `Busy` where the proof counts and the token does not, because the agent was
    /// suspended and reactivated meanwhile.
    pub(super) async fn confirm(self, request: &Request, token_id: Uuid) -> ApiResult<()> {
        let Self { proof, presented } = self;
        let ((client_id, _), named) = (ids(proof.key()), (proof.key().clone(), proof.epoch()));
        let decision = request.app.life().still_counts(proof, &presented.secret).await.inspect_err(|_| {
            tracing::warn!(%client_id, %token_id, "a token that is on record was not handed out");
        })?;
        let proof = admit(request, Some(client_id), decision, &presented, Some(token_id)).await?;
        if (proof.key(), proof.epoch()) == (&named.0, named.1) { Ok(()) } else { Err(ApiError::Busy(None)) }
    }
}

/// Who asks about which token.
pub(super) struct TokenQuestion {
    pub(super) caller: Caller,
    /// Whether the caller may hear of its own tokens only: a client that authenticates, without a scope.
    pub(super) own_only: bool,
    /// A secret of its owner.
    pub(super) token: Zeroizing<String>,
}

impl TokenQuestion {
    /// Reads a request for introspection or revocation.
    ///
    /// # Errors
    /// Those of [`Request::authorize`] and [`Client::authenticate`], whichever the request asks for; `Validation` where the
    /// form is malformed or has no `token`.
    pub(super) async fn read(request: &mut Request) -> ApiResult<Self> {
        let headers = &request.head.headers;
        let has_header = headers.contains_key(AUTHORIZATION);
        // Without a header the form may hold the credentials. What is no form holds none.
        if !has_header && body::expect_media_type(headers, body::FORM).is_err() {
            return Err(ApiError::Unauthorized(Challenge::Missing));
        }
        let is_client = !has_header || ClientCredentials::is_basic(headers);
        let bearer = if is_client { None } else { Some(request.authorize(Scope::TokensRead).await?.caller) };
        let form = read_form(request).await?;
        let presents_client = ClientCredentials::is_in(&form);
        let (caller, own_only) = match bearer {
            Some(_) if presents_client => return Err(OAuthError::InvalidRequest(http::ONE_METHOD).into()),
            Some(caller) => (caller, false),
            None if !has_header && !presents_client => return Err(ApiError::Unauthorized(Challenge::Missing)),
            None => (Caller::Agent(ids(Client::authenticate(request, &form).await?.proof.key()).0), true),
        };
        let token = form.get("token").ok_or_else(|| ApiError::field("token", "is missing"))?;
        Ok(Self { caller, own_only, token: Zeroizing::new(token.to_owned()) })
    }

    /// Who asks, for the audit trail.
    pub(super) fn actor(&self, request: &Request) -> Actor {
        Actor { subject: request.client.clone().unwrap_or_default(), origin: request.origin.clone() }
    }
}

async fn read_form(request: &mut Request) -> ApiResult<Form> {
    let body = request.form().await?;
    let form = Form::parse(&body);
    body::wipe(body);
    form.map_err(|_| ApiError::field("body", "must be a form without repeated parameters"))
}

/// The proof, or the refusal of the client, which is recorded; with the id of the token that it would have got.
async fn admit(
    request: &Request,
    client_id: Option<Uuid>,
    decision: Decision,
    presented: &ClientCredentials,
    token_id: Option<Uuid>,
) -> ApiResult<Proof> {
    let (agent_id, error) = match decision {
        Decision::Proved(proof) => return Ok(proof),
        Decision::NotActive => (client_id, OAuthError::UnauthorizedClient("the agent is not active")),
        Decision::Mismatch { known } => {
            // A client that does not exist gets its line where its failure is sampled.
            let known = client_id.filter(|_| known);
            if let Some(client_id) = known {
                log_known(request, client_id);
            }
            (known, OAuthError::InvalidClient { basic: presented.basic })
        }
    };
    Err(fail(request, agent_id, error, token_id).await?)
}

/// The line of a failure at a client that there is, as far as its sender's address has lines left.
fn log_known(request: &Request, client_id: Uuid) {
    let limiter = &request.app.limiter;
    if let Some(unlogged) = limiter.strangers.log(limiter.network(request.origin.ip_address)) {
        let (unlogged, reason) = (Some(unlogged).filter(|count| *count > 0), "no active credential matches");
        tracing::warn!(%client_id, reason, unlogged, "a client failed to authenticate");
    }
}

/// A warning where Vault could not be asked.
fn tell_stale(app: &App, proof: &Proof) {
    if proof.verified().stale {
        let (client_id, credential_id) = (proof.key().client_id(), proof.key().credential_id());
        tracing::warn!(%client_id, %credential_id, "Vault is unavailable: a proof from before it was counts");
        app.metrics.stale_verification();
    }
}

/// Records a failed authentication; hands `error` back. What was wrong stays in the log.
async fn fail(
    request: &Request,
    agent_id: Option<Uuid>,
    error: OAuthError,
    token_id: Option<Uuid>,
) -> ApiResult<ApiError> {
    // What a stranger guesses leaves samples. The trail of a known client is complete.
    let unrecorded = match agent_id {
        Some(_) => None,
        None => match request.record_stranger() {
            Some(unrecorded) => Some(unrecorded).filter(|count| *count > 0),
            None => {
                // The event of a known client is waited for: an answer at once would tell that there is none.
                request.app.repos.audit.pretend().await?;
                return Ok(error.into());
            }
        },
    };
    let about = Metadata::of(&Failed { error: error.code(), token_id, unrecorded });
    let (action, now) = (AuditAction::AuthFailed, request.app.now());
    let event = AuditEvent::new(action, Outcome::Failure, agent_id, &request.origin, about, now);
    request.app.repos.audit.append(&event).await?;
    Ok(error.into())
}

/// What the trail tells of a failed authentication.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    error: &'static str,
    /// Of a token that was issued meanwhile and did not go out.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<Uuid>,
    /// How many failures of unknown clients before this one are not in the trail.
    #[serde(skip_serializing_if = "Option::is_none")]
    unrecorded: Option<u64>,
}
