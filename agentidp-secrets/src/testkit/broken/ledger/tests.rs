//! Every check of a ledger is seen to fail, and none fails without a flaw.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::*;
use crate::testkit::{LedgerCheck, ledger_checks};

/// How the check failed, if it did.
async fn failure<H: LedgerHarness>(check: &LedgerCheck<H>, harness: &H) -> Option<String> {
    let panic = AssertUnwindSafe(check.run(harness)).catch_unwind().await.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default())
}

/// The clock of the runtime stands: what a flawed ledger never ends is over at once.
#[tokio::test(start_paused = true)]
async fn every_flaw_of_a_ledger_is_caught_by_its_checks_and_by_their_clauses() {
    let mut unnoticed = Vec::new();
    for &flaw in LedgerFlaw::ALL {
        for name in flaw.caught_by() {
            let check = LedgerCheck::named(name).unwrap_or_else(|| panic!("{flaw:?} names no check: {name}"));
            let message = failure(&check, &BrokenLedger::new(flaw)).await;
            if !message.as_ref().is_some_and(|message| message.starts_with("broken clause:")) {
                unnoticed.push((flaw, name, message));
            }
        }
    }
    assert!(unnoticed.is_empty(), "not noticed, or for another reason: {unnoticed:#?}");
    let caught = |name: &str| LedgerFlaw::ALL.iter().any(|flaw| flaw.caught_by().contains(&name));
    for check in ledger_checks::<BrokenLedger>() {
        assert!(caught(check.name), "{}: a check that nothing can fail proves nothing", check.name);
    }
}

#[tokio::test(start_paused = true)]
async fn no_check_of_a_ledger_fails_without_a_flaw() {
    for check in ledger_checks() {
        assert_eq!(failure(&check, &BrokenLedger::sound()).await, None, "{}", check.name);
    }
    for check in ledger_checks() {
        assert_eq!(failure(&check, &MemoryLedger::new()).await, None, "{}", check.name);
    }
}
