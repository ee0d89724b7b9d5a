//! From Vault's side: paths that no row vouches for.

use agentidp_secrets::{Error, ErrorKind, SecretBackend as _};
use uuid::Uuid;

use super::{Drift, DriftClass, PAGE, Pass, ReconcileError};
use crate::domain::key;
use crate::repo::Vouched;

impl Pass<'_> {
    /// Goes through all that Vault lists. Why it could not, where the listing is refused.
    pub(super) async fn compare_paths(&mut self) -> Result<Option<Error>, ReconcileError> {
        let mut after = None;
        loop {
            let page = match self.vault.clients(after.as_deref(), PAGE.into()).await {
                Ok(page) => page,
                // The right is not in the policy that the server needs.
                Err(error) if error.kind() == ErrorKind::Denied => return Ok(Some(error)),
                Err(error) => return Err(ReconcileError::Vault(error)),
            };
            for client in &page.names {
                self.compare_client(client).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
    }

    async fn compare_client(&mut self, client: &str) -> Result<(), ReconcileError> {
        let Ok(client_id) = parse(client) else {
            self.found(&Drift::named(DriftClass::ForeignName, client, ""));
            return Ok(());
        };
        let mut after = None;
        loop {
            let listed = self.vault.credentials_of(client, after.as_deref(), PAGE.into()).await;
            let page = listed.map_err(ReconcileError::Vault)?;
            for credential in &page.names {
                match parse(credential) {
                    Ok(credential_id) => self.compare_path(client_id, credential_id).await?,
                    Err(_) => self.found(&Drift::named(DriftClass::ForeignName, client, credential)),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// A write of this database that is under way has its intent, which is a job. A path without row and job may be of another
    /// database all the same, so it is only reported.
    async fn compare_path(&mut self, client_id: Uuid, credential_id: Uuid) -> Result<(), ReconcileError> {
        let key = key(client_id, credential_id).map_err(ReconcileError::Vault)?;
        let Some(place) = self.vault.place(&key) else { return Err(ReconcileError::NoVault) };
        if self.app.repos.drift.vouched(credential_id, place.payload()).await? != Vouched::Nobody {
            return Ok(());
        }
        self.found(&Drift::named(DriftClass::PathWithoutRow, &client_id.to_string(), &credential_id.to_string()));
        Ok(())
    }
}

/// An id as this server writes it: other spellings of the same id are another path.
fn parse(name: &str) -> Result<Uuid, ()> {
    Uuid::parse_str(name).ok().filter(|id| id.to_string() == name).ok_or(())
}
