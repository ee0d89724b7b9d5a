//! The port: what the caller's database must be able to do.

use std::error::Error as StdError;
use std::time::SystemTime;

use async_trait::async_trait;

use super::note::Note;
use super::rows::{AsOf, ClientRows, Freshness, Row, State};
use crate::credential::{ClientId, CredentialId, CredentialKey};
use crate::selector::Selector;

/// The caller's database, as far as the protocol needs it.
///
/// A ledger keeps two things of a credential: the columns of its secret in the caller's own table, and a [`Note`] of the
/// protocol, which may be one text column in a table of its own. All decisions are made by the
/// [`Lifecycle`](super::Lifecycle): a ledger reads under a lock, writes what it is told, and says whether a commit was carried out.
///
/// Each write of a sequence is one transaction: [`begin`](Self::begin), [`lock`](Self::lock), writes, [`commit`](Self::commit).
/// The caller's own writes of the same change go into the same transaction, by a [`Change`].
///
/// # Implementing it
/// Less than two hundred lines over a table that the caller has: [`guide::ledger`](crate::guide::ledger) has them. Run
/// `ledger_conformance!` of feature `testkit` over the result.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// A transaction. Dropped, it is rolled back.
    type Tx: Send + 'static;

    /// What the database fails with, and what a [`Change`] refuses with.
    type Error: StdError + Send + Sync + 'static;

    /// Begins a transaction. SQLite: `BEGIN IMMEDIATE`, since a reader that becomes a writer may be refused.
    ///
    /// # Errors
    /// Those of the database.
    async fn begin(&self) -> Result<Self::Tx, Self::Error>;

    /// Commits. An error that does not tell whether the commit was carried out, such as a lost connection, is
    /// [`CommitError::Unknown`].
    ///
    /// # Errors
    /// [`CommitError`].
    async fn commit(&self, tx: Self::Tx) -> Result<(), CommitError<Self::Error>>;

    /// The database's time, and not this process's: replicas must agree on leases. PostgreSQL: `clock_timestamp()`, because
    /// `now()` stands still within a transaction.
    ///
    /// # Errors
    /// Those of the database.
    async fn now(&self, tx: &mut Self::Tx) -> Result<SystemTime, Self::Error>;

    /// Reads a credential's row and its note, and locks both until the transaction ends: `SELECT … FOR UPDATE`, the row first.
    /// Two transactions that lock one credential go one after the other.
    ///
    /// # Errors
    /// Those of the database.
    async fn lock(&self, tx: &mut Self::Tx, key: &CredentialKey) -> Result<Entry, Self::Error>;

    /// Inserts an active row with this secret and this revision. A key that is there already is an error.
    ///
    /// # Errors
    /// Those of the database.
    async fn insert(&self, tx: &mut Self::Tx, row: &Row) -> Result<(), Self::Error>;

    /// Puts the secret and the revision of `row` in place of those of the locked row: all of its columns, the previous
    /// secret's too.
    ///
    /// # Errors
    /// Those of the database.
    async fn replace(&self, tx: &mut Self::Tx, row: &Row) -> Result<(), Self::Error>;

    /// Marks the locked row as ended, for ever.
    ///
    /// # Errors
    /// Those of the database.
    async fn end(&self, tx: &mut Self::Tx, key: &CredentialKey) -> Result<(), Self::Error>;

    /// Keeps the credential's note with its [due time](Note::due), or deletes it. A note exists also without a row: before the
    /// first commit, and after the end.
    ///
    /// # Errors
    /// Those of the database.
    async fn note(&self, tx: &mut Self::Tx, key: &CredentialKey, note: Option<&Note>) -> Result<(), Self::Error>;

    /// Keys of up to `limit` notes that are due by the database's time, the longest due first.
    ///
    /// # Errors
    /// Those of the database.
    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>, Self::Error>;

    /// The client, with its rows that are active and not expired by the database's time. A previous secret whose time is over
    /// may be among them: it verifies nothing.
    ///
    /// # Errors
    /// Those of the database.
    async fn rows(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, Self::Error>;

    /// The clients of whose active rows one has one of these selectors, beside its record or its previous one; each with what
    /// [`rows`](Self::rows) would read of it now. One read, by an index. `None`, the default: not supported.
    ///
    /// # Errors
    /// Those of the database.
    async fn find(&self, selectors: &[Selector]) -> Result<Option<Vec<(ClientId, ClientRows)>>, Self::Error> {
        let _ = selectors;
        Ok(None)
    }

    /// Up to `limit` clients with an active row that no key finds: its selector, or that of its previous record, is missing or
    /// [not for a look-up](Selector::is_for_look_up), which has two colons in its text. Not a row that has expired, and not for a previous
    /// record whose overlap is over: nothing ever gives them one. By an index, which is empty when all rows can
    /// be found. For a ledger with [`find`](Self::find).
    ///
    /// # Errors
    /// Those of the database.
    async fn unfindable(&self, limit: usize) -> Result<Vec<ClientId>, Self::Error> {
        let _ = limit;
        Ok(Vec::new())
    }

    /// Whether the whole transaction may be run again after this error: a deadlock, or a serialization failure.
    fn may_repeat(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }

    /// Whether memory would serve rows now as it did at `as_of`: changes are heard of, none is known of since then, and what
    /// expires then has not. Asks the database nothing. A ledger without memory says no.
    fn is_current(&self, client: &ClientId, as_of: AsOf, expires_at: Option<SystemTime>) -> bool {
        let _ = (client, as_of, expires_at);
        false
    }

    /// Whether a change to the client is known of since `as_of`. Asks the database nothing.
    fn is_changed(&self, client: &ClientId, as_of: AsOf) -> bool {
        let _ = (client, as_of);
        false
    }

    /// Notes the first use of a secret that a retried request may still replace, before the login is answered; says whether it
    /// still is the secret of the row: its revision is the same. Called for rows with [`Row::is_unused`] only. It waits for a
    /// transaction that has [locked](Self::lock) the row, as an `UPDATE` does by itself: a retry there may be replacing the secret.
    ///
    /// # Errors
    /// Those of the database.
    async fn used(&self, row: &Row) -> Result<bool, Self::Error> {
        let _ = row;
        Ok(true)
    }

    /// Returns when no replica decides by rows of the client that are older than what was committed before the call. A rotation, an end
    /// and the end of an overlap return after it. Call it after changes of your own that a login must obey: when a client is suspended,
    /// or a credential's expiry is brought forward.
    ///
    /// A ledger whose replicas keep no rows in memory has nothing to wait for, and that is the default. One with rows in memory asks
    /// every replica, and waits until it has answered or may serve no rows any more; module `replicas` of `agentidp-secrets-sqlx` does
    /// that over PostgreSQL. It cannot fail: where nobody can be asked, it waits.
    async fn acknowledge(&self, client: &ClientId) {
        let _ = client;
    }

    /// Up to `limit` active rows after this one, expired ones too, in an order that never changes: for a
    /// [comparison](super::Lifecycle::compare) with what a backend holds.
    ///
    /// # Errors
    /// Those of the database.
    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, Self::Error>;

    /// Whether ids here have this form, such as that of a UUID: what a backend holds under other names is not this ledger's, and
    /// none of the methods above is asked about it. Without a credential the question is about the client alone.
    fn gives_ids_like(&self, client: &ClientId, credential: Option<&CredentialId>) -> bool {
        let _ = (client, credential);
        true
    }
}

