//! A new credential.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::CredentialKey;
use serde_json::json;
use tracing::warn;
use uuid::Uuid;

use super::fail_point::fail_point;
use super::idempotency;
use super::purge::purge_now;
use super::{Actor, Shown, key, uncut, vault_path};
use crate::app::App;
use crate::domain::idempotency::{Claim, KeyedRequest};
use crate::domain::{AuditAction, Credential, CredentialStatus, PurgeJob, SecretColumns, Timestamp};
use crate::error::ApiError;
use crate::repo::InsertCredential;

/// How long a write to Vault waits for its commit before its path counts as an orphan. Far above every timeout on the
/// way (the longest request takes 30 s).
pub(crate) const INTENT_LIFE: Duration = Duration::from_secs(600);

/// Generates a credential for an active agent.
///
/// # Errors
/// `AGENT_NOT_ACTIVE`, `VAULT_WRITE_ERROR`, `SERVICE_UNAVAILABLE` when it took so long that the path was purged,
/// `INTERNAL_SERVER_ERROR`; then no credential exists and nothing was shown. Those of `idempotency` where the request has a
/// key.
pub(crate) async fn create(
    app: Arc<App>,
    actor: Actor,
    client_id: Uuid,
    expires_at: Option<Timestamp>,
    request: Option<KeyedRequest>,
) -> Result<Shown, ApiError> {
    uncut(async move {
        let (app, actor) = (&app, &actor);
        let work =
            |claim: Option<Claim>| async move { sequence(app, actor, client_id, expires_at, claim.as_ref()).await };
        idempotency::once(app, actor, request, work).await
    })
    .await
}

async fn sequence(
    app: &App,
    actor: &Actor,
    client_id: Uuid,
    expires_at: Option<Timestamp>,
    claim: Option<&Claim>,
) -> Result<Shown, ApiError> {
    let credential_id = Uuid::new_v4();
    let key = key(client_id, credential_id)?;
    let intent = schedule_intent(app, &key, client_id, credential_id).await?;
    fail_point("create.intended");
    let issued = app.store.issue(&key).await.map_err(ApiError::vault)?;
    fail_point("create.written");

    let now = app.now();
    let credential = Credential {
        credential_id,
        client_id,
        status: CredentialStatus::Active,
        secret: SecretColumns::new(&issued.stored, issued.selector)
            .map_err(ApiError::internal)?
            .awaiting_use(claim.is_some()),
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    let metadata = json!({ "credentialId": credential_id, "expiresAt": expires_at });
    let event = actor.event(AuditAction::CredentialGenerated, client_id, metadata, now);
    match idempotency::insert(app, claim, &credential, &event).await? {
        InsertCredential::Inserted => {
            fail_point("create.committed");
            Ok(Shown { credential, secret: issued.secret, replayed: false })
        }
        InsertCredential::AgentNotActive => {
            if let Some(job) = schedule_now(app, intent).await? {
                purge_now(app, &[job]).await;
            }
            Err(ApiError::AgentNotActive)
        }
        InsertCredential::IntentLost => {
            // We were so slow that the path is being purged, or was before our write: it is purged once more.
            warn!(%credential_id, "a new credential took longer than its purge waits: it is given up, and none was made");
            schedule_now(app, intent).await?;
            Err(ApiError::Busy(None))
        }
    }
}

/// Makes an intent's purge due.
async fn schedule_now(app: &App, intent: Option<PurgeJob>) -> Result<Option<PurgeJob>, ApiError> {
    let Some(intent) = intent else { return Ok(None) };
    let job = PurgeJob { due_at: app.now(), ..intent };
    app.repos.purges.schedule(&job).await?;
    Ok(Some(job))
}

/// In Vault mode: schedules the purge of a path that is about to be written for the first time. The commit of the row
/// drops it; a crash before the commit leaves it, and with it no orphan.
///
/// # Errors
/// `SERVICE_UNAVAILABLE` while a purge of the path is under way: what is written now could be deleted by it.
pub(super) async fn schedule_intent(
    app: &App,
    key: &CredentialKey,
    client_id: Uuid,
    credential_id: Uuid,
) -> Result<Option<PurgeJob>, ApiError> {
    let Some(vault_path) = vault_path(app, key)? else { return Ok(None) };
    let job = PurgeJob { credential_id, client_id, vault_path, due_at: app.now().plus(INTENT_LIFE), attempts: 0 };
    if app.repos.purges.intend(&job, app.now()).await? { Ok(Some(job)) } else { Err(ApiError::Busy(None)) }
}
