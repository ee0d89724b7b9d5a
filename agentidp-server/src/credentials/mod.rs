//! What changes credentials and agents: the library's sequences, with what this server writes in the same transaction.
//!
//! The protocol itself, with each sequence's steps, is [`agentidp_secrets::lifecycle`], and `life.rs` puts it over this
//! server's tables. Here are the rules that are HTTP's: who is asked for, what the audit trail tells, and requests with an
//! `Idempotency-Key`, which take a claim ahead of all that and note in the commit what they made.

mod actor;
mod agent;
mod change;
mod idempotency;
mod shown;
mod uncut;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::CredentialKey;
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::domain::idempotency::KeyedRequest;
use crate::domain::{Agent, AgentStatus, AuditAction, CredentialStatus, Origin, Page, Timestamp, ids, key};
use crate::error::ApiError;

pub(crate) use actor::Actor;
pub(crate) use agent::change_agent;
pub(crate) use shown::Shown;

use self::change::{Ended, Made};
use self::uncut::uncut;

/// Generates a credential for an active agent, which was just read.
///
/// # Errors
/// `VALIDATION_ERROR` where `expires_at` is over, `AGENT_NOT_ACTIVE`, `FREE_TIER_LIMIT_EXCEEDED`, `VAULT_WRITE_ERROR`, `SERVICE_UNAVAILABLE` when it took so long that the place was deleted,
/// `INTERNAL_SERVER_ERROR`; then no credential exists and nothing was shown. Those of `idempotency` where the request has a
/// key.
pub(crate) async fn create(
    app: Arc<App>,
    actor: Actor,
    agent: Agent,
    expires_at: Option<Timestamp>,
    request: Option<KeyedRequest>,
) -> Result<Shown, ApiError> {
    uncut(async move {
        let (app, actor, client_id) = (&app, &actor, agent.agent_id);
        idempotency::once(app, actor, request, async |claim| {
            // What time and the agent may have changed since counts the first time alone.
            Rotation { expires_at, overlap: Duration::ZERO }.refuse_ended(app.now())?;
            // Ahead of a write to Vault that would be in vain. The commit looks again, with the agent locked.
            if agent.status != AgentStatus::Active {
                return Err(ApiError::AgentNotActive);
            }
            refuse_beyond_limit(app, client_id).await?;
            let key = key(client_id, Uuid::new_v4()).map_err(ApiError::internal)?;
            let limit = app.settings.credential_limit;
            let made = Made::new(app, actor, AuditAction::CredentialGenerated).of_agent(client_id, limit);
            let made = made.expiring(expires_at).under(claim);
            let shown = app.life().issue(&key, made.clone()).await?;
            made.shown(shown.secret)
        })
        .await
    })
    .await
}

/// Ahead of a write to Vault that would be in vain. The commit counts again, with the agent locked.
async fn refuse_beyond_limit(app: &App, client_id: Uuid) -> Result<(), ApiError> {
    let Some(limit) = app.settings.credential_limit else { return Ok(()) };
    let first = Page::new(1, 1);
    let active = app.repos.credentials.list(client_id, Some(CredentialStatus::Active), first).await?;
    if active.total < limit { Ok(()) } else { Err(ApiError::FreeTierLimitExceeded { limit }) }
}

/// Replaces a credential's secret; a digest moves to Vault by this where Vault is configured. Without a new expiry a
/// future one stays and a past one is cleared.
///
/// # Errors
/// `VALIDATION_ERROR` where `options` end too early, `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED` (also when the revocation came in between), `VAULT_WRITE_ERROR`,
/// `SERVICE_UNAVAILABLE` when another rotation of the credential lasts longer than 5 s, `INTERNAL_SERVER_ERROR`; then the old
/// secret stays valid and nothing was shown. Those of `idempotency` where the request has a key.
pub(crate) async fn rotate(
    app: Arc<App>,
    actor: Actor,
    client_id: Uuid,
    credential_id: Uuid,
    options: Rotation,
    request: Option<KeyedRequest>,
) -> Result<Shown, ApiError> {
    uncut(async move {
        let (app, actor) = (&app, &actor);
        let key = key(client_id, credential_id).map_err(ApiError::internal)?;
        idempotency::once(app, actor, request, async |claim| {
            options.refuse_ended(app.now())?;
            let made = Made::new(app, actor, AuditAction::CredentialRotated).expiring(options.expires_at).under(claim);
            let shown = app.life().rotate(&key, options.overlap, made.clone()).await?;
            made.shown(shown.secret)
        })
        .await
    })
    .await
}

/// How a secret is replaced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rotation {
    /// A new end of the credential.
    pub(crate) expires_at: Option<Timestamp>,
    /// How long the secret before works beside the new one.
    pub(crate) overlap: Duration,
}

impl Rotation {
    /// Refuses an end that does not lie ahead, and an overlap that reaches beyond it.
    fn refuse_ended(self, now: Timestamp) -> Result<(), ApiError> {
        match self.expires_at {
            Some(end) if end <= now => Err(ApiError::field("expiresAt", "must lie in the future")),
            Some(end) if now.plus(self.overlap) > end => {
                Err(ApiError::field("overlapSeconds", "must not reach beyond expiresAt"))
            }
            _ => Ok(()),
        }
    }
}

/// Revokes a credential. It takes effect with the commit, whatever Vault does; a healthy Vault has forgotten the secret
/// when this returns, another one is asked again until it has.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED`, `INTERNAL_SERVER_ERROR`.
pub(crate) async fn revoke(app: Arc<App>, actor: Actor, client_id: Uuid, credential_id: Uuid) -> Result<(), ApiError> {
    let key = key(client_id, credential_id).map_err(ApiError::internal)?;
    let about = json!({ "credentialId": credential_id });
    let event = actor.event(AuditAction::CredentialRevoked, client_id, about, app.now());
    Ok(app.life().end(&key, Ended(event)).await?)
}

/// Ends the overlap of a rotation early, unless the previous secret was used not long ago. With `force` it ends all the same.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED`, `NO_PREVIOUS_SECRET`, `PREVIOUS_SECRET_IN_USE`, `INTERNAL_SERVER_ERROR`.
pub(crate) async fn end_previous(
    app: Arc<App>,
    actor: Actor,
    client_id: Uuid,
    credential_id: Uuid,
    force: bool,
) -> Result<(), ApiError> {
    let key = key(client_id, credential_id).map_err(ApiError::internal)?;
    let about = json!({ "credentialId": credential_id, "ended": "previous" });
    let event = actor.event(AuditAction::CredentialRotated, client_id, about, app.now());
    let idle = if force { Duration::ZERO } else { app.settings.previous_secret_idle };
    Ok(app.life().end_previous_unless_used(&key, idle, Ended(event)).await?)
}

/// Ends each overlap whose previous secret was idle for so long; how many they were.
///
/// # Errors
/// `SERVICE_UNAVAILABLE`, `INTERNAL_SERVER_ERROR`.
pub(crate) async fn end_idle_overlaps(app: &App, idle: Duration) -> Result<u64, ApiError> {
    // The server has no address of its own.
    let origin = Origin { ip_address: Ipv4Addr::LOCALHOST.into(), user_agent: "agentidp-server".to_owned() };
    let actor = Actor { subject: "server".to_owned(), origin };
    let event = |key: &CredentialKey| {
        let (client_id, credential_id) = ids(key);
        let about = json!({ "credentialId": credential_id, "ended": "previous", "reason": "idle" });
        Ended(actor.event(AuditAction::CredentialRotated, client_id, about, app.now()))
    };
    Ok(app.life().end_idle_overlaps(idle, event).await?)
}
