//! Two connections against each other.

use std::pin::pin;
use std::time::SystemTime;

use futures_util::future::{Either, join_all, select};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::fixture::{PATIENCE, Site, Write, reason, revision, set_up};
use crate::credential::CredentialKey;
use crate::lifecycle::{DebtKind, Entry, Ledger, Note, OpenWriteKind, Revision};
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// How often the holder of a lock asks for it again before it commits. A transaction that does not wait for it has passed by
/// then: each is an exchange with the database, which the ledger's time need not be.
const ROUND_TRIPS: usize = 50;

/// As many as try the same at once.
const WIDTH: usize = 6;

/// A row alone, a note alone, and both. Cannot claim it where there is neither: SQL has nothing to lock there.
pub(crate) async fn transactions_on_one_credential_run_one_after_the_other<H: LedgerHarness>(harness: &H) {
    let (site, second) = (Site::new(harness).await, harness.ledger().await);
    let now = site.now().await;
    for (has_row, has_note) in [(true, false), (false, true), (true, true)] {
        let (key, note) = (site.key().await, site.due(now));
        let row = has_row.then(|| Write::Insert(site.plain(key.clone())));
        let noted = has_note.then(|| Write::Note(key.clone(), Some(site.due(now))));
        site.committed(&row.into_iter().chain(noted).collect::<Vec<_>>()).await;

        let mut holder = site.begun(&[]).await;
        set_up("lock", site.ledger.lock(&mut holder, &key).await);
        let mut waiting = pin!(locked(&second, &key));
        {
            let holding = pin!(async {
                for _ in 0..ROUND_TRIPS {
                    set_up("lock", site.ledger.lock(&mut holder, &key).await);
                    yield_now().await;
                }
            });
            let waits = matches!(select(waiting.as_mut(), holding).await, Either::Right(_));
            let of = if has_row { "a row" } else { "a note without a row" };
            holds(waits, &format!("`lock`: the second transaction waits for the first one, of {of}"));
        }
        set_up("note", site.ledger.note(&mut holder, &key, Some(&note)).await);
        set_up("commit", site.ledger.commit(holder).await.map_err(reason));
        let clause = "`lock`: the second transaction goes on when the first one is committed";
        match timeout(PATIENCE, waiting).await {
            Err(_) => holds(false, clause),
            Ok(Ok((_, entry))) => {
                let clause =
                    "`lock`: the second transaction reads what the first one has committed, not what was before";
                holds(entry.note == Some(note), clause);
            }
            Ok(Err(error)) => {
                let clause = "`may_repeat`: a transaction that fails because another one was first may be run again";
                holds(second.may_repeat(&error), &format!("{clause}; got {error:?}"));
            }
        }
    }
}

/// Of an open write, and of a claim. Cannot claim more than these schedules.
pub(crate) async fn one_of_many_gets_the_note<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let now = site.now().await;
    let (key, owes) = (site.inserted().await.key, site.debt(DebtKind::Delete, now));
    site.committed(&[Write::Note(key.clone(), Some(Note { open: None, debts: vec![owes] }))]).await;
    let opened = contend(&site, &key, |note, attempt| {
        let is_free = note.open.is_none();
        if is_free {
            let write = site.open(OpenWriteKind::Rotate, now, 1);
            note.open = Some(crate::lifecycle::OpenWrite { attempt, ..write });
        }
        is_free
    })
    .await;
    let clause = "of many transactions that open a write of one credential at once, one gets it";
    holds(opened.len() == 1, &format!("{clause}, and not {}", opened.len()));
    let found = site.note(&key).await.unwrap_or_default();
    holds(found.open.as_ref().map(|open| open.attempt) == opened.first().copied(), clause);

    let claimed = contend(&site, &key, |note, attempt| match note.debts.first_mut() {
        Some(debt) if debt.claimed_until.is_none() => {
            debt.claimed_until = Some(until(attempt));
            true
        }
        _ => false,
    })
    .await;
    let clause = "of many transactions that claim one debt at once, one gets it";
    holds(claimed.len() == 1, &format!("{clause}, and not {}", claimed.len()));
    let found = site.note(&key).await.unwrap_or_default();
    let holder = found.debts.first().and_then(|debt| debt.claimed_until);
    holds(holder == claimed.first().map(|attempt| until(*attempt)), clause);
    holds(found.open.is_some(), "a claim leaves the open write of the same note");
}

/// Unless [`LedgerHarness::has_one_writer`]. Cannot claim it of many more than there are connections.
pub(crate) async fn two_credentials_do_not_wait_for_each_other<H: LedgerHarness>(harness: &H) {
    if harness.has_one_writer() {
        return;
    }
    let (one, other) = (Site::new(harness).await, Site::new(harness).await);
    let (first, second) = (one.inserted().await, other.inserted().await);
    let same_client = one.inserted().await;
    let held = one.begun(&[Write::Note(first.key.clone(), Some(one.due(one.now().await)))]).await;
    let clause = "`lock`: a transaction on one credential does not wait for one on another, also of the same client";
    for row in [second, same_client] {
        let writes = [Write::Note(row.key.clone(), Some(one.due(SystemTime::UNIX_EPOCH)))];
        holds(timeout(PATIENCE, other.committed(&writes)).await.is_ok(), clause);
    }
    set_up("commit", one.ledger.commit(held).await.map_err(reason));
}

/// A transaction of this ledger that has locked the credential, and what it read.
async fn locked<L: Ledger>(ledger: &L, key: &CredentialKey) -> Result<(L::Tx, Entry), L::Error> {
    let mut tx = ledger.begin().await?;
    let entry = ledger.lock(&mut tx, key).await?;
    Ok((tx, entry))
}

/// Runs the same step in many transactions at once, each through a handle of its own, and returns the attempts whose step was
/// the one that was to be done.
async fn contend<H: LedgerHarness>(
    site: &Site<'_, H>,
    key: &CredentialKey,
    step: impl Fn(&mut Note, Revision) -> bool + Sync,
) -> Vec<Revision> {
    let mut attempts = Vec::new();
    for _ in 0..WIDTH {
        attempts.push((site.harness.ledger().await, revision()));
    }
    let attempts = attempts.into_iter().map(|(ledger, attempt)| {
        let step = &step;
        async move {
            for _ in 0..100 {
                match carry_out(&ledger, key, |note| step(note, attempt)).await {
                    Ok(won) => return won.then_some(attempt),
                    Err(error) => {
                        let clause = "`may_repeat`: a transaction that loses against another one may be run again";
                        holds(ledger.may_repeat(&error), &format!("{clause}; got {error:?}"));
                    }
                }
            }
            None
        }
    });
    join_all(attempts).await.into_iter().flatten().collect()
}

async fn carry_out<L: Ledger>(
    ledger: &L,
    key: &CredentialKey,
    step: impl FnOnce(&mut Note) -> bool,
) -> Result<bool, L::Error> {
    let (mut tx, entry) = locked(ledger, key).await?;
    // Others come in between here, where nothing keeps them out.
    yield_now().await;
    let mut note = entry.note.unwrap_or_default();
    let won = step(&mut note);
    if won {
        ledger.note(&mut tx, key, Some(&note)).await?;
        ledger.commit(tx).await.map_err(reason)?;
    }
    Ok(won)
}

/// Another moment for each attempt: it tells claims apart.
fn until(attempt: Revision) -> SystemTime {
    let bytes = attempt.to_bytes();
    let millis = u64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(millis)
}
