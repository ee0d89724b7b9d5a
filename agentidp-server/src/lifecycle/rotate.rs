//! A new secret for a credential.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::{ClientSecret, CredentialKey, Error, ErrorKind, Operation};
use serde_json::json;
use uuid::Uuid;

use super::fail_point::fail_point;
use super::idempotency;
use super::purge::purge_now;
use super::settle::settled;
use super::write_lease::WriteLease;
use super::writing::{self, NewSecret, Written};
use super::{ATTEMPTS, Actor, Shown, key, uncut, vault_path};
use crate::app::App;
use crate::domain::idempotency::{Claim, KeyedRequest};
use crate::domain::{
    AuditAction, Credential, CredentialStatus, OpenWrite, OpenWriteKind, PurgeJob, SecretColumns, SecretDigest,
    Timestamp,
};
use crate::error::ApiError;

/// Replaces a credential's secret; a digest moves to Vault by this where Vault is configured. Without a new expiry a
/// future one stays and a past one is cleared.
///
/// Rotations that race are carried out one after the other: each answer's secret was valid until the next one.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED` (also when the revocation came in between), `VAULT_WRITE_ERROR`,
/// `SERVICE_UNAVAILABLE` when another rotation of the credential lasts longer than 5 s, `INTERNAL_SERVER_ERROR`; then the old
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
    pub(super) app: &'a App,
    pub(super) key: CredentialKey,
    pub(super) client_id: Uuid,
    pub(super) credential_id: Uuid,
}

/// A secret that is written and not yet committed.
pub(super) struct Uncommitted<'a> {
    /// The row that it is to replace the secret of.
    pub(super) before: Credential,
    new: NewSecret,
    attempt: Uuid,
    /// None where the record itself holds the digest.
    lease: Option<WriteLease<'a>>,
}

impl<'a> Uncommitted<'a> {
    /// The secret, and the columns for it; `retryable`: a request made it that may come again.
    pub(super) fn into_parts(
        self,
        retryable: bool,
    ) -> Result<(ClientSecret, SecretColumns, Option<WriteLease<'a>>), ApiError> {
        let columns = SecretColumns::new(&self.new.stored, self.new.selector).map_err(ApiError::internal)?;
        Ok((self.new.secret, columns.awaiting_use(retryable).written_by(self.attempt), self.lease))
    }

    /// Gives up what was written.
    pub(super) async fn give_up(self) {
        if let Some(lease) = self.lease {
            lease.end().await;
        }
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
            let Some(written) = self.write().await? else { continue };
            fail_point("rotate.written");
            if let Some(shown) = self.commit(actor, written, expires_at, claim).await? {
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

    pub(super) async fn active(&self) -> Result<Credential, ApiError> {
        let credential = self.find().await?.ok_or(ApiError::CredentialNotFound)?;
        match credential.status {
            CredentialStatus::Active => Ok(credential),
            CredentialStatus::Revoked => Err(ApiError::CredentialAlreadyRevoked),
        }
    }

    /// Writes a new secret for the row as it is now. Nothing when the row had to be changed first, or another server has
    /// changed it meanwhile: then look again.
    pub(super) async fn write(&self) -> Result<Option<Uncommitted<'a>>, ApiError> {
        let before = self.active().await?;
        let secret = ClientSecret::generate().map_err(ApiError::internal)?;
        match vault_path(self.app, &self.key)? {
            Some(place) => self.write_to_vault(place, before, secret).await,
            None => self.write_digest(before, secret).await.map(Some),
        }
    }

    /// Puts a digest in the record, which touches nothing but the row.
    async fn write_digest(&self, before: Credential, secret: ClientSecret) -> Result<Uncommitted<'a>, ApiError> {
        let new = match before.secret.to_record() {
            Ok(record) => {
                let rotated = self.app.store.rotate_with(&self.key, &record.into(), Duration::ZERO, secret).await;
                rotated.map(NewSecret::from)
            }
            // A row whose columns are no record of ours gets a first secret.
            Err(_) => self.app.store.issue_with(&self.key, secret).await.map(NewSecret::from),
        };
        let new = new.map_err(|error| ApiError::vault(error.with_operation(Operation::Rotate)))?;
        Ok(Uncommitted { before, new, attempt: Uuid::new_v4(), lease: None })
    }

