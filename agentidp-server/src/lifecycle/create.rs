//! A new credential.

use std::sync::Arc;

use serde_json::json;
use tracing::warn;
use uuid::Uuid;

use super::fail_point::fail_point;
use super::idempotency;
use super::purge::purge_now;
use super::settle::settled;
use super::write_lease::WriteLease;
use super::{Actor, Shown, key, uncut, vault_path};
use crate::app::App;
use crate::domain::idempotency::{Claim, KeyedRequest};
use crate::domain::{
    AuditAction, Credential, CredentialStatus, OpenWrite, OpenWriteKind, PurgeJob, SecretColumns, Timestamp,
};
use crate::error::ApiError;
use crate::repo::InsertCredential;

/// Generates a credential for an active agent.
///
/// # Errors
/// `AGENT_NOT_ACTIVE`, `VAULT_WRITE_ERROR`, `SERVICE_UNAVAILABLE` when it took so long that the place was deleted,
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
    let (credential_id, attempt) = (Uuid::new_v4(), Uuid::new_v4());
    let key = key(client_id, credential_id)?;
    let lease = match vault_path(app, &key)? {
        Some(vault_path) => {
            let kind = OpenWriteKind::Create;
            let write = OpenWrite { credential_id, client_id, kind, vault_path, base: 0, attempt, digest: None };
            Some(WriteLease::open(app, write).await?)
        }
        None => None,
    };
    fail_point("create.intended");
    let issued = match app.store.issue(&key).await {
        Ok(issued) => issued,
        Err(error) => {
            // Whatever Vault has written is deleted in the background: just now it may not be able to.
            abandon(lease).await;
            return Err(ApiError::vault(error));
        }
    };
    fail_point("create.written");

    let now = app.now();
    let credential = Credential {
        credential_id,
        client_id,
        status: CredentialStatus::Active,
        secret: SecretColumns::new(&issued.stored, issued.selector)
            .map_err(ApiError::internal)?
            .awaiting_use(claim.is_some())
            .written_by(attempt),
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    let metadata = json!({ "credentialId": credential_id, "expiresAt": expires_at });
    let event = actor.event(AuditAction::CredentialGenerated, client_id, metadata, now);
    let mut refused = None;
    let commit = idempotency::insert(app, claim, &credential, &event).await.map(|outcome| {
        refused = Some(outcome).filter(|outcome| *outcome != InsertCredential::Inserted);
        refused.is_none()
    });
    match settled(app, &credential, lease.as_ref(), commit).await {
        Ok(true) => {
            fail_point("create.committed");
            return Ok(Shown { credential, secret: issued.secret, replayed: false });
        }
        Ok(false) => {}
        Err(error) => {
            abandon(lease).await;
            return Err(error);
        }
    }
    if refused == Some(InsertCredential::WriteLost) {
        // We were so slow that the place is being deleted, or was before our write: it is deleted once more.
        warn!(%credential_id, "a new credential took longer than its lease: it is given up, and none was made");
        if let Some(vault_path) = credential.secret.vault_path {
            app.repos.purges.schedule(&PurgeJob::delete(client_id, credential_id, vault_path, app.now())).await?;
        }
        return Err(ApiError::Busy(None));
    }
    if let Some(job) = abandon(lease).await {
        purge_now(app, &[job]).await;
    }
    Err(ApiError::AgentNotActive)
}

/// Gives the new credential up: its id is never used again.
async fn abandon(lease: Option<WriteLease<'_>>) -> Option<PurgeJob> {
    match lease {
        Some(lease) => lease.abandon().await,
        None => None,
    }
}
