//! Reading a secret back, for a request whose answer was lost.

use super::ledger::Ledger;
use super::revision::Revision;
use super::{Failure, Lifecycle, Shown};
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
        let (backend, stored) = self.0.store.claim(Operation::Reveal, &secrets.current)?;
        let secret = backend.reveal(key, &stored).await?;
        Ok(secret.map(|secret| Shown { secret, row }))
    }
}
