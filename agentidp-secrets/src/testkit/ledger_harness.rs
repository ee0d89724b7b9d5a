//! How the ledger's suite gets at a database.

use std::sync::Arc;

use async_trait::async_trait;

use super::harness::fresh_key;
use crate::backend::SharedBackend;
use crate::backends::Memory;
use crate::credential::{ClientId, CredentialId, CredentialKey};
use crate::lifecycle::{Ledger, MemoryLedger, Row, State};
use crate::record::{BackendId, StoredSecret};

/// Sets a database up for one check, and clears up after it.
///
/// Only [`ledger`](Self::ledger) has to be written where ids are text and a credential needs no row of a client. The hooks that
/// return `false` are optional: a check that needs one ends early without it.
#[async_trait]
pub trait LedgerHarness: Send + Sync {
    /// The ledger under test.
    type Ledger: Ledger;

    /// A handle on the database, whose tables are empty at first and are used by no other check.
    ///
    /// Each call returns another handle on the same database, as each replica has its own. Both need a connection at the same
    /// time. A ledger that keeps rows in memory gives each handle a memory of its own.
    async fn ledger(&self) -> Self::Ledger;

    /// Makes a client that exists and has no credential. Insert it here where the table of credentials refers to one.
    async fn client(&self) -> ClientId {
        fresh_key().client_id().clone()
    }

    /// Returns the id of a client that does not exist, in the form that existing ones have.
    fn unknown_client(&self) -> ClientId {
        fresh_key().client_id().clone()
    }

    /// Returns an id for a new credential, which was never returned before.
    async fn credential_id(&self) -> CredentialId {
        fresh_key().credential_id().clone()
    }

    /// Returns a record of the form that the ledger has columns for, with a text of up to `length` bytes: another one for each
    /// `number`. What a ledger bounds more tightly may be shorter.
    fn record(&self, number: u64, length: usize) -> StoredSecret {
        // What may stand in a path, and a quote.
        let payload = format!("secret/data/o'neil/{number:016x}?version=3");
        let rest = length.saturating_sub(payload.len() + "{memory}".len());
        StoredSecret::new(BackendId::MEMORY, format!("{payload}{}", "x".repeat(rest)))
    }

    /// A backend with custody whose records the ledger has columns for; an empty one.
    async fn backend(&self) -> SharedBackend {
        Arc::new(Memory::new())
    }

    /// Whether a transaction that has locked a credential holds up all others, as the one writer of SQLite does.
    fn has_one_writer(&self) -> bool {
        false
    }

    /// Sets the credential's expiry to a moment that has passed by the ledger's time, as the caller's own write does.
    async fn expire(&self, key: &CredentialKey) -> bool {
        let _ = key;
        false
    }

    /// Suspends the client, so that it may not authenticate.
    async fn suspend(&self, client: &ClientId) -> bool {
        let _ = client;
        false
    }

    /// Writes a text that is no record into the column of the credential's record, as a mistake by hand does: an empty one. Any
    /// line of text may be a record of other software.
    async fn damage(&self, key: &CredentialKey) -> bool {
        let _ = key;
        false
    }

    /// Has the next commit, through whichever handle, carried out without its answer reaching the ledger: as when the connection
    /// breaks right after it.
    async fn lose_next_answer(&self) -> bool {
        false
    }

    /// Clears up. Called after the check, also when it failed.
    async fn close(self)
    where
        Self: Sized,
    {
    }
}

/// In memory each clone is a handle. It cannot lose an answer.
#[async_trait]
impl LedgerHarness for MemoryLedger {
    type Ledger = Self;

    async fn ledger(&self) -> Self {
        self.clone()
    }

    async fn expire(&self, key: &CredentialKey) -> bool {
        self.change(key, |row| row.expiring(Some(std::time::SystemTime::UNIX_EPOCH)));
        true
    }

    async fn suspend(&self, client: &ClientId) -> bool {
        Self::suspend(self, client, true);
        true
    }

    async fn damage(&self, key: &CredentialKey) -> bool {
        self.change(key, |row| Row { secrets: None, ..row });
        true
    }
}

impl MemoryLedger {
    fn change(&self, key: &CredentialKey, by: impl FnOnce(Row) -> Row) {
        if let State::Active(row) = self.entry(key).state {
            self.put(by(*row));
        }
    }
}
