//! What a ledger does for it.

use std::time::SystemTime;

use async_trait::async_trait;

use super::record::{Usage, Use};
use crate::credential::CredentialKey;
use crate::lifecycle::ledger::Ledger;

/// A ledger that keeps the [`Usage`] of its credentials, in a table of its own: a use changes nothing that authentication reads, and
/// must wake nobody who keeps rows in memory. [`Lifecycle::with_usage`](crate::lifecycle::Lifecycle::with_usage) switches it on.
#[async_trait]
pub trait UsageLedger: Ledger {
    /// Adds uses as [`Usage::with`] says, all of them in one statement, in the order in which they are given, so that two processes wait
    /// for each other and never in a circle. No key is among them twice.
    ///
    /// # Errors
    /// Those of the database; the uses are given again.
    async fn note_uses(&self, uses: &[Use]) -> Result<(), Self::Error>;

    /// Changes the usage as [`Usage::rotated`] says, in one statement: a read before it would lose what is noted between the two.
    ///
    /// # Errors
    /// Those of the database.
    async fn rotate_usage(&self, tx: &mut Self::Tx, key: &CredentialKey, now: SystemTime) -> Result<(), Self::Error>;

    /// What is kept of each of up to a thousand credentials, in the order of `keys`; [`Usage::default`] of one that was never used.
    ///
    /// # Errors
    /// Those of the database.
    async fn usages(&self, keys: &[CredentialKey]) -> Result<Vec<Usage>, Self::Error>;

    /// When each of up to a thousand credentials was made, in the order of `keys`, for [reports](super::super::Reported::created_at);
    /// none where the ledger does not know, as here unless a ledger does better.
    ///
    /// # Errors
    /// Those of the database.
    async fn created(&self, keys: &[CredentialKey]) -> Result<Vec<Option<SystemTime>>, Self::Error> {
        Ok(vec![None; keys.len()])
    }
}
