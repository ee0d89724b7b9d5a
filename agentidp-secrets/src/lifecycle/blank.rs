//! Pushing the secrets out of a place that a credential has left.

use super::commit::Why;
use super::lease::{Asked, Lease};
use super::ledger::{Ledger, State};
use super::note::OpenWriteKind;
use super::rows::Revision;
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
    pub(super) async fn blank(
        &self,
        key: &CredentialKey,
        backend: &SharedBackend,
        place: &StoredSecret,
    ) -> Result<(), Failure<L::Error>> {
        // It may have moved back, and its commit may have been the last before ours. From here on none is.
        let plan = |state: &State, now| {
            let row = state.active().ok_or(Why::Ended)?;
            let counts = |secrets| self.counting(secrets, now).iter().any(|(counting, _)| counting == place);
            if row.secrets.as_ref().is_some_and(counts) { Err(Why::Changed) } else { Ok((OpenWriteKind::Blank, 0)) }
        };
        match self.ask(key, place, Revision::fresh()?, None, plan).await? {
            Asked::Ours(lease) => {
                let blanked = self.push_out(backend, &lease).await;
                self.close(&lease).await;
                blanked
            }
            Asked::Busy | Asked::Refused(_) => Err(Failure::Busy),
        }
    }

    async fn push_out(&self, backend: &SharedBackend, lease: &Lease) -> Result<(), Failure<L::Error>> {
        let Some(last) = last_to_push_out(backend, &lease.key).await? else { return Ok(()) };
        if !self.renew(lease).await? {
            return Err(Failure::Busy);
        }
        for latest in last..last + MOST {
            backend.overwrite(&lease.key, latest, None).await?;
            if matches!(backend.inspect(&lease.key, Some(last)).await?, Held::Nothing) {
                return Ok(());
            }
        }
        let message = "the backend keeps so many versions of the place that it cannot be blanked";
        Err(Error::new(ErrorKind::Conflict, message).into())
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
