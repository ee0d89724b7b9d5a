//! A new secret for a credential.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::{
    BackendId, ClientSecret, CredentialKey, Error, ErrorKind, Operation, Result as StoreResult, Selector, StoredSecret,
};
use serde_json::json;
use tracing::warn;
use uuid::Uuid;

use super::create::{INTENT_LIFE, schedule_intent};
use super::fail_point::fail_point;
use super::idempotency;
use super::purge::purge_now;
use super::{ATTEMPTS, Actor, Shown, key, uncut, vault_path};
use crate::app::App;
use crate::domain::idempotency::{Claim, KeyedRequest};
use crate::domain::{AuditAction, Credential, CredentialStatus, PurgeJob, SecretColumns, Timestamp};
use crate::error::ApiError;

/// Replaces a credential's secret; a digest moves to Vault by this where Vault is configured. Without a new expiry a
/// future one stays and a past one is cleared.
///
/// Rotations that race are carried out one after the other: each answer's secret was valid until the next one.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED` (also when the revocation came in between), `VAULT_WRITE_ERROR`,
/// `SERVICE_UNAVAILABLE` while what an earlier attempt left in Vault is being purged, `INTERNAL_SERVER_ERROR`; then the old
/// secret stays valid and nothing was shown. Those of `idempotency` where the request has a key.
pub(crate) async fn rotate(
    app: Arc<App>,
    actor: Actor,
    client_id: Uuid,
    credential_id: Uuid,
    expires_at: Option<Timestamp>,
    request: Option<KeyedRequest>,
) -> Result<Shown, ApiError> {
    uncut(async move {
        let (rotation, actor) = (&Rotation::of(&app, client_id, credential_id)?, &actor);
        let work = |claim: Option<Claim>| async move { rotation.run(actor, expires_at, claim.as_ref()).await };
        idempotency::once(&app, actor, request, work).await
    })
    .await
}

pub(super) struct Rotation<'a> {
    app: &'a App,
    key: CredentialKey,
    client_id: Uuid,
    credential_id: Uuid,
}

/// A secret that is written and not yet committed.
pub(super) struct Written {
    secret: ClientSecret,
    stored: StoredSecret,
    selector: Option<Selector>,
}

impl Written {
    /// The secret, and the columns for it; `retryable`: a request made it that may come again.
    pub(super) fn into_parts(self, retryable: bool) -> Result<(ClientSecret, SecretColumns), ApiError> {
        let columns = SecretColumns::new(&self.stored, self.selector).map_err(ApiError::internal)?;
        Ok((self.secret, columns.awaiting_use(retryable)))
    }
}

impl<'a> Rotation<'a> {
    pub(super) fn of(app: &'a App, client_id: Uuid, credential_id: Uuid) -> Result<Self, ApiError> {
        Ok(Self { app, key: key(client_id, credential_id)?, client_id, credential_id })
    }

    async fn run(
        &self,
        actor: &Actor,
        expires_at: Option<Timestamp>,
        claim: Option<&Claim>,
    ) -> Result<Shown, ApiError> {
        for _ in 0..ATTEMPTS {
            let before = self.active().await?;
            let Some(written) = self.write(&before).await? else { continue };
            fail_point("rotate.written");
            if let Some(shown) = self.commit(actor, &before, written, expires_at, claim).await? {
                return Ok(shown);
            }
        }
        Err(ApiError::vault(
            Error::new(ErrorKind::Throttled, "too many rotations of one credential at once; try again")
                .with_operation(Operation::Rotate),
        ))
    }

    async fn find(&self) -> Result<Option<Credential>, ApiError> {
        Ok(self.app.repos.credentials.find(self.client_id, self.credential_id).await?)
    }

    async fn active(&self) -> Result<Credential, ApiError> {
        let credential = self.find().await?.ok_or(ApiError::CredentialNotFound)?;
        match credential.status {
            CredentialStatus::Active => Ok(credential),
            CredentialStatus::Revoked => Err(ApiError::CredentialAlreadyRevoked),
        }
    }

