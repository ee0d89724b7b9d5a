//! Reading a secret back, for a request whose answer was lost.

use super::ledger::Ledger;
use super::rows::Revision;
use super::{Failure, Lifecycle, Shown};
use crate::backend::Held;
use crate::credential::CredentialKey;
use crate::error::Operation;

impl<L: Ledger> Lifecycle<L> {
    /// Shows the secret of this revision, none for a row from before the column, once more: only to the same request that was to have it, which the caller knows by a key
    /// of the request. Nothing where the row has another secret by now, or where only a digest of it is kept.
    ///
    /// # Errors
    /// [`Failure`]: `NotFound`, `Ended`, `Ledger`, `Backend`.
    pub async fn reveal(
        &self,
        key: &CredentialKey,
        revision: Option<Revision>,
    ) -> Result<Option<Shown>, Failure<L::Error>> {
        let (row, _) = self.active(key).await?;
        let Some(secrets) = row.secrets.as_ref().filter(|_| row.revision == revision) else { return Ok(None) };
        let (backend, _) = self.0.store.claim(Operation::Verify, &secrets.current)?;
        let Some(version) = self.points_to(&secrets.current).and_then(|to| to.version) else { return Ok(None) };
        match backend.inspect(key, Some(version)).await? {
            Held::Version { secret: Some(secret), .. } => Ok(Some(Shown { secret, row })),
            Held::Version { .. } | Held::Nothing => Ok(None),
        }
    }
}
