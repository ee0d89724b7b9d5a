//! `POST /token`: the client credentials grant (RFC 6749 §4.4).
//!
//! Checks come in this order: the form's shape, the grant type, that client authentication is there at all; the rate
//! limit; the client's secret; the agent's status; the scope; the monthly limit.
//!
//! The last check is a second look at the rows, when the token is on record and its answer is ready
//! to be sent. It refuses a login that a revocation, a rotation or a suspension has overtaken
//! ([`Lifecycle::still_counts`](agentidp_secrets::lifecycle::Lifecycle::still_counts)). Nothing waits between that look and the answer.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::ClientId;
use agentidp_secrets::lifecycle::{Decision, Proof};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::domain::{AuditAction, AuditEvent, Metadata, Outcome, Scopes, ids};
use crate::error::{ApiError, ApiResult};
use crate::http::{self, ClientAuthError, ClientCredentials, Form, OAuthError, Request, Response, body, respond};

/// How long a token lives (documented).
const TTL: Duration = Duration::from_secs(3600);

/// Issues a token to a client that proves itself.
pub(super) async fn issue(request: &mut Request) -> ApiResult<Response> {
    let outcome = attempt(request).await;
    request.app.metrics.token_issued(if outcome.is_ok() { Outcome::Success } else { Outcome::Failure });
    match outcome {
        Ok(response) => Ok(response),
        Err(Refusal::OAuth(error)) => Ok(error.into_response()),
        Err(Refusal::Api(error)) => Err(error),
    }
}

/// Why no token is issued: in the words of RFC 6749, or in ours.
enum Refusal {
    OAuth(OAuthError),
    Api(ApiError),
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self::OAuth(error)
    }
}

impl<E: Into<ApiError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Api(error.into())
    }
}

async fn attempt(request: &mut Request) -> Result<Response, Refusal> {
    let (presented, scope) = read(request).await?;
    let client_id = http::uuid(&presented.client_id);
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
    let scope = match scope.as_deref() {
        Some(list) => Scopes::parse(list).ok_or(OAuthError::InvalidScope)?,
        None => Scopes::ALL,
    };
    grant(request, proof, scope, &presented).await
}

/// The proof, or the refusal of the client, which is recorded; with the id of the token that it
/// would have got.
async fn admit(
    request: &Request,
    client_id: Option<Uuid>,
    decision: Decision,
    presented: &ClientCredentials,
    token_id: Option<Uuid>,
) -> Result<Proof, Refusal> {
    let (agent_id, error) = match decision {
        Decision::Proved(proof) => return Ok(proof),
        Decision::NotActive => (client_id, OAuthError::UnauthorizedClient("the agent is not active")),
        Decision::Mismatch { known } => {
            let reason = if known { "no active credential matches" } else { "no such client" };
            tracing::warn!(
                client_id = client_id.map(tracing::field::display),
                reason,
                "a client failed to authenticate"
            );
            (client_id.filter(|_| known), OAuthError::InvalidClient { basic: presented.basic })
        }
    };
    Err(fail(request, agent_id, error, token_id).await?.into())
}

/// A word where Vault could not be asked.
fn tell_stale(app: &App, proof: &Proof) {
    if proof.verified().stale {
        let (client_id, credential_id) = (proof.key().client_id(), proof.key().credential_id());
        tracing::warn!(%client_id, %credential_id, "Vault is unavailable: a proof from before it was counts");
        app.metrics.stale_verification();
    }
}

/// Reads the form as far as it can be judged without knowing the client. The second part is `scope`, as it was written.
async fn read(request: &mut Request) -> Result<(ClientCredentials, Option<String>), Refusal> {
    let body = request.form().await?;
    let form = Form::parse(&body);
    body::wipe(body);
    let form = form.map_err(|_| OAuthError::InvalidRequest("the form is malformed or repeats a parameter"))?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(OAuthError::UnsupportedGrantType.into()),
        None => return Err(OAuthError::InvalidRequest("grant_type is missing").into()),
    }
    let presented = match ClientCredentials::read(&request.head.headers, &form) {
        Ok(presented) => presented,
        Err(ClientAuthError::InvalidRequest(why)) => return Err(OAuthError::InvalidRequest(why).into()),
        Err(ClientAuthError::InvalidBasic) => {
            request.limit(request.app.limiter.claimed("", request.origin.ip_address))?;
            return Err(fail(request, None, OAuthError::InvalidClient { basic: true }, None).await?.into());
        }
    };
    Ok((presented, form.get("scope").map(str::to_owned)))
}

/// Records a failed authentication; hands `error` back. What was wrong stays in the log.
async fn fail(
    request: &Request,
    agent_id: Option<Uuid>,
    error: OAuthError,
    token_id: Option<Uuid>,
) -> ApiResult<OAuthError> {
    let about = Metadata::of(&Failed { error: error.code(), token_id });
    let event = event(request, AuditAction::AuthFailed, Outcome::Failure, agent_id, about);
    request.app.repos.audit.append(&event).await?;
    Ok(error)
}

/// Signs a token and records it; it goes out only when it is on record, within the monthly limit,
/// and its proof still counts. What is on record and did not go out is named by an `auth.failed`
/// event, or by the log where the rows could not be read.
async fn grant(
    request: &Request,
    proof: Proof,
    scope: Scopes,
    presented: &ClientCredentials,
) -> Result<Response, Refusal> {
    let app = &request.app;
    let ((client_id, credential_id), stale) = (ids(proof.key()), proof.verified().stale);
    let issued = app.tokens.issue(&client_id.to_string(), scope, TTL).await?;
    let token_id = issued.claims.jti;
    let about = Metadata::of(&Issued { credential_id, scope, stale, token_id });
    let success = event(request, AuditAction::TokenIssued, Outcome::Success, Some(client_id), about);
    let body = Granted { access_token: &issued.token, token_type: "Bearer", expires_in: TTL.as_secs(), scope };
    let response = respond::json(StatusCode::OK, &body);
    let limit = app.settings.monthly_token_limit;
    if !app.repos.tokens.issued(client_id, limit, &success).await? {
        let about = json!({ "error": "unauthorized_client", "limit": limit });
        let refused = event(request, AuditAction::TokenIssued, Outcome::Failure, Some(client_id), about);
        app.repos.audit.append(&refused).await?;
        return Err(OAuthError::UnauthorizedClient("the monthly token limit is reached").into());
    }
    // Last of all: a wait below this line would be time for a revocation to overtake the token.
    let decision = app.life().still_counts(proof, &presented.secret).await.inspect_err(|_| {
        tracing::warn!(%client_id, %token_id, "a token that is on record was not handed out");
    })?;
    admit(request, Some(client_id), decision, presented, Some(token_id)).await?;
    Ok(response)
}

/// What the trail tells of a token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    credential_id: Uuid,
    scope: Scopes,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    token_id: Uuid,
}

/// What the trail tells of a failed authentication.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    error: &'static str,
    /// Of a token that was issued meanwhile and did not go out.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<Uuid>,
}

/// The documented answer (RFC 6749 §5.1). No `Debug`: it holds a token.
#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    scope: Scopes,
}

fn event(
    request: &Request,
    action: AuditAction,
    outcome: Outcome,
    agent_id: Option<Uuid>,
    metadata: impl Into<Metadata>,
) -> AuditEvent {
    AuditEvent::new(action, outcome, agent_id, &request.origin, metadata, request.app.now())
}