    /// Writes a new secret. Nothing when somebody else has changed the row meanwhile.
    pub(super) async fn write(&self, before: &Credential) -> Result<Option<Written>, ApiError> {
        if before.secret.vault_path != vault_path(self.app, &self.key)? {
            schedule_intent(self.app, &self.key, self.client_id, self.credential_id).await?;
            fail_point("rotate.intended");
        }
        match self.replace(before).await {
            Ok(written) => Ok(Some(written)),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                if self.find().await?.as_ref() == Some(before) {
                    self.replace_latest().await
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(ApiError::vault(error)),
        }
    }

    /// Writes over the record of the row; a row whose columns are no record of ours gets a first secret.
    async fn replace(&self, before: &Credential) -> StoreResult<Written> {
        let Ok(record) = before.secret.to_record() else { return self.issue().await };
        match self.replace_record(&record).await {
            // The row points elsewhere in Vault, as it does once VAULT_KV_MOUNT has changed.
            Err(error) if error.kind() == ErrorKind::Malformed => {
                warn!(credential_id = %self.credential_id, %error, "the credential moves here; what Vault has there stays");
                self.issue().await
            }
            replaced => replaced,
        }
    }

    /// Writes over whatever Vault has at the path. The row is unchanged and yet Vault has another version, or none: an
    /// earlier rotation never came to its commit, another one is on its way to it, or somebody deleted the path. Safe in
    /// each case, because rows pin their version and only a commit makes a secret count.
    async fn replace_latest(&self) -> Result<Option<Written>, ApiError> {
        let Some(path) = vault_path(self.app, &self.key)? else { return Ok(None) };
        let latest = StoredSecret::new(BackendId::VAULT_KV2, path);
        match self.replace_record(&latest).await {
            Ok(written) => Ok(Some(written)),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(ApiError::vault(error)),
        }
    }

    async fn replace_record(&self, record: &StoredSecret) -> StoreResult<Written> {
        let rotated = self.app.store.rotate(&self.key, &record.clone().into(), Duration::ZERO).await?;
        Ok(Written { secret: rotated.secret, stored: rotated.stored, selector: rotated.selector })
    }

    async fn issue(&self) -> StoreResult<Written> {
        let issued = self.app.store.issue(&self.key).await.map_err(|error| error.with_operation(Operation::Rotate))?;
        Ok(Written { secret: issued.secret, stored: issued.stored, selector: issued.selector })
    }

    /// Makes the new secret count. Nothing when somebody else has changed the row meanwhile.
    async fn commit(
        &self,
        actor: &Actor,
        before: &Credential,
        written: Written,
        expires_at: Option<Timestamp>,
        claim: Option<&Claim>,
    ) -> Result<Option<Shown>, ApiError> {
        let now = self.app.now();
        let (secret, columns) = written.into_parts(claim.is_some())?;
        let after = Credential {
            secret: columns,
            expires_at: expires_at.or(before.expires_at.filter(|at| *at > now)),
            ..before.clone()
        };
        let metadata = json!({ "credentialId": self.credential_id, "expiresAt": after.expires_at });
        let event = actor.event(AuditAction::CredentialRotated, self.client_id, metadata, now);
        if idempotency::rotate(self.app, claim, before, &after, &event).await? {
            fail_point("rotate.committed");
            return Ok(Some(Shown { credential: after, secret, replayed: false }));
        }
        self.clear_away(after.secret.vault_path).await
    }

    /// A purge that came in between was maybe before our write: then Vault has to forget once more. It is a revocation's,
    /// or our own intent's when we were slower than that waits.
    async fn clear_away(&self, written_at: Option<String>) -> Result<Option<Shown>, ApiError> {
        let (now, found) = (self.app.now(), self.find().await?);
        let (outcome, due_at) = match found {
            Some(row) if row.status == CredentialStatus::Active => {
                if row.secret.vault_path == written_at {
                    return Ok(None);
                }
                (Ok(None), now.plus(INTENT_LIFE))
            }
            Some(_) => (Err(ApiError::CredentialAlreadyRevoked), now),
            None => (Err(ApiError::CredentialNotFound), now),
        };
        if let Some(vault_path) = written_at {
            let (client_id, credential_id) = (self.client_id, self.credential_id);
            let job = PurgeJob { credential_id, client_id, vault_path, due_at, attempts: 0 };
            self.app.repos.purges.schedule(&job).await?;
            if outcome.is_err() {
                purge_now(self.app, &[job]).await;
            }
        }
        outcome
    }
}
