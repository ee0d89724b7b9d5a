//! Runs one check. The tests that the suites' macros write call it.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::conformance::{Check, CheckFuture, LedgerCheck, StoreCheck, usage_check};
use super::harness::Harness;
use super::ledger_harness::LedgerHarness;
use crate::lifecycle::UsageLedger;

/// Runs one check on a runtime of its own. Called by the tests that `conformance!` writes.
///
/// # Panics
/// When the check fails.
#[doc(hidden)]
pub fn run_check<H: Harness>(harness: impl Future<Output = H>, check: Check) {
    on_a_runtime(harness, |harness| check.run(harness), H::close);
}

/// Runs one check of the store on a runtime of its own. Called by the tests that `store_conformance!` writes.
///
/// # Panics
/// When the check fails.
#[doc(hidden)]
pub fn run_store_check<H: Harness>(harness: impl Future<Output = H>, check: StoreCheck) {
    on_a_runtime(harness, |harness| check.run(harness), H::close);
}

/// Runs one check of a ledger on a runtime of its own. Called by the tests that `ledger_conformance!` writes.
///
/// # Panics
/// When the check fails, or no check has this name.
#[doc(hidden)]
#[expect(clippy::expect_used, reason = "a test of a check that does not exist has to stop")]
pub fn run_ledger_check<H: LedgerHarness>(harness: impl Future<Output = H>, name: &str) {
    let check = LedgerCheck::<H>::named(name).expect("every check is listed");
    on_a_runtime(harness, |harness| check.run(harness), H::close);
}

/// Runs one check of a ledger's usage on a runtime of its own. Called by the tests that `usage_conformance!` writes.
///
/// # Panics
/// When the check fails, or no check has this name.
#[doc(hidden)]
#[expect(clippy::expect_used, reason = "a test of a check that does not exist has to stop")]
pub fn run_usage_check<H: LedgerHarness<Ledger: UsageLedger>>(harness: impl Future<Output = H>, name: &str) {
    on_a_runtime(harness, |harness| usage_check(harness, name).expect("every check is listed"), H::close);
}

#[expect(clippy::expect_used, reason = "a test without a runtime has to stop")]
fn on_a_runtime<H, C: Future>(
    harness: impl Future<Output = H>,
    run: impl for<'a> FnOnce(&'a H) -> CheckFuture<'a>,
    close: impl FnOnce(H) -> C,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the operating system gives two threads");
    runtime.block_on(async {
        let harness = harness.await;
        let outcome = AssertUnwindSafe(run(&harness)).catch_unwind().await;
        close(harness).await;
        if let Err(failure) = outcome {
            std::panic::resume_unwind(failure);
        }
    });
}
