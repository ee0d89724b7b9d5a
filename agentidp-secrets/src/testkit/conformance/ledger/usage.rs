//! What a ledger keeps of uses.

use std::time::{Duration, SystemTime};

use super::fixture::{Site, set_up};
use crate::credential::CredentialKey;
use crate::lifecycle::{Ledger, Usage, UsageLedger, Use};
use crate::testkit::conformance::CheckFuture;
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// Writes one test a check of a [`UsageLedger`](crate::lifecycle::UsageLedger), in a module named after the first argument; the second
/// gives a [`LedgerHarness`](crate::testkit::LedgerHarness) of it, as [`ledger_conformance!`](crate::ledger_conformance) has it.
///
/// ```
/// use agentidp_secrets::lifecycle::MemoryLedger;
///
/// // Yours instead of this one, which is its own harness.
/// agentidp_secrets::usage_conformance!(my_usage, MemoryLedger::new());
/// ```
#[macro_export]
macro_rules! usage_conformance {
    ($name:ident, $harness:expr $(,)?) => {
        #[cfg(test)]
        async fn $name() -> impl $crate::testkit::LedgerHarness<Ledger: $crate::lifecycle::UsageLedger> {
            $harness
        }

        #[cfg(test)]
        mod $name {
            $crate::__write_usage_tests! {
                $name
                nothing_is_kept_of_what_was_never_used
                the_latest_use_of_each_secret_is_kept
                a_rotation_makes_the_current_secret_the_previous_one
                a_use_from_before_a_rotation_is_of_the_previous_secret
                a_rotation_that_is_rolled_back_changes_nothing
                a_thousand_uses_are_one_call
                two_processes_note_the_same_credentials
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __write_usage_tests {
    ($name:ident $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::testkit::run_usage_check(super::$name(), stringify!($check));
            }
        )*
    };
}

/// Runs the check of this name, if there is one.
pub(crate) fn usage_check<'a, H>(harness: &'a H, name: &str) -> Option<CheckFuture<'a>>
where
    H: LedgerHarness<Ledger: UsageLedger>,
{
    Some(match name {
        "nothing_is_kept_of_what_was_never_used" => Box::pin(nothing_is_kept_of_what_was_never_used(harness)),
        "the_latest_use_of_each_secret_is_kept" => Box::pin(the_latest_use_of_each_secret_is_kept(harness)),
        "a_rotation_makes_the_current_secret_the_previous_one" => {
            Box::pin(a_rotation_makes_the_current_secret_the_previous_one(harness))
        }
        "a_use_from_before_a_rotation_is_of_the_previous_secret" => {
            Box::pin(a_use_from_before_a_rotation_is_of_the_previous_secret(harness))
        }
        "a_rotation_that_is_rolled_back_changes_nothing" => {
            Box::pin(a_rotation_that_is_rolled_back_changes_nothing(harness))
        }
        "a_thousand_uses_are_one_call" => Box::pin(a_thousand_uses_are_one_call(harness)),
        "two_processes_note_the_same_credentials" => Box::pin(two_processes_note_the_same_credentials(harness)),
        _ => return None,
    })
}

/// A moment; whole seconds, since ledgers may keep no more than milliseconds.
fn at(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds))
}

fn used(key: &CredentialKey, current: Option<SystemTime>, previous: Option<SystemTime>) -> Use {
    Use { key: key.clone(), current, previous }
}

async fn noted<L: UsageLedger>(ledger: &L, uses: &[Use]) {
    set_up("note_uses", ledger.note_uses(uses).await);
}

async fn usage<L: UsageLedger>(ledger: &L, key: &CredentialKey) -> Usage {
    let usages = set_up("usages", ledger.usages(std::slice::from_ref(key)).await);
    holds(usages.len() == 1, "`usages`: one for each key");
    usages[0]
}

async fn rotated<L: UsageLedger>(ledger: &L, key: &CredentialKey, now: Option<SystemTime>) {
    let mut tx = set_up("begin", ledger.begin().await);
    set_up("lock", ledger.lock(&mut tx, key).await);
    set_up("rotate_usage", ledger.rotate_usage(&mut tx, key, now.unwrap_or(SystemTime::UNIX_EPOCH)).await);
    if ledger.commit(tx).await.is_err() {
        set_up::<(), _>("commit", Err("it failed"));
    }
}

async fn nothing_is_kept_of_what_was_never_used<H: LedgerHarness<Ledger: UsageLedger>>(harness: &H) {
    let site = Site::new(harness).await;
    let (one, other) = (site.inserted().await.key, site.inserted().await.key);
    noted(&site.ledger, &[used(&one, at(1), None)]).await;
    noted(&site.ledger, &[]).await;
    holds(usage(&site.ledger, &other).await == Usage::default(), "`usages`: a credential that was never used has none");
}

