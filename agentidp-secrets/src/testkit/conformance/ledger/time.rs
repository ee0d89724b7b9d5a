//! The ledger's clock.

use tokio::task::yield_now;
use tokio::time::timeout;

use super::fixture::{PATIENCE, Site, set_up};
use crate::lifecycle::Ledger;
use crate::testkit::conformance::fixture::holds;
use crate::testkit::ledger_harness::LedgerHarness;

/// More readings than a clock of milliseconds needs to move on.
const READINGS: usize = 100_000;

/// Cannot claim that it is right, or one clock for all replicas.
pub(crate) async fn time_moves_within_a_transaction_and_never_back<H: LedgerHarness>(harness: &H) {
    let site = Site::new(harness).await;
    let mut tx = site.begun(&[]).await;
    let first = set_up("now", site.ledger.now(&mut tx).await);
    let moves = async {
        let mut last = first;
        for _ in 0..READINGS {
            let now = set_up("now", site.ledger.now(&mut tx).await);
            holds(now >= last, "`now`: time does not go back within a transaction");
            if now > first {
                return true;
            }
            last = now;
            yield_now().await;
        }
        false
    };
    let moves = timeout(PATIENCE, moves).await.unwrap_or(false);
    holds(moves, "`now`: time moves on within a transaction; `now()` of PostgreSQL does not, `clock_timestamp()` does");
    drop(tx);
    holds(site.now().await + std::time::Duration::from_millis(1) > first, "`now`: a later transaction is not earlier");
}
