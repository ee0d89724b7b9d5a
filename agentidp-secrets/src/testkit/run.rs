//! Runs one check. The tests that the suites' macros write call it.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::conformance::{Check, CheckFuture, StoreCheck};
use super::harness::Harness;

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

#[expect(clippy::expect_used, reason = "a test without a runtime has to stop")]
pub(super) fn on_a_runtime<H, C: Future>(
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
