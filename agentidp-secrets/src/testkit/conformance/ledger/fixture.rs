//! What every check of a ledger begins with.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::{
    CommitError, Debt, DebtKind, Entry, Freshness, Known, Ledger, Note, OpenWrite, OpenWriteKind, Revision, Row,
    SecretDigest, State,
};
use crate::record::StoredSecret;
use crate::selector::Selector;
use crate::store::{CredentialSecrets, Previous};
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// How long a check waits for what a sound ledger does at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// One write in a transaction.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Insert(Row),
    Replace(Row),
    End(CredentialKey),
    Note(CredentialKey, Option<Note>),
}

impl Write {
    fn key(&self) -> &CredentialKey {
        match self {
            Self::Insert(row) | Self::Replace(row) => &row.key,
            Self::End(key) | Self::Note(key, _) => key,
        }
    }
}

/// A ledger, and a client in it.
pub(super) struct Site<'a, H: LedgerHarness> {
    pub(super) harness: &'a H,
    pub(super) ledger: H::Ledger,
    pub(super) client: ClientId,
}

impl<'a, H: LedgerHarness> Site<'a, H> {
    pub(super) async fn new(harness: &'a H) -> Self {
        Self { harness, ledger: harness.ledger().await, client: harness.client().await }
    }

    /// The key of a new credential of the client.
    pub(super) async fn key(&self) -> CredentialKey {
        CredentialKey::new(self.client.clone(), self.harness.credential_id().await)
    }

    /// A row that is in the ledger.
    pub(super) async fn inserted(&self) -> Row {
        let row = self.plain(self.key().await);
        self.committed(&[Write::Insert(row.clone())]).await;
        row
    }

    /// A transaction that has locked what it has written.
    pub(super) async fn begun(&self, writes: &[Write]) -> <H::Ledger as Ledger>::Tx {
        let ledger = &self.ledger;
        let mut tx = set_up("begin", ledger.begin().await);
        for write in writes {
            set_up("lock", ledger.lock(&mut tx, write.key()).await);
            let written = match write {
                Write::Insert(row) => ledger.insert(&mut tx, row).await,
                Write::Replace(row) => ledger.replace(&mut tx, row).await,
                Write::End(key) => ledger.end(&mut tx, key).await,
                Write::Note(key, note) => ledger.note(&mut tx, key, note.as_ref()).await,
            };
            set_up("a write", written);
        }
        tx
    }

    pub(super) async fn committed(&self, writes: &[Write]) {
        let tx = self.begun(writes).await;
        set_up("commit", self.ledger.commit(tx).await.map_err(reason));
    }

    /// What is committed of a credential, as the next transaction sees it.
    pub(super) async fn entry(&self, key: &CredentialKey) -> Entry {
        let mut tx = set_up("begin", self.ledger.begin().await);
        set_up("lock", self.ledger.lock(&mut tx, key).await)
    }

    pub(super) async fn note(&self, key: &CredentialKey) -> Option<Note> {
        self.entry(key).await.note
    }

    /// The rows of a client, which has to be known.
    pub(super) async fn rows(&self, client: &ClientId) -> Vec<Row> {
        let rows = set_up("rows", self.ledger.rows(client, Freshness::Latest).await);
        let known: Option<&Known> = rows.known.as_deref();
        holds(known.is_some(), "`rows`: a client that has, or had, a credential is known");
        known.map(Known::rows).unwrap_or_default()
    }

