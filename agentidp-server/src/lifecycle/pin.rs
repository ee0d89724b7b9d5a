//! Having the row pin another version of its secret: one that a bare path means, or one that a repair wrote.

use agentidp_secrets::{ErrorKind, Operation, StoredSecret};
use uuid::Uuid;

use super::rotate::{Rotation, plan};
use super::settle::settled;
use super::write_lease::WriteLease;
use super::{vault_path, writing};
use crate::app::App;
use crate::domain::{Credential, OpenWrite, OpenWriteKind, SecretColumns};
use crate::error::ApiError;

/// Finishes what a server left that died while it wrote a current secret anew.
///
/// # Errors
/// As `rotate`.
pub(crate) async fn finish_repair(app: &App, client_id: Uuid, credential_id: Uuid) -> Result<(), ApiError> {
    Rotation::of(app, client_id, credential_id)?.finish_repair().await
}

impl<'a> Rotation<'a> {
    async fn finish_repair(&self) -> Result<(), ApiError> {
        let (Some(place), before) = (vault_path(self.app, &self.key)?, self.active().await?) else { return Ok(()) };
        let (kind, base) = plan(&before, &place);
        let write = OpenWrite {
            credential_id: self.credential_id,
            client_id: self.client_id,
            kind,
            vault_path: place,
            base,
            attempt: Uuid::new_v4(),
            digest: None,
        };
        let Some(lease) = WriteLease::try_open(self.app, write).await? else { return Ok(()) };
        match writing::repaired(self.app, &self.key, &lease).await {
            Ok(Some(stored)) => self.pin_to(&before, &stored, lease).await.map(drop),
            Ok(None) => {
                lease.end().await;
                Ok(())
            }
            Err(error) => Err(lease.failed(error.with_operation(Operation::Rotate)).await),
        }
    }

    /// Has the row pin the version that its bare path means now, before anything is written over it. Gives the lease back where
    /// there is no secret to pin.
    pub(super) async fn pin(
        &self,
        before: &Credential,
        mut lease: WriteLease<'a>,
    ) -> Result<Option<WriteLease<'a>>, ApiError> {
        let record = before.secret.to_record().map_err(ApiError::internal)?;
        match self.app.store.pin(&self.key, &record).await {
            Ok(pinned) => self.pin_to(before, &pinned, lease).await.map(|_| None),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Malformed) => {
                lease.reopen(OpenWriteKind::Move, 0, None).await?;
                Ok(Some(lease))
            }
            Err(error) => Err(lease.failed(error.with_operation(Operation::Rotate)).await),
        }
    }

    /// Has the row pin another version of the same secret; says whether the row still was as `before`.
    pub(super) async fn pin_to(
        &self,
        before: &Credential,
        stored: &StoredSecret,
        lease: WriteLease<'a>,
    ) -> Result<bool, ApiError> {
        let columns = SecretColumns::new(stored, None).map_err(ApiError::internal)?;
        let secret = SecretColumns {
            vault_version: columns.vault_version,
            secret_selector: before.secret.secret_selector.clone(),
            awaits_use: before.secret.awaits_use,
            ..columns.written_by(lease.attempt())
        };
        let after = Credential { secret, ..before.clone() };
        let commit = self.app.repos.credentials.upgrade(before, &after).await;
        Ok(settled(self.app, &after, Some(&lease), commit).await?)
    }
}
