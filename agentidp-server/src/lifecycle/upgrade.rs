//! What a login proves is put into today's form.

use std::error::Error as _;
use std::sync::Arc;

use agentidp_secrets::{ClientSecret, CredentialKey, Generation, Verified};
use tokio::sync::Semaphore;
use tracing::{Instrument, debug, info, warn};
use uuid::Uuid;

use super::fail_point::fail_point;
use super::settle::settled;
use super::write_lease::WriteLease;
use super::{key, vault_path, writing};
use crate::app::App;
use crate::domain::{Credential, CredentialStatus, OpenWrite, OpenWriteKind, PurgeJob, SecretColumns};
use crate::error::ApiError;

/// Upgrades under way at a time. After a change of settings every login wants one; whoever finds no room has it at a later
/// login.
const MOST: usize = 16;

/// Puts proved secrets into today's form, in the background: a record of another backend or of weaker parameters is stored
/// anew, where that is switched on, and a record without its selector gets one. The client keeps its secret and notices
/// nothing; a failure is tried again at a later login.
#[derive(Debug)]
pub struct Upgrades {
    records: bool,
    room: Arc<Semaphore>,
}

impl Upgrades {
    /// With `records` set records are stored anew, not only selectors added.
    #[must_use]
    pub fn new(records: bool) -> Self {
        Self { records, room: Arc::new(Semaphore::new(MOST)) }
    }

    /// Whether there is anything to begin.
    pub(crate) fn wants(&self, proof: &Verified) -> bool {
        self.stores_anew(proof) || proof.selector.is_some()
    }

    /// Begins what `proof` of the secret in the row `before` asks for, and returns at once.
    pub(crate) fn begin(&self, app: &Arc<App>, before: Credential, proof: &Verified, proved: &ClientSecret) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let (proof, proved, anew) = (proof.clone(), proved.clone(), self.stores_anew(proof));
        let upgrade = Upgrade { app: Arc::clone(app), before, proof, proved, anew };
        let run = async move {
            let _room = room;
            upgrade.run().await;
        };
        tokio::spawn(run.in_current_span());
    }

    fn stores_anew(&self, proof: &Verified) -> bool {
        self.records && proof.outdated && !proof.stale
    }
}

struct Upgrade {
    app: Arc<App>,
    before: Credential,
    proof: Verified,
    proved: ClientSecret,
    anew: bool,
}

impl Upgrade {
    async fn run(&self) {
        let credential_id = self.before.credential_id;
        match self.upgrade().await {
            Ok(Some(true)) if self.anew => info!(%credential_id, "a credential's record was put into today's form"),
            Ok(Some(true)) => debug!(%credential_id, "a credential has got its selector"),
            Ok(Some(false)) => debug!(%credential_id, "a credential changed before its upgrade was committed"),
            Ok(None) => {}
            Err(error) => {
                let cause = error.source().map(tracing::field::display);
                warn!(%credential_id, %error, cause, "a credential was not upgraded; a later login tries again");
            }
        }
    }

    /// Whether the row was as it had been when the upgrade was committed. `None`: there was nothing to do, or another server
    /// is writing.
    async fn upgrade(&self) -> Result<Option<bool>, ApiError> {
        if !self.anew {
            let Some(selector) = self.proof.selector else { return Ok(None) };
            let secret_selector = Some(selector.to_text());
            let secret = SecretColumns { secret_selector, ..self.before.secret.clone() };
            return self.commit(secret, Uuid::new_v4(), None).await;
        }
        let key = key(self.before.client_id, self.before.credential_id)?;
        match vault_path(&self.app, &key)? {
            Some(place) => self.move_to(&key, place).await,
            None => self.store_anew(&key).await,
        }
    }

    /// Puts another digest into the row.
    async fn store_anew(&self, key: &CredentialKey) -> Result<Option<bool>, ApiError> {
        let record = self.before.secret.to_record().map_err(ApiError::internal)?;
        let upgraded = self.app.store.upgrade(key, &record, &self.proof, &self.proved).await;
        let Some(new) = upgraded.map_err(ApiError::vault)? else { return Ok(None) };
        fail_point("upgrade.written");
        let secret = SecretColumns::new(&new.stored, new.selector).map_err(ApiError::internal)?;
        self.commit(secret, Uuid::new_v4(), None).await
    }

    /// Moves the secret to Vault. The one that was proved is written over whatever lies there, and no digest of it is noted: it
    /// must never be taken for a generated one.
    async fn move_to(&self, key: &CredentialKey, vault_path: String) -> Result<Option<bool>, ApiError> {
        let Credential { client_id, credential_id, .. } = self.before;
        let wanted = self.proof.generation == Generation::Current && self.app.store.primary().can_store(&self.proved);
        if !wanted || self.before.secret.vault_path.as_ref() == Some(&vault_path) {
            return Ok(None);
        }
        let (kind, attempt) = (OpenWriteKind::Move, Uuid::new_v4());
        let write = OpenWrite { credential_id, client_id, kind, vault_path, base: 0, attempt, digest: None };
        // An upgrade never waits: the write that is open is a rotation's, or another login's.
        let Some(lease) = WriteLease::try_open(&self.app, write).await? else { return Ok(None) };
        // Another login, or a rotation, may have been committed since the row was read. From here on none is.
        match self.is_unchanged().await {
            Ok(true) => {}
            changed => {
                lease.close().await;
                return changed.map(|_| Some(false));
            }
        }
        fail_point("upgrade.intended");
        let (new, lease) = writing::moving_in(&self.app, key, self.proved.clone(), lease).await?;
        fail_point("upgrade.written");
        let secret = SecretColumns::new(&new.stored, new.selector).map_err(ApiError::internal)?;
        // What is not committed counts for nothing, and stays until the next move, or the end.
        self.commit(secret, attempt, Some(&lease)).await
    }

    async fn commit(
        &self,
        secret: SecretColumns,
        attempt: Uuid,
        lease: Option<&WriteLease<'_>>,
    ) -> Result<Option<bool>, ApiError> {
        let after = Credential { secret: secret.written_by(attempt), ..self.before.clone() };
        let commit = self.app.repos.credentials.upgrade(&self.before, &after).await;
        let upgraded = settled(&self.app, &after, lease, commit).await?;
        if upgraded {
            fail_point("upgrade.committed");
        } else if self.is_over().await? {
            self.clear_away(after.secret.vault_path).await?;
        }
        Ok(Some(upgraded))
    }

    async fn is_unchanged(&self) -> Result<bool, ApiError> {
        let Credential { client_id, credential_id, .. } = self.before;
        let row = self.app.repos.credentials.find(client_id, credential_id).await?;
        Ok(row.is_some_and(|row| row.secret.revision == self.before.secret.revision))
    }

    async fn is_over(&self) -> Result<bool, ApiError> {
        let Credential { client_id, credential_id, .. } = self.before;
        let row = self.app.repos.credentials.find(client_id, credential_id).await?;
        Ok(row.is_none_or(|row| row.status == CredentialStatus::Revoked))
    }

    /// The credential has ended meanwhile: what was written after the deletion has to go as well.
    async fn clear_away(&self, vault_path: Option<String>) -> Result<(), ApiError> {
        let Some(vault_path) = vault_path.filter(|_| self.anew) else { return Ok(()) };
        let Credential { client_id, credential_id, .. } = self.before;
        let job = PurgeJob::delete(client_id, credential_id, vault_path, self.app.now());
        Ok(self.app.repos.purges.schedule(&job).await?)
    }
}
