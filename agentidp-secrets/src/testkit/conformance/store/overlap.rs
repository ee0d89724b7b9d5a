//! Overlaps, and what commits leave that were lost.

use std::time::Duration;

use super::account::{Account, Caller, CallerFlaw, Shop};
use crate::backend::Custody;
use crate::error::ErrorKind;
use crate::store::Generation;
use crate::testkit::conformance::fixture::{fails, generate, holds, set_up, succeeds};
use crate::testkit::harness::Harness;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the harness can write a record that means the latest. Cannot claim that versions are kept for long enough.
pub(crate) async fn a_bare_record_keeps_its_secret_through_an_overlap(harness: &dyn Harness, caller: Caller) {
    let shop = Shop::over(harness).await;
    let (key, backend, old) = (harness.key(), harness.backend().await, generate());
    let stored = set_up("store", backend.store(&key, &old).await);
    let Some(bare) = harness.unpinned(&stored) else { return };
    let account = Account::new(key, bare.to_text(), old.clone());
    let Some(new) = account.rotate(&shop, caller, DAY).await else {
        return holds(false, "`rotate`: a bare record is rotated");
    };
    let during = "`rotate`: both secrets of a bare record work during the overlap";
    let generation = async |secret| account.prove(&shop, secret).await.ok().map(|proof| proof.generation);
    holds(generation(&old).await == Some(Generation::Previous), during);
    holds(generation(&new).await == Some(Generation::Current), during);
    shop.clock.advance(DAY);
    holds(generation(&old).await.is_none(), "`rotate`: after the overlap the old secret of a bare record is at an end");
    holds(generation(&new).await == Some(Generation::Current), "`rotate`: after the overlap the new secret works");
}

/// Custody `Backend` only, where the backend can say what it holds. Cannot claim it for more lost commits than the backend
/// keeps versions.
pub(crate) async fn what_lost_commits_left_is_written_over_and_ends_with_the_credential(
    harness: &dyn Harness,
    caller: Caller,
) {
    let (shop, backend) = (Shop::over(harness).await, harness.backend().await);
    let account = shop.older_account(harness);
    let lose = async || set_up("rotate", account.write(&shop, caller, &account.read(), Duration::ZERO).await);
    lose().await;
    if backend.info().custody != Custody::Backend || backend.inspect(&account.key, None).await.is_err() {
        return;
    }
    let occupied = "`issue`: what a lost commit left is a conflict, and is not overwritten";
    fails(shop.store.issue(&account.key).await, ErrorKind::Conflict, occupied);

    // A login moves in over it.
    let (presented, before) = (account.shown(), account.read());
    let Ok(proof) = account.prove(&shop, &presented).await else {
        return holds(false, "a lost commit changes nothing");
    };
    let upgraded = account.upgrade(&shop, &before, &proof, &presented).await;
    holds(upgraded.is_some(), "`upgrade`: a move goes over what a lost commit left");
    account.commit_upgrade(&shop, caller, &before, upgraded).await;
    holds(account.works(&shop).await, "`upgrade`: the presented secret works after a move over leftovers");

    // A rotation in place goes over the versions that later commits have lost.
    for _ in 0..2 {
        let clause = "`rotate_over`: a version whose commit was lost does not stop the next rotation";
        succeeds(account.write(&shop, caller, &account.read(), DAY).await, clause);
        holds(account.works(&shop).await, "`rotate`: until the commit the old record keeps working");
    }
    let clause = "`rotate_over`: a rotation over leftovers keeps the row's secret through the overlap";
    let old = account.shown();
    holds(account.rotate(&shop, caller, DAY).await.is_some(), clause);
    let proof = account.prove(&shop, &old).await;
    holds(account.works(&shop).await && proof.is_ok_and(|proof| proof.generation == Generation::Previous), clause);

    // The end takes everything, also where the row has never named the backend.
    let abandoned = shop.older_account(harness);
    set_up("rotate", abandoned.write(&shop, caller, &abandoned.read(), Duration::ZERO).await);
    for ended in [&account, &abandoned] {
        let clause = "`revoke`: the end of a credential takes what lost commits left";
        succeeds(shop.store.revoke(&ended.key, &ended.read().secrets()).await, clause);
        holds(succeeds(backend.inspect(&ended.key, None).await, clause).version() == 0, clause);
    }
}

/// Cannot claim anything on a first write that arrives after it was forgotten.
pub(crate) async fn a_lost_issue_is_forgotten_and_made_again(harness: &dyn Harness, caller: Caller) {
    let (shop, lost) = (Shop::over(harness).await, harness.key());
    let never_shown = set_up("issue", shop.store.issue(&lost).await);
    let key = if caller.has(CallerFlaw::RetriesLostIssue) {
        lost.clone()
    } else {
        succeeds(shop.store.forget(&lost).await, "`forget`: a credential that was never committed is forgotten");
        harness.key()
    };
    let issued = succeeds(shop.store.issue(&key).await, "`issue`: a lost one is made again under a fresh id");
    let account = Account::new(key, issued.stored.to_text(), issued.secret.clone());
    holds(account.prove(&shop, &issued.secret).await.is_ok(), "`issue`: the secret of the retry works");
    if harness.backend().await.info().custody == Custody::Backend {
        let outcome = harness.backend().await.verify(&lost, &never_shown.stored, &never_shown.secret).await;
        fails(outcome, ErrorKind::NotFound, "`forget`: the backend holds nothing of a lost issue");
    }
}
