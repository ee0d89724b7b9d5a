//! Pushing the secrets out of a place that a credential has left.

use super::ledger::Ledger;
use super::note::Claim;
use super::{Failure, Lifecycle};
use crate::backend::{Held, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result as BackendResult};
use crate::record::StoredSecret;

/// Versions that are written at the most. Vault keeps 10 unless set.
const MOST: u64 = 128;

impl<L: Ledger> Lifecycle<L> {
    /// Writes blank versions until none of the secrets is left that were there. Each is a compare-and-set on the one before it, so
    /// a credential that moves back meanwhile ends this, and a blank version that arrives late hurts nothing.
    ///
    /// It opens no write: that would take the place of another one, whose digests would be lost.
    pub(super) async fn blank(
        &self,
        key: &CredentialKey,
        backend: &SharedBackend,
        claim: &Claim,
    ) -> Result<(), Failure<L::Error>> {
        let place = &claim.debt.place;
        let Some(last) = last_to_push_out(backend, key).await? else { return Ok(()) };
        // The credential may have moved back. A move that begins after this look writes a version above `last`.
        let may_blank = self
            .edit(key, |state, note, now| {
                let secrets = state.active().and_then(|row| row.secrets.as_ref());
                let counts = |secrets| self.counting(secrets, now).iter().any(|(counting, _)| counting == place);
                let is_left = state.active().is_some() && !secrets.is_some_and(counts);
                is_left && note.holds(claim) && note.give_up_at(place, now)
            })
            .await?;
        if !may_blank {
            return Err(Failure::Busy);
        }
        let mut are_two = false;
        for latest in last..last + MOST {
            if latest <= last + 1 && !are_two {
                are_two = self.refuse_second_name(key, (place, backend), latest).await?;
            }
            backend.overwrite(key, latest, None).await?;
            if matches!(backend.inspect(key, Some(last)).await?, Held::Nothing) {
                return Ok(());
            }
        }
        let message = "the backend keeps so many versions of the place that it cannot be blanked";
        Err(Error::new(ErrorKind::Conflict, message).into())
    }

    /// Two backends of a store may turn out to be one place under two names: a blank version that is written to the one lies over the
    /// current secret at the other, as its `latest` version too. Then no second one follows, before it pushes that secret out.
    /// Says whether they are two places for certain.
    async fn refuse_second_name(
        &self,
        key: &CredentialKey,
        (left, backend): (&StoredSecret, &SharedBackend),
        latest: u64,
    ) -> Result<bool, Failure<L::Error>> {
        let state = self.edit(key, |state, _, _| state.clone()).await?;
        let current = state.active().and_then(|row| row.secrets.as_ref()).map(|secrets| &secrets.current);
        let Some(to) = current.and_then(|current| self.points_to(current)) else { return Ok(false) };
        if to.place.backend() == left.backend() {
            return Ok(false);
        }
        let there = self.backend_at(key, &to.place)?;
        let Held::Version { secret, version, .. } = there.inspect(key, None).await? else { return Ok(false) };
        if version > latest {
            // Versions only grow in number.
            return Ok(backend.inspect(key, None).await?.version() < version);
        }
        // A backend that was restored may have lost the version that the row pins; then no blank one lies over it.
        if secret.is_some() || version < latest || to.version.is_some_and(|pinned| pinned > version) {
            return Ok(false);
        }
        let mut is_gone = false;
        for number in [to.version, Some(latest), Some(latest - 1)].into_iter().flatten().filter(|number| *number > 0) {
            let held = there.inspect(key, Some(number)).await?;
            if differ(&backend.inspect(key, Some(number)).await?, &held) {
                return Ok(true);
            }
            is_gone |= to.version == Some(number) && held.secret().is_none();
        }
        // A secret that is gone, as after a restore, needs no protection, and its place may have blank versions of its own.
        if is_gone {
            return Ok(false);
        }
        let message = format!(
            "`{}` and `{}` seem to be one place under two names: give the store one of them only",
            left.backend(),
            to.place.backend()
        );
        Err(Error::new(ErrorKind::InvalidConfig, message).into())
    }
}

/// Whether these are not one version. What was read first may have been deleted since, but no secret comes back.
fn differ(later: &Held, first: &Held) -> bool {
    let (Held::Version { .. }, Held::Version { .. }) = (later, first) else { return false };
    match (later.secret(), first.secret()) {
        (Some(later), Some(first)) => !later.ct_eq(first),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// The latest version, if it or one below it holds a secret.
async fn last_to_push_out(backend: &SharedBackend, key: &CredentialKey) -> BackendResult<Option<u64>> {
    let Held::Version { version: last, secret, .. } = backend.inspect(key, None).await? else { return Ok(None) };
    if secret.is_some() {
        return Ok(Some(last));
    }
    for version in (last.saturating_sub(MOST).max(1)..last).rev() {
        match backend.inspect(key, Some(version)).await? {
            Held::Nothing => return Ok(None),
            Held::Version { secret: Some(_), .. } => return Ok(Some(last)),
            Held::Version { .. } => {}
        }
    }
    Ok(None)
}
