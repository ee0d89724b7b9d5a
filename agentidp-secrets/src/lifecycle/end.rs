//! The end of a credential.

use super::commit::{Committed, Write};
use super::ledger::{Change, Ledger};
use super::revision::Revision;
use super::rows::Row;
use super::{Failure, Lifecycle};
use crate::credential::CredentialKey;

impl<L: Ledger> Lifecycle<L> {
    /// Ends a credential. It is obeyed everywhere when this returns, whatever its backend does; a healthy one has forgotten the
    /// secret by then, another one is asked again until it has.
    ///
    /// # Errors
    /// [`Failure`]: `NotFound`, `Ended`, `Ledger`, `Unknown`, `Cut`.
    pub async fn end(&self, key: &CredentialKey, change: impl Change<L>) -> Result<(), Failure<L::Error>> {
        let (life, key) = (self.clone(), key.clone());
        self.uncut(async move {
            match life.commit(&key, &Write::End, Revision::fresh()?, &change).await? {
                Committed::Done(_) => {
                    life.ended(&key).await;
                    Ok(())
                }
                Committed::Lost(why) => Err(why.into()),
            }
        })
        .await
    }

    /// Ends a credential in a transaction of the caller, for an owner that ends with all of its credentials. Lock the owner first,
    /// and take the keys in order. When the transaction is committed, call [`ended`](Self::ended).
    ///
    /// Returns the row as it was; nothing where the credential was not active.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn end_in(&self, tx: &mut L::Tx, key: &CredentialKey) -> Result<Option<Row>, L::Error> {
        // The end sets no revision.
        match self.write_in(tx, key, &Write::End, Revision::from_bytes([0; 16])).await? {
            Committed::Done(row) => Ok(Some(*row)),
            Committed::Lost(_) => Ok(None),
        }
    }

    /// Returns when an end that was committed is obeyed everywhere, after one attempt to have its backend forget the secret.
    pub async fn ended(&self, key: &CredentialKey) {
        self.0.ledger.acknowledge(key.client_id()).await;
        self.purge_now(key).await;
    }
}