    /// The time of the ledger in whole milliseconds, which is what a note keeps.
    pub(super) async fn now(&self) -> SystemTime {
        let mut tx = set_up("begin", self.ledger.begin().await);
        let now = set_up("now", self.ledger.now(&mut tx).await);
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Asserts that the ledger has this active row, by each way to read it.
    pub(super) async fn has(&self, row: &Row, clause: &str) {
        let State::Active(locked) = self.entry(&row.key).await.state else {
            return holds(false, &format!("{clause}: `lock` finds no active row"));
        };
        same(&locked, row, &format!("{clause}, from `lock`"));
        let rows = self.rows(row.key.client_id()).await;
        let found = rows.iter().find(|found| found.key == row.key);
        let Some(found) = found else { return holds(false, &format!("{clause}: it is not in `rows`")) };
        same(found, row, &format!("{clause}, from `rows`"));
        let page = set_up("page", self.ledger.page(None, 1000).await);
        let found = page.iter().find(|found| found.key == row.key);
        let Some(found) = found else { return holds(false, &format!("{clause}: it is not in `page`")) };
        same(found, row, &format!("{clause}, from `page`"));
    }

    /// A row with one record and nothing else.
    pub(super) fn plain(&self, key: CredentialKey) -> Row {
        Row::new(key, Some(self.record(64).into()), Some(revision()))
    }

    /// A row with a value in every column, and records of up to `length` bytes.
    pub(super) fn full(&self, key: CredentialKey, now: SystemTime, length: usize) -> Row {
        let previous = Previous {
            stored: self.record(length),
            selector: Some(selector()),
            valid_until: now + Duration::from_millis(3_600_123),
        };
        let current = self.record(length);
        let secrets = CredentialSecrets { current, selector: Some(selector()), previous: Some(previous) };
        Row::new(key, Some(secrets), Some(revision()))
    }

    /// Another record each time.
    pub(super) fn record(&self, length: usize) -> StoredSecret {
        self.harness.record(random(), length)
    }

    pub(super) fn open(&self, kind: OpenWriteKind, lease_until: SystemTime, digests: usize) -> OpenWrite {
        let digest = || SecretDigest::parse(&format!("{:032x}:{:064x}", random(), random()));
        OpenWrite {
            kind,
            place: self.record(700),
            base: random() >> 1,
            attempt: revision(),
            digests: (0..digests).map(|_| digest()).collect(),
            lease_until,
        }
    }

    pub(super) fn debt(&self, kind: DebtKind, due: SystemTime) -> Debt {
        Debt { place: self.record(64), kind, due, claimed_until: None, attempts: 0, deletions: 0 }
    }

    /// A note that is due then.
    pub(super) fn due(&self, at: SystemTime) -> Note {
        Note { open: None, debts: vec![self.debt(DebtKind::Delete, at)] }
    }
}

/// Compares the columns that a ledger writes, and names the one that differs. The others are the caller's.
fn same(found: &Row, written: &Row, clause: &str) {
    let part = |row: &Row| row.secrets.clone().map(|secrets| (secrets.current, secrets.selector, secrets.previous));
    let (Some(found_parts), Some(parts)) = (part(found), part(written)) else {
        return holds(found.secrets == written.secrets, &format!("{clause}: the row can be read"));
    };
    holds(found_parts.0 == parts.0, &format!("{clause}: the record is another one"));
    holds(found_parts.1 == parts.1, &format!("{clause}: the selector is another one"));
    let end = |previous: &Option<Previous>| previous.as_ref().map(|previous| previous.valid_until);
    let ends = (end(&found_parts.2), end(&parts.2));
    holds(ends.0 == ends.1, &format!("{clause}: the end of the previous secret is another one: {ends:?}"));
    holds(found_parts.2 == parts.2, &format!("{clause}: the previous record, or its selector, is another one"));
    holds(found.revision == written.revision, &format!("{clause}: the revision is another one"));
}

fn selector() -> Selector {
    set_up("a selector", Selector::parse(&format!("k1:{:016x}", random())))
}

pub(super) fn revision() -> Revision {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random().to_be_bytes());
    bytes[8..].copy_from_slice(&random().to_be_bytes());
    Revision::from_bytes(bytes)
}

fn random() -> u64 {
    set_up("randomness", getrandom::u64())
}

/// What has to work before a check can say anything. It fails under another name than the check's clause.
#[track_caller]
#[expect(clippy::panic, reason = "a check fails by panicking")]
pub(super) fn set_up<T, E: Debug>(what: &str, outcome: Result<T, E>) -> T {
    outcome.unwrap_or_else(|error| panic!("set-up: {what} failed, so that this check could not begin: {error:?}"))
}

/// Asserts that the ledger does not fail here.
#[track_caller]
#[expect(clippy::panic, reason = "a check fails by panicking")]
pub(super) fn succeeds<T, E: Debug>(outcome: Result<T, E>, clause: &str) -> T {
    outcome.unwrap_or_else(|error| panic!("broken clause: {clause}; got {error:?}"))
}

pub(super) fn reason<E>(error: CommitError<E>) -> E {
    match error {
        CommitError::NotDone(error) | CommitError::Unknown(error) => error,
    }
}