async fn the_latest_use_of_each_secret_is_kept<H: LedgerHarness<Ledger: UsageLedger>>(harness: &H) {
    let site = Site::new(harness).await;
    let key = site.inserted().await.key;
    for (current, previous) in [(at(5), None), (None, at(7)), (at(3), at(2)), (at(6), None)] {
        noted(&site.ledger, &[used(&key, current, previous)]).await;
    }
    let kept = usage(&site.ledger, &key).await;
    let clause = "`note_uses`: of each secret the latest use is kept, in whatever order they come";
    holds(kept == Usage { last_used_at: at(6), previous_last_used_at: at(7), since: None }, clause);
    let other = harness.ledger().await;
    holds(usage(&other, &key).await == kept, "`usages`: another process reads the same");
}

async fn a_rotation_makes_the_current_secret_the_previous_one<H: LedgerHarness<Ledger: UsageLedger>>(harness: &H) {
    let site = Site::new(harness).await;
    let (key, unused) = (site.inserted().await.key, site.inserted().await.key);
    noted(&site.ledger, &[used(&key, at(5), at(4))]).await;
    rotated(&site.ledger, &key, at(10)).await;
    rotated(&site.ledger, &unused, at(10)).await;
    let clause = "`rotate_usage`: the current secret's use becomes the previous one's";
    let expected = Usage { last_used_at: None, previous_last_used_at: at(5), since: at(10) };
    holds(usage(&site.ledger, &key).await == expected, clause);
    let clause = "`rotate_usage`: a credential that was never used keeps the time of the rotation";
    holds(usage(&site.ledger, &unused).await == Usage { since: at(10), ..Usage::default() }, clause);
}

async fn a_use_from_before_a_rotation_is_of_the_previous_secret<H: LedgerHarness<Ledger: UsageLedger>>(harness: &H) {
    let site = Site::new(harness).await;
    let key = site.inserted().await.key;
    rotated(&site.ledger, &key, at(10)).await;
    noted(&site.ledger, &[used(&key, at(10), at(8))]).await;
    let kept = usage(&site.ledger, &key).await;
    let expected = Usage { last_used_at: None, previous_last_used_at: at(10), since: at(10) };
    let clause = "`note_uses`: what was current before the rotation is previous now, and what was previous is no more";
    holds(kept == expected, clause);
    noted(&site.ledger, &[used(&key, None, at(10))]).await;
    let kept = usage(&site.ledger, &key).await.previous_last_used_at;
    holds(kept == at(10), "`note_uses`: at the instant of the rotation a use is of the previous secret");
    noted(&site.ledger, &[used(&key, at(11), at(12))]).await;
    let kept = usage(&site.ledger, &key).await;
    let expected = Usage { last_used_at: at(11), previous_last_used_at: at(12), since: at(10) };
    holds(kept == expected, "`note_uses`: a use after the rotation is of the secret that it names");
}

async fn a_rotation_that_is_rolled_back_changes_nothing<H: LedgerHarness<Ledger: UsageLedger>>(harness: &H) {
    let site = Site::new(harness).await;
    let key = site.inserted().await.key;
    noted(&site.ledger, &[used(&key, at(5), None)]).await;
    let before = usage(&site.ledger, &key).await;
    let mut tx = set_up("begin", site.ledger.begin().await);
    set_up("lock", site.ledger.lock(&mut tx, &key).await);
    set_up("rotate_usage", site.ledger.rotate_usage(&mut tx, &key, SystemTime::UNIX_EPOCH).await);
    drop(tx);
    let clause = "`rotate_usage`: it is part of the transaction, and rolled back with it";
    holds(usage(&site.ledger, &key).await == before, clause);
}

async fn a_thousand_uses_are_one_call<H: LedgerHarness<Ledger: UsageLedger>>(harness: &H) {
    let site = Site::new(harness).await;
    let mut keys = Vec::new();
    for _ in 0..1000 {
        keys.push(site.key().await);
    }
    keys.sort();
    let uses: Vec<_> = keys.iter().map(|key| used(key, at(1), None)).collect();
    noted(&site.ledger, &uses).await;
    keys.reverse();
    keys[7] = site.key().await;
    let kept = set_up("usages", site.ledger.usages(&keys).await);
    let clause = "`note_uses`: all of a thousand are kept, whether there is a row or not";
    holds(kept.iter().filter(|usage| usage.last_used_at == at(1)).count() == 999, clause);
    holds(kept[7] == Usage::default(), "`usages`: they come in the order of the keys");
}

async fn two_processes_note_the_same_credentials<H: LedgerHarness<Ledger: UsageLedger>>(harness: &H) {
    let site = Site::new(harness).await;
    let mut keys = Vec::new();
    for _ in 0..50 {
        keys.push(site.key().await);
    }
    keys.sort();
    let other = harness.ledger().await;
    for round in 1..20 {
        let [ours, theirs] = [round, round + 100].map(|seconds| {
            let uses = keys.iter().map(|key| used(key, at(seconds), None));
            uses.collect::<Vec<_>>()
        });
        futures_util::future::join(noted(&site.ledger, &ours), noted(&other, &theirs)).await;
    }
    for key in &keys {
        let kept = usage(&site.ledger, key).await;
        holds(kept.last_used_at == at(119), "`note_uses`: of two processes the later use is kept");
    }
}
