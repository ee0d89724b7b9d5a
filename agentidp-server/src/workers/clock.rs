//! Following the database's clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::app::App;
use crate::ledger_clock::SLOWEST;

/// Time between two readings. A jump of the database's clock counts for all servers after this time.
const PERIOD: Duration = Duration::from_secs(15);

/// Reads the clock once in [`PERIOD`] until stopped. Ends at once where the app has no clock that follows a database.
pub(super) async fn keep(app: Arc<App>, stop: CancellationToken) {
    let Some(clock) = &app.ledger_clock else { return };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        // A longer reading would be thrown away.
        match timeout(SLOWEST, clock.read(&*app.repos.database)).await {
            Ok(Ok(Some(difference))) => app.metrics.clock_difference(difference),
            Ok(Ok(None)) => return,
            Ok(Err(error)) => debug!(%error, "the database's clock could not be read: the last reading stays"),
            Err(_) => debug!("the database took too long to tell the time: the last reading stays"),
        }
    }
}
