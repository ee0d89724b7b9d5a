//! All or nothing, and what a commit says of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::fixture::{Site, Write, set_up};
use super::sequences::{digests, lifecycle};
use crate::lifecycle::{Change, CommitError, Failure, Ledger, Row, State};
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// Cannot claim it of a machine that loses its power: that is the database's.
pub(crate) async fn a_commit_holds_every_write<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (before, ends, now) = (site.inserted().await, site.inserted().await, site.now().await);
    let (new, after) = (site.plain(site.key().await), site.full(before.key.clone(), now, 64));
    let notes = [site.due(now), site.due(now + Duration::from_secs(1)), site.due(now + Duration::from_secs(2))];
    site.committed(&[
        Write::Insert(new.clone()),
        Write::Note(new.key.clone(), Some(notes[0].clone())),
        Write::Replace(after.clone()),
        Write::Note(after.key.clone(), Some(notes[1].clone())),
        Write::End(ends.key.clone()),
        Write::Note(ends.key.clone(), Some(notes[2].clone())),
    ])
    .await;
    let clause = "`commit`: everything that was written in the transaction is there";
    site.has(&new, clause).await;
    site.has(&after, clause).await;
    holds(site.entry(&ends.key).await.state == State::Ended, clause);
    for (key, note) in [&new.key, &after.key, &ends.key].into_iter().zip(notes) {
        holds(site.note(key).await == Some(note), &format!("{clause}, notes too"));
    }
}

/// Cannot claim when a database that lost the connection rolls back.
pub(crate) async fn a_dropped_transaction_leaves_nothing<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (row, now) = (site.inserted().await, site.now().await);
    let note = site.due(now);
    site.committed(&[Write::Note(row.key.clone(), Some(note.clone()))]).await;
    let clause = "`begin`: a transaction that is dropped leaves nothing";
    let new = site.plain(site.key().await);
    drop(site.begun(&[Write::Insert(new.clone()), Write::Note(new.key.clone(), Some(site.due(now)))]).await);
    let entry = site.entry(&new.key).await;
    holds(entry.state == State::Absent && entry.note.is_none(), clause);
    for write in [
        Write::Replace(site.full(row.key.clone(), now, 64)),
        Write::End(row.key.clone()),
        Write::Note(row.key.clone(), None),
        Write::Note(row.key.clone(), Some(site.due(now + Duration::from_secs(1)))),
    ] {
        drop(site.begun(&[write]).await);
        site.has(&row, clause).await;
        holds(site.note(&row.key).await == Some(note.clone()), &format!("{clause}, nor of the note"));
    }
}

/// Of a [`Change`] that refuses before, and after, the row was written. Cannot claim it of what a change does elsewhere.
pub(crate) async fn a_refused_change_leaves_nothing<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let life = lifecycle(harness.ledger().await, digests(harness).await);
    let row = site.inserted().await;
    let clause = "a change that refuses ends the transaction, and nothing has changed, not even what it wrote itself";
    for refuses in [Refuses::Before, Refuses::After] {
        let (key, own) = (site.key().await, site.plain(site.key().await));
        let change = || CallersWrite::new(&site, &row, own.clone(), Some(refuses));
        let refused = life.issue(&key, change().await).await;
        holds(matches!(refused, Err(Failure::Ledger(_))), "a sequence whose change refuses returns its error");
        holds(site.entry(&key).await.state == State::Absent, clause);
        let refused = life.rotate(&row.key, Duration::ZERO, change().await).await;
        holds(matches!(refused, Err(Failure::Ledger(_))), "a sequence whose change refuses returns its error");
        let refused = life.end(&row.key, change().await).await;
        holds(matches!(refused, Err(Failure::Ledger(_))), "a sequence whose change refuses returns its error");
        site.has(&row, clause).await;
        holds(site.entry(&own.key).await.state == State::Absent, clause);
    }
}

/// With rows in the place of what a caller writes. Cannot claim it of another database.
pub(crate) async fn the_callers_writes_are_in_the_commit<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let life = lifecycle(harness.ledger().await, digests(harness).await);
    let (row, mut written) = (site.inserted().await, Vec::new());
    for _ in 0..3 {
        written.push(site.plain(site.key().await));
    }
    let change = async |index: usize| CallersWrite::new(&site, &row, written[index].clone(), None).await;
    let key = site.key().await;
    set_up("issue", life.issue(&key, change(0).await).await);
    set_up("rotate", life.rotate(&key, Duration::ZERO, change(1).await).await);
    set_up("end", life.end(&key, change(2).await).await);
    for row in &written {
        site.has(row, "`commit`: what the caller writes in the same transaction is committed with the change").await;
    }
}

