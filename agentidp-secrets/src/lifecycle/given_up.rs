//! What an issue has left whose row was never committed. It is deleted only where it is recognised: the credential id may be used
//! by another database too, such as one that this was restored from.

use super::digest::SecretDigest;
use super::ledger::Ledger;
use super::note::{Claim, DebtKind, OpenWrite, OpenWriteKind};
use super::revision::Revision;
use super::rows::State;
use super::{Failure, Lifecycle};
use crate::backend::{Custody, Held, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl<L: Ledger> Lifecycle<L> {
    /// The new credential is given up: what was written for it is owed to be deleted.
    pub(super) async fn give_up(&self, key: &CredentialKey, attempt: Revision, digest: Option<&SecretDigest>) {
        let Ok(Some(place)) = self.place(key) else { return };
        self.in_time(key, |state, note, now| {
            if *state == State::Absent && (note.open.is_none() || note.is_of(attempt)) {
                let (place, digests) = (place.clone(), digest.cloned().into_iter().collect());
                let kind = OpenWriteKind::Create;
                note.give_up(OpenWrite { kind, place, base: 0, attempt, digests, lease_until: now }, now);
            }
        })
        .await;
    }

    /// A secret that was brought gets no row. It is deleted where it is still what was written there, and never later: it could not be
    /// told from what another program may have written.
    pub(super) async fn take_back(&self, key: &CredentialKey, attempt: Revision, stored: &StoredSecret) {
        let primary = self.0.store.primary_backend();
        let is_ours = |held: &Held| matches!(held, Held::Version { stored: there, .. } if there == stored);
        if primary.info().custody == Custody::Backend
            && self.may_delete(&primary.info().id)
            && primary.inspect(key, None).await.is_ok_and(|held| is_ours(&held))
        {
            // What fails here stays, and a comparison reports it.
            let _ = primary.forget(key).await;
        }
        self.abandon(key, attempt).await;
    }

    /// The credential has ended meanwhile: what was written after the deletion has to go as well. Nothing is owed where there is no row:
    /// the place may be another database's by now.
    pub(super) async fn clear_away(&self, key: &CredentialKey) {
        let Ok(Some(place)) = self.place(key) else { return };
        self.at_stage("clear away");
        let owed = self.in_time(key, |state, note, now| {
            if *state == State::Ended {
                note.owe(place.clone(), DebtKind::Delete, now);
            }
        });
        if owed.await.is_some() {
            self.purge_now(key).await;
        }
    }

    /// Whether the place, where a first write has found something, holds no secret of ours. It is not ours either where the backend
    /// cannot say what it holds.
    pub(super) async fn is_anothers(&self, key: &CredentialKey, ours: &ClientSecret) -> bool {
        match self.0.store.primary_backend().inspect(key, None).await {
            Ok(Held::Version { secret, .. }) => !secret.is_some_and(|secret| secret.ct_eq(ours)),
            Ok(Held::Nothing) => false,
            Err(error) => error.kind() == ErrorKind::InvalidConfig,
        }
    }

    /// Deletes a place, where what may be deleted lies there. Says no where another has written there: that stays.
    pub(super) async fn delete(
        &self,
        key: &CredentialKey,
        backend: &SharedBackend,
        claim: &Claim,
    ) -> Result<bool, Failure<L::Error>> {
        if !claim.written.is_empty() {
            match backend.inspect(key, None).await {
                // It may still arrive, and is looked for again.
                Ok(Held::Nothing) => return Ok(true),
                Ok(Held::Version { secret: Some(secret), .. }) if claim.recognises(&secret) => {}
                Ok(Held::Version { .. }) => return Ok(false),
                // It cannot say what it holds.
                Err(error) if error.kind() == ErrorKind::InvalidConfig => {}
                Err(error) => return Err(error.into()),
            }
        }
        backend.forget(key).await?;
        Ok(true)
    }
}

pub(super) fn occupied() -> Error {
    let message = "the place of the credential holds a secret already that this database does not know: choose another credential id";
    Error::new(ErrorKind::Conflict, message)
}