    async fn write_to_vault(
        &self,
        place: String,
        mut before: Credential,
        secret: ClientSecret,
    ) -> Result<Option<Uncommitted<'a>>, ApiError> {
        let (kind, base) = plan(&before, &place);
        let write = OpenWrite {
            credential_id: self.credential_id,
            client_id: self.client_id,
            kind,
            vault_path: place.clone(),
            base,
            attempt: Uuid::new_v4(),
            digest: noted(kind, &secret),
        };
        let mut lease = WriteLease::open(self.app, write).await?;
        fail_point("rotate.intended");
        // Another one may have been committed since the row was read. From here on none is.
        before = match self.active().await {
            Ok(now) => now,
            Err(error) => {
                lease.close().await;
                return Err(error);
            }
        };
        let planned = (kind, base);
        let (mut kind, base) = plan(&before, &place);
        if (kind, base) != planned {
            lease.reopen(kind, base, noted(kind, &secret)).await?;
        }
        if kind == OpenWriteKind::Pin {
            let Some(again) = self.pin(&before, lease).await? else { return Ok(None) };
            (lease, kind) = (again, OpenWriteKind::Move);
        }
        if kind == OpenWriteKind::Move {
            let attempt = lease.attempt();
            let (new, lease) = writing::moving_in(self.app, &self.key, secret, lease).await?;
            return Ok(Some(Uncommitted { before, new, attempt, lease: Some(lease) }));
        }
        if lease.has_repair() {
            match writing::repaired(self.app, &self.key, &lease).await {
                Ok(Some(stored)) => return self.pin_to(&before, &stored, lease).await.map(|_| None),
                Ok(None) => {}
                Err(error) => return Err(lease.failed(error.with_operation(Operation::Rotate)).await),
            }
        }
        let record = before.secret.to_record().map_err(ApiError::internal)?;
        match writing::in_place(self.app, &self.key, &record, base, secret, lease).await? {
            Written::New(new, lease) => {
                let attempt = lease.attempt();
                Ok(Some(Uncommitted { before, new, attempt, lease: Some(lease) }))
            }
            Written::Repaired(stored, lease) => self.pin_to(&before, &stored, lease).await.map(|_| None),
        }
    }

    /// Makes the new secret count. Nothing when another server has changed the row meanwhile.
    async fn commit(
        &self,
        actor: &Actor,
        written: Uncommitted<'a>,
        expires_at: Option<Timestamp>,
        claim: Option<&Claim>,
    ) -> Result<Option<Shown>, ApiError> {
        let (now, before) = (self.app.now(), written.before.clone());
        let (secret, columns, lease) = written.into_parts(claim.is_some())?;
        let after = Credential {
            secret: columns,
            expires_at: expires_at.or(before.expires_at.filter(|at| *at > now)),
            ..before.clone()
        };
        let metadata = json!({ "credentialId": self.credential_id, "expiresAt": after.expires_at });
        let event = actor.event(AuditAction::CredentialRotated, self.client_id, metadata, now);
        let commit = idempotency::rotate(self.app, claim, &before, &after, &event).await;
        if settled(self.app, &after, lease.as_ref(), commit).await? {
            fail_point("rotate.committed");
            return Ok(Some(Shown { credential: after, secret, replayed: false }));
        }
        self.clear_away(after.secret.vault_path).await
    }

    /// The row has changed. Where the credential has ended, what was written after the deletion has to go as well.
    async fn clear_away(&self, written_at: Option<String>) -> Result<Option<Shown>, ApiError> {
        let outcome = match self.find().await? {
            Some(row) if row.status == CredentialStatus::Active => return Ok(None),
            Some(_) => ApiError::CredentialAlreadyRevoked,
            None => ApiError::CredentialNotFound,
        };
        if let Some(vault_path) = written_at {
            let job = PurgeJob::delete(self.client_id, self.credential_id, vault_path, self.app.now());
            self.app.repos.purges.schedule(&job).await?;
            purge_now(self.app, &[job]).await;
        }
        Err(outcome)
    }
}

/// What a write to `place` is for, and the version that the row pins there.
pub(super) fn plan(before: &Credential, place: &str) -> (OpenWriteKind, u64) {
    if before.secret.vault_path.as_deref() != Some(place) {
        return (OpenWriteKind::Move, 0);
    }
    match before.secret.vault_version {
        None => (OpenWriteKind::Pin, 0),
        Some(version) => match u64::try_from(version) {
            Ok(version) if version > 0 => (OpenWriteKind::Rotate, version),
            _ => (OpenWriteKind::Move, 0),
        },
    }
}

/// What is noted of a generated secret: a digest where it becomes the next version in place.
fn noted(kind: OpenWriteKind, secret: &ClientSecret) -> Option<SecretDigest> {
    if kind == OpenWriteKind::Rotate { SecretDigest::of(secret) } else { None }
}