/// What a ledger has of a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "ledgers make it")]
pub struct Entry {
    /// The row.
    pub state: State,
    /// What the protocol has noted.
    pub note: Option<Note>,
}

/// Why a commit did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum CommitError<E> {
    /// Nothing was changed.
    NotDone(E),
    /// Nobody knows whether it was carried out: the row has to be asked.
    Unknown(E),
}

/// What the caller writes in the same transaction as a change: the audit event, an expiry, an idempotency key.
///
/// A change is run again when its transaction is, so ids are made outside of it. An error of either method ends the
/// transaction, and nothing has changed: that is how a caller refuses.
#[async_trait]
pub trait Change<L: Ledger>: Send + Sync + 'static {
    /// Runs first, before anything is locked: to lock the owner, and to refuse where it is not active.
    ///
    /// # Errors
    /// Those of the database, or a refusal.
    async fn before(&self, tx: &mut L::Tx) -> Result<(), L::Error> {
        let _ = tx;
        Ok(())
    }

    /// Runs last, after the row was written: `row` is what it is from now on, and what it was for a credential that ends.
    ///
    /// # Errors
    /// Those of the database, or a refusal.
    async fn after(&self, tx: &mut L::Tx, row: &Row) -> Result<(), L::Error> {
        let _ = (tx, row);
        Ok(())
    }
}

/// Nothing beside the change.
impl<L: Ledger> Change<L> for () {}
