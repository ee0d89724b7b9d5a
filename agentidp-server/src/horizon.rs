//! How far deletion by age may go.
//!
//! Audit events, revocations of tokens, monthly counters and idempotency keys are deleted by their age. If the clock alone
//! decided that, one start with a clock 91 days ahead would delete the whole audit trail. So a horizon is stored in the
//! database, and only what is older than the horizon is deleted. It follows the clock, but moves forward by at most twice
//! the time that has passed since this process last looked, by the monotonic clock. Twice, so that it catches up
//! after the server was down.

use std::time::Instant;

use agentidp_secrets::Clock;
use tokio::sync::Mutex;

use crate::domain::Timestamp;
use crate::repo::{Result, RetentionRepo};

/// How fast the horizon may catch up: this many times as fast as time passes.
const CATCH_UP: u32 = 2;

/// The part of one server in moving the stored horizon.
#[derive(Debug, Default)]
pub struct Horizon(Mutex<Option<Seen>>);

/// What this process read last, and when.
#[derive(Clone, Copy, Debug)]
struct Seen {
    horizon: Timestamp,
    at: Instant,
}

impl Horizon {
    /// Moves the stored horizon as far as it may go, and returns the time before which rows may be deleted: the horizon,
    /// or the time on `clock` where that is earlier. `None` while there is nothing to delete.
    ///
    /// Several servers may do this at once. Each proposes at most what it has read plus twice the time since then, and the
    /// database keeps the latest, so together they move the horizon no faster than one alone.
    ///
    /// # Errors
    /// Those of the database. The horizon is where it was, or has moved.
    pub async fn advance(&self, retention: &dyn RetentionRepo, clock: &dyn Clock) -> Result<Option<Timestamp>> {
        let mut seen = self.0.lock().await;
        let now = Timestamp::from(clock.now());
        let horizon = match *seen {
            None => retention.horizon(now).await?,
            Some(last) => {
                let passed = clock.instant().saturating_duration_since(last.at);
                let furthest = last.horizon.plus(passed.saturating_mul(CATCH_UP));
                retention.advance(furthest.min(now)).await?
            }
        };
        // The time begins to count after the answer: what another server added meanwhile is in it.
        *seen = horizon.map(|horizon| Seen { horizon, at: clock.instant() });
        Ok(horizon.map(|horizon| horizon.min(now)))
    }
}
