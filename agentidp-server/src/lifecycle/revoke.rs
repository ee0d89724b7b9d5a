//! The end of a credential.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::fail_point::fail_point;
use super::purge::purge_now;
use super::{Actor, uncut};
use crate::app::App;
use crate::domain::AuditAction;
use crate::error::ApiError;
use crate::repo::Revoke;

/// Revokes a credential. It takes effect with the commit, whatever Vault does; a healthy Vault has forgotten the secret
/// when this returns, another one is asked again until it has.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED`, `INTERNAL_SERVER_ERROR`.
pub(crate) async fn revoke(app: Arc<App>, actor: Actor, client_id: Uuid, credential_id: Uuid) -> Result<(), ApiError> {
    uncut(async move {
        let now = app.now();
        let metadata = json!({ "credentialId": credential_id });
        let event = actor.event(AuditAction::CredentialRevoked, client_id, metadata, now);
        match app.repos.credentials.revoke(client_id, credential_id, now, &event).await? {
            Revoke::Revoked(jobs) => {
                fail_point("revoke.committed");
                purge_now(&app, &jobs).await;
                Ok(())
            }
            Revoke::AlreadyRevoked => Err(ApiError::CredentialAlreadyRevoked),
            Revoke::NotFound => Err(ApiError::CredentialNotFound),
        }
    })
    .await
}
