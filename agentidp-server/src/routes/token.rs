//! `POST /token`: the client credentials grant (RFC 6749 §4.4).
//!
//! Checks come in this order: the form's shape, the grant type, that client authentication is there at all; the rate
//! limit; the client's secret; the agent's status; the scope; the monthly limit.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::{ClientSecret, CredentialKey, CredentialSecrets, Error, ErrorKind, VerifyError};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::domain::{AgentStatus, AuditAction, AuditEvent, Metadata, Outcome, Scopes};
use crate::error::{ApiError, ApiResult};
use crate::http::{self, ClientAuthError, ClientCredentials, Form, OAuthError, Request, Response, body, respond};
use crate::repo::Authentication;

/// How often a secret is tried whose row changes meanwhile. Each time takes another retried request.
const ATTEMPTS: usize = 5;

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

    let proof = authenticate(&request.app, client_id, &presented.secret).await?;
    let (client_id, credential_id, stale) = match proof {
        Proof::Proved { client_id, credential_id, status: AgentStatus::Active, stale } => {
            (client_id, credential_id, stale)
        }
        Proof::Proved { client_id, .. } => {
            let error = OAuthError::UnauthorizedClient("the agent is not active");
            return Err(fail(request, Some(client_id), error).await?.into());
        }
        Proof::Failed { agent_id } => {
            let error = OAuthError::InvalidClient { basic: presented.basic };
            return Err(fail(request, agent_id, error).await?.into());
        }
    };
    request.client = Some(client_id.to_string());
    let scope = match scope.as_deref() {
        Some(list) => Scopes::parse(list).ok_or(OAuthError::InvalidScope)?,
        None => Scopes::ALL,
    };
    grant(request, client_id, credential_id, scope, stale).await
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
            return Err(fail(request, None, OAuthError::InvalidClient { basic: true }).await?.into());
        }
    };
    Ok((presented, form.get("scope").map(str::to_owned)))
}

/// What became of an authentication.
enum Proof {
    /// `stale`: Vault could not be asked, and a proof from before counted.
    Proved {
        client_id: Uuid,
        credential_id: Uuid,
        status: AgentStatus,
        stale: bool,
    },
    Failed {
        agent_id: Option<Uuid>,
    },
}

/// A client and its credentials.
type Known = (Uuid, Arc<Authentication>);

/// Tries the secret against the client's credentials, anew where a row was changed meanwhile: while a first use was being
/// noted, or ended, which lets Vault forget.
async fn authenticate(app: &Arc<App>, client_id: Option<Uuid>, secret: &ClientSecret) -> ApiResult<Proof> {
    let mut known: Option<Known> = match client_id {
        Some(id) => app.repos.credentials.authenticate(id, app.now()).await?.map(|known| (id, known)),
        None => None,
    };
    for _ in 0..ATTEMPTS {
        let gone = match attempt_to_authenticate(app, client_id, known.as_ref(), secret).await? {
            Attempt::Decided(proof) => return Ok(proof),
            Attempt::Changed => None,
            Attempt::Gone(error) => Some(error),
        };
        let before = known;
        known = match client_id {
            Some(id) => app.repos.credentials.authenticate_anew(id, app.now()).await?.map(|known| (id, known)),
            None => None,
        };
        if let Some(error) = gone.filter(|_| candidates(known.as_ref()) == candidates(before.as_ref())) {
            return Err(ApiError::vault(error));
        }
    }
    Err(ApiError::Busy(None))
}

fn candidates(known: Option<&Known>) -> &[(CredentialKey, CredentialSecrets)] {
    known.map_or(&[], |(_, known)| known.candidates())
}

enum Attempt {
    Decided(Proof),
    /// The row was changed meanwhile.
    Changed,
    /// Vault has no such secret.
    Gone(Error),
}

/// The same work is done for a client that does not exist.
async fn attempt_to_authenticate(
    app: &Arc<App>,
    client_id: Option<Uuid>,
    known: Option<&Known>,
    secret: &ClientSecret,
) -> ApiResult<Attempt> {
    match (app.store.verify_any(candidates(known), secret).await, known) {
        (Ok(matched), Some((client_id, known))) => {
            let none = || ApiError::internal("a secret matched no credential");
            let credential_id = known.credential_id(matched.index).ok_or_else(none)?;
            let row = || known.credential(matched.index).ok_or_else(none);
            // A retried request may have replaced it just now: then this is no secret of the client's any more.
            if known.awaits_use(matched.index) && !app.repos.idempotency.used(&row()?).await? {
                return Ok(Attempt::Changed);
            }
            if app.upgrades.wants(&matched.verified) {
                let mut row = row()?;
                row.secret.awaits_use = false;
                app.upgrades.begin(app, row, &matched.verified, secret);
            }
            let (client_id, stale) = (*client_id, matched.verified.stale);
            if stale {
                tracing::warn!(%client_id, %credential_id, "Vault is unavailable: a proof from before it was counts");
                app.metrics.stale_verification();
            }
            Ok(Attempt::Decided(Proof::Proved { client_id, credential_id, status: known.agent_status, stale }))
        }
        // A store that matches nothing against nothing would be broken.
        (Ok(_), None) => Err(ApiError::internal("a secret matched no client")),
        (Err(VerifyError::Mismatch), _) => {
            if let Some(corrupt) = known.and_then(|(_, known)| known.corrupt()) {
                return Err(ApiError::internal(corrupt.clone()));
            }
            let reason = if known.is_none() { "no such client" } else { "no active credential matches" };
            let claimed = client_id.map(tracing::field::display);
            tracing::warn!(client_id = claimed, reason, "a client failed to authenticate");
            Ok(Attempt::Decided(Proof::Failed { agent_id: known.map(|(id, _)| *id) }))
        }
        (Err(VerifyError::Backend(error)), _) if error.kind() == ErrorKind::NotFound => Ok(Attempt::Gone(error)),
        (Err(VerifyError::Backend(error)), _) => Err(ApiError::vault(error)),
        (Err(error), _) => Err(ApiError::internal(error)),
    }
}

/// Records a failed authentication; hands `error` back. What was wrong stays in the log.
async fn fail(request: &Request, agent_id: Option<Uuid>, error: OAuthError) -> ApiResult<OAuthError> {
    let event = event(request, AuditAction::AuthFailed, Outcome::Failure, agent_id, json!({ "error": error.code() }));
    request.app.repos.audit.append(&event).await?;
    Ok(error)
}

/// Signs a token and records it; it goes out only when it is on record and within the monthly limit.
async fn grant(
    request: &Request,
    client_id: Uuid,
    credential_id: Uuid,
    scope: Scopes,
    stale: bool,
) -> Result<Response, Refusal> {
    let app = &request.app;
    let issued = app.tokens.issue(&client_id.to_string(), scope, TTL).await?;
    let about = Metadata::of(&Issued { credential_id, scope, stale, token_id: issued.claims.jti });
    let success = event(request, AuditAction::TokenIssued, Outcome::Success, Some(client_id), about);
    let limit = app.settings.monthly_token_limit;
    if !app.repos.tokens.issued(client_id, limit, &success).await? {
        let about = json!({ "error": "unauthorized_client", "limit": limit });
        let refused = event(request, AuditAction::TokenIssued, Outcome::Failure, Some(client_id), about);
        app.repos.audit.append(&refused).await?;
        return Err(OAuthError::UnauthorizedClient("the monthly token limit is reached").into());
    }
    let body = Granted { access_token: &issued.token, token_type: "Bearer", expires_in: TTL.as_secs(), scope };
    Ok(respond::json(StatusCode::OK, &body))
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