/// A statement that failed and whose error the caller ignored. PostgreSQL answers such a `COMMIT` with `ROLLBACK` and no error.
pub(crate) async fn a_commit_after_a_failed_statement_is_reported_as_it_was<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (existing, new) = (site.inserted().await, site.plain(site.key().await));
    let mut tx = site.begun(&[Write::Insert(new.clone())]).await;
    set_up("lock", site.ledger.lock(&mut tx, &existing.key).await);
    let refused = site.ledger.insert(&mut tx, &existing).await;
    holds(refused.is_err(), "`insert`: a key that is there already is an error");
    let outcome = site.ledger.commit(tx).await;
    let is_there = site.entry(&new.key).await.state != State::Absent;
    match outcome {
        Ok(()) => holds(is_there, "`commit`: what was committed is there, also after a statement that failed"),
        Err(CommitError::NotDone(_)) => holds(!is_there, "`commit`: what was not done has changed nothing"),
        Err(CommitError::Unknown(_)) => holds(false, "`commit`: the outcome after a statement that failed is known"),
    }
}

/// With [`LedgerHarness::lose_next_answer`]. Cannot claim it of every way to lose an answer.
pub(crate) async fn a_lost_answer_is_unknown<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let row = site.plain(site.key().await);
    let tx = site.begun(&[Write::Insert(row.clone())]).await;
    if !harness.lose_next_answer().await {
        return;
    }
    let outcome = site.ledger.commit(tx).await;
    let clause = "`commit`: an answer that was lost is `Unknown`";
    holds(matches!(outcome, Err(CommitError::Unknown(_))), clause);
    site.has(&row, "set-up: a commit whose answer is lost is carried out").await;

    let life = lifecycle(harness.ledger().await, digests(harness).await);
    let key = site.key().await;
    set_up("lose_next_answer", if harness.lose_next_answer().await { Ok(()) } else { Err("it was there before") });
    let issued = life.issue(&key, ()).await;
    let clause = "`lock`: after an answer that was lost, the row shows that the commit was carried out";
    holds(issued.is_ok_and(|shown| shown.row.key == key), clause);
}

/// When a change refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refuses {
    Before,
    After,
}

/// Inserts a row of its own beside the change, and may refuse.
struct CallersWrite<L: Ledger> {
    ledger: L,
    row: Row,
    refuses: Option<Refuses>,
    /// What it refuses with: the database's own, since the suite knows no other.
    error: Mutex<Option<L::Error>>,
}

impl<L: Ledger> CallersWrite<L> {
    /// `existing`: a row that cannot be inserted.
    async fn new<H>(site: &Site<'_, H>, existing: &Row, row: Row, refuses: Option<Refuses>) -> Self
    where
        H: LedgerHarness<Ledger = L>,
    {
        let mut tx = site.begun(&[]).await;
        set_up("lock", site.ledger.lock(&mut tx, &existing.key).await);
        let error = site.ledger.insert(&mut tx, existing).await.err();
        let repeats = error.as_ref().is_none_or(|error| site.ledger.may_repeat(error));
        holds(!repeats, "`insert`: a key that is there already is an error, and one that `may_repeat` says no to");
        Self { ledger: site.harness.ledger().await, row, refuses, error: Mutex::new(error) }
    }

    /// Writes at the moment of the refusal, and after the row where it does not refuse.
    async fn write(&self, tx: &mut L::Tx, now: Refuses) -> Result<(), L::Error> {
        if self.refuses.unwrap_or(Refuses::After) != now {
            return Ok(());
        }
        self.ledger.insert(tx, &self.row).await?;
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        match error.take_if(|_| self.refuses.is_some()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl<L: Ledger> Change<L> for CallersWrite<L> {
    async fn before(&self, tx: &mut L::Tx) -> Result<(), L::Error> {
        self.write(tx, Refuses::Before).await
    }

    async fn after(&self, tx: &mut L::Tx, _row: &Row) -> Result<(), L::Error> {
        self.write(tx, Refuses::After).await
    }
}
