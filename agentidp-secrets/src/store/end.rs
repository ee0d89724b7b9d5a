//! The end of a credential, and not of a record.

use std::iter;

use super::SecretStore;
use super::failed::failed;
use super::lifecycle::CredentialSecrets;
use crate::backend::Custody;
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation, Result};
use crate::record::{BackendId, StoredSecret};

impl SecretStore {
    /// Ends a credential: every backend with custody forgets everything that it holds under the key.
    ///
    /// That is the current and the previous secret, and with them what lost commits and moves have left, on backends too
    /// that no record of the row names. It is the end of the *credential*, and there is no verb for the end of one record:
    /// a previous record ends by its grace or by being dropped from the row.
    ///
    /// First commit that the row has ended, and never use the credential id again: a request that arrives late would forget
    /// the secret of a later use. This may be repeated until it succeeds, and has to be, over restarts too. A write that was
    /// under way during the end may arrive after it. So repeat it once more after the longest time that a write can take.
    ///
    /// Alone, an attempt that fails is not repeated, and a call before the row's end locks the client out.
    /// [`Lifecycle::end`](crate::lifecycle::Lifecycle::end) commits the end and the deletion together, and repeats the deletion.
    ///
    /// # Errors
    /// All are asked; the first failure is returned, with the kinds of
    /// [`SecretBackend::revoke`](crate::SecretBackend::revoke) and [`SecretBackend::forget`](crate::SecretBackend::forget),
    /// or `UnknownBackend` when a record's backend is not configured.
    pub async fn revoke(&self, key: &CredentialKey, secrets: &CredentialSecrets) -> Result<()> {
        let previous = secrets.previous.as_ref().map(|previous| &previous.stored);
        let records = iter::once(&secrets.current).chain(previous);
        let (mut outcome, mut asked) = (Ok(()), Vec::new());
        for record in records {
            let revoked = self.revoke_one(key, record).await;
            // A record that its backend cannot read says nothing about what lies at the key's place.
            if !revoked.as_ref().is_err_and(|error| error.kind() == ErrorKind::Malformed) {
                asked.push(self.backend_of(record));
            }
            outcome = outcome.and(revoked);
        }
        outcome.and(self.forget_except(key, &asked).await)
    }

    /// Ends a credential of which there is no record: every backend with custody forgets what it holds under the key.
    ///
    /// For a credential that was never committed, because the commit after [`issue`](Self::issue) was lost. Be sure of that
    /// first, as `issue` says: a row that comes to exist later has lost its secret. What [`revoke`](Self::revoke) says of the
    /// credential id and of writes that arrive late holds here too.
    ///
    /// Alone, this trusts you that the row will never exist: a commit that is still under way would name a secret that is gone.
    /// [`Lifecycle::issue`](crate::lifecycle::Lifecycle::issue) gives an id up first, under the lock of its row.
    ///
    /// # Errors
    /// All are asked; the first failure is returned, with the kinds of
    /// [`SecretBackend::forget`](crate::SecretBackend::forget).
    pub async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.forget_except(key, &[]).await
    }

    async fn revoke_one(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        let (backend, stored) = self.claim(Operation::Revoke, stored)?;
        backend.revoke(key, &stored).await.map_err(failed(Operation::Revoke, stored.backend()))
    }

    async fn forget_except(&self, key: &CredentialKey, asked: &[BackendId]) -> Result<()> {
        let mut outcome = Ok(());
        for backend in self.backends() {
            let info = backend.info();
            if info.custody == Custody::Backend && !asked.contains(&info.id) {
                outcome = outcome.and(backend.forget(key).await.map_err(failed(Operation::Revoke, &info.id)));
            }
        }
        outcome
    }
}
