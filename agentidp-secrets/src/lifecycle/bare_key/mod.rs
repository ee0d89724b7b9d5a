//! A key that comes without a client id.

use crate::credential::ClientId;
use crate::error::{Error, ErrorKind, Operation};
use crate::lifecycle::authenticate::Decision;
use crate::lifecycle::ledger::Ledger;
use crate::lifecycle::unmatched::{BareKeys, Unmatched};
use crate::lifecycle::{Failure, Lifecycle};
use crate::secret::ClientSecret;

impl<L: Ledger> Lifecycle<L> {
    /// Lets keys authenticate that come [without a client id](Self::authenticate_key).
    ///
    /// Rows from before have no selector that a key finds them by; they get it when their secret is proved with its client id.
    /// Up to `scan` of their clients are tried with each key that finds no row: mind that this is a digest or a request each, and
    /// a wrong key costs all of them. `unmatched` says what it means when there are more of them.
    #[must_use]
    pub fn with_bare_keys(self, unmatched: Unmatched, scan: usize) -> Self {
        self.with(|inner| inner.bare_keys = Some(BareKeys { unmatched, scan }))
    }

    /// Finds the credential of a key, and tries the key against it: one indexed read, and then what
    /// [`authenticate`](Self::authenticate) does. A key that finds no row costs that read and what a wrong secret costs; one that
    /// has none of the store's [forms](crate::SecretStore::formats) costs nothing.
    ///
    /// Needs a store that [makes selectors for it](crate::SecretStoreBuilder::look_up_by_key), and a ledger with
    /// [`Ledger::find`].
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate). `Backend` with `InvalidConfig` when one of these is missing, and when the key may be
    /// that of a row that no key finds ([`Unmatched::Undecided`]).
    pub async fn authenticate_key(&self, secret: &ClientSecret) -> Result<Decision, Failure<L::Error>> {
        let (store, ledger) = (&self.0.store, &self.0.ledger);
        let Some(BareKeys { unmatched, scan }) = self.0.bare_keys else {
            return Err(refused("say what an unmatched key means, by `Lifecycle::with_bare_keys`"));
        };
        let Some(lookups) = store.lookups(secret) else {
            return Err(refused(
                "the store makes no selectors that a key is found by: `SecretStoreBuilder::look_up_by_key`",
            ));
        };
        if !store.formats().may_be_a_secret(secret) {
            return Ok(Decision::Mismatch { known: false });
        }
        let Some(found) = ledger.find(&lookups).await.map_err(Failure::Ledger)? else {
            return Err(refused("the ledger finds no row by its selector: implement `Ledger::find`"));
        };
        // What one client's row or backend is in for hides no match of another's.
        let mut undecided = None;
        let mut decided = |outcome: Result<Decision, _>| match outcome {
            Ok(Decision::Mismatch { .. }) => None,
            Ok(decision) => Some(decision),
            Err(failure) => {
                undecided.get_or_insert(failure);
                None
            }
        };
        for (client, rows) in found {
            // A mismatch: the row has changed since.
            if let Some(decision) = decided(self.prove(&client, rows, secret).await) {
                return Ok(self.upgrading(decision, secret));
            }
        }
        let rest = self.unfindable(unmatched, scan).await?;
        for client in rest.iter().take(scan) {
            if let Some(decision) = decided(self.authenticate(client, secret).await) {
                return Ok(decision);
            }
        }
        if let Some(failure) = undecided {
            return Err(failure);
        }
        if unmatched == Unmatched::Undecided && rest.len() > scan {
            let message = "the key finds no row, and may be that of a row that no key finds yet: authenticate with the client id once";
            return Err(refused(message));
        }
        store.verify_decoy(secret).await?;
        Ok(Decision::Mismatch { known: false })
    }

    /// As many clients whose rows no key finds as have to be tried, and one more where that matters.
    async fn unfindable(&self, unmatched: Unmatched, scan: usize) -> Result<Vec<ClientId>, Failure<L::Error>> {
        let limit = scan.saturating_add(usize::from(unmatched == Unmatched::Undecided));
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.0.ledger.unfindable(limit).await.map_err(Failure::Ledger)
    }
}

fn refused<E>(message: &'static str) -> Failure<E> {
    Failure::Backend(Error::new(ErrorKind::InvalidConfig, message).with_operation(Operation::Verify))
}

#[cfg(test)]
mod tests;
