//! The protocol's notes.

use std::time::Duration;

use super::fixture::{Site, Write, set_up};
use crate::lifecycle::{Debt, DebtKind, Ledger, Note, OpenWriteKind, State};
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

const HOUR: Duration = Duration::from_secs(3600);

/// Cannot claim it of times below a millisecond, which no note has.
pub(crate) async fn a_note_comes_back_as_it_was_written<H: LedgerHarness>(harness: &H) {
    use OpenWriteKind::{Blank, Create, Move, Pin, Repair, Rotate};
    let site = Site::new(harness).await;
    let (key, now) = (site.inserted().await.key, site.now().await);
    let claimed = Debt {
        place: site.record(4096),
        claimed_until: Some(now + Duration::from_millis(60_001)),
        attempts: 40,
        deletions: 2,
        ..site.debt(DebtKind::Delete, now)
    };
    let debts = vec![claimed, site.debt(DebtKind::Blank, now + HOUR), site.debt(DebtKind::Rest, now - HOUR)];
    let mut notes: Vec<_> = [(Create, 0), (Move, 0), (Rotate, 3), (Repair, 2), (Pin, 0), (Blank, 0)]
        .map(|(kind, digests)| Note { open: Some(site.open(kind, now + HOUR, digests)), debts: Vec::new() })
        .to_vec();
    notes.push(Note { open: Some(site.open(Rotate, now, 20)), debts: debts.clone() });
    notes.push(Note { open: None, debts });
    for note in notes {
        site.committed(&[Write::Note(key.clone(), Some(note.clone()))]).await;
        let found = site.note(&key).await.unwrap_or_default();
        let clause = "`note`: the last note comes back as it was written";
        let of_open = found.open.as_ref().map(|open| &open.digests) == note.open.as_ref().map(|open| &open.digests);
        holds(of_open, &format!("{clause}: each digest of the open write"));
        holds(found.open == note.open, &format!("{clause}: the open write, or that there is none"));
        let debts = |note: &Note| {
            let mut debts = note.debts.clone();
            debts.sort_by_key(|debt| debt.place.to_text());
            debts
        };
        holds(debts(&found) == debts(&note), &format!("{clause}: each debt, in whatever order"));
    }
}

/// Before the first commit, and after the end. Cannot claim for how long.
pub(crate) async fn a_note_needs_no_row<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (key, now) = (site.key().await, site.now().await);
    let note = Note { open: Some(site.open(OpenWriteKind::Create, now - HOUR, 0)), debts: Vec::new() };
    site.committed(&[Write::Note(key.clone(), Some(note.clone()))]).await;
    let entry = site.entry(&key).await;
    let clause = "`note`: a note exists without a row, and makes none";
    holds(entry.note == Some(note) && entry.state == State::Absent, clause);
    let keys = set_up("due", site.ledger.due(9).await);
    holds(keys == [key], "`due`: a note without a row is due as well");

    let ended = site.inserted().await.key;
    let note = site.due(now);
    site.committed(&[Write::Note(ended.clone(), Some(note.clone())), Write::End(ended.clone())]).await;
    holds(site.note(&ended).await == Some(note), "`end`: the note stays");
    let later = site.due(now + HOUR);
    site.committed(&[Write::Note(ended.clone(), Some(later.clone()))]).await;
    holds(site.note(&ended).await == Some(later), "`note`: the note of an ended row can be written");
}

/// Cannot claim that nothing of it is left on the disk.
pub(crate) async fn a_deleted_note_is_gone<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (row, now) = (site.inserted().await, site.now().await);
    let write = |note| [Write::Note(row.key.clone(), note)];
    site.committed(&write(Some(site.due(now - HOUR)))).await;
    site.committed(&write(None)).await;
    let clause = "`note`: a deleted note is gone, and its row stays";
    holds(site.note(&row.key).await.is_none(), clause);
    holds(set_up("due", site.ledger.due(9).await).is_empty(), "`due`: a deleted note is not due");
    site.has(&row, clause).await;
    // Deleted twice, and written again.
    let again = site.due(now);
    site.committed(&write(None)).await;
    site.committed(&write(Some(again.clone()))).await;
    holds(site.note(&row.key).await == Some(again), "`note`: a note can be written again after it was deleted");
}

/// Cannot claim an order of notes that are due at the same moment.
pub(crate) async fn notes_are_due_in_order<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let now = site.now().await;
    let mut keys = Vec::new();
    for hours in [1, 3, 2] {
        let key = site.inserted().await.key;
        site.committed(&[Write::Note(key.clone(), Some(site.due(now - HOUR * hours)))]).await;
        keys.push(key);
    }
    let [one, three, two] = &keys[..] else { return };
    let order = async |limit| set_up("due", site.ledger.due(limit).await);
    let clause = "`due`: the longest due first";
    holds(order(9).await == [three.clone(), two.clone(), one.clone()], clause);
    holds(
        order(2).await == [three.clone(), two.clone()],
        "`due`: no more than the limit, and those are the longest due",
    );
    // What is written again is due by the new note.
    site.committed(&[Write::Note(three.clone(), Some(site.due(now - HOUR / 2)))]).await;
    holds(order(9).await == [two.clone(), one.clone(), three.clone()], "`due`: by the note as it was last written");
}

/// Cannot claim it against the machine's clock where that is the database's.
pub(crate) async fn notes_are_due_by_the_ledgers_time<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let (now, mut keys) = (site.now().await, Vec::new());
    let resting = Note { open: None, debts: vec![site.debt(DebtKind::Rest, now - HOUR)] };
    for note in [site.due(now - HOUR), site.due(now + HOUR), resting] {
        let key = site.inserted().await.key;
        site.committed(&[Write::Note(key.clone(), Some(note))]).await;
        keys.push(key);
    }
    let due = set_up("due", site.ledger.due(9).await);
    holds(due.contains(&keys[0]), "`due`: what is due by the ledger's time is returned");
    holds(!due.contains(&keys[1]), "`due`: what is due later by the ledger's time is not");
    holds(!due.contains(&keys[2]), "`due`: a note without a due time is not");
}
