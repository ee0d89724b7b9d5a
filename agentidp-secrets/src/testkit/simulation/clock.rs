//! The time of a schedule.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::Clock;

/// Longer than every lease.
pub(super) const LEASE: Duration = Duration::from_secs(1900);

/// The time of the database and of the replicas: tokio's, and what it has jumped by.
#[derive(Debug)]
pub(super) struct WorldClock {
    start: Instant,
    jumped: AtomicI64,
}

impl WorldClock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), jumped: AtomicI64::new(0) }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn jump(&self, seconds: i64) {
        self.jumped.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(super) fn jumped(&self) -> i64 {
        self.jumped.load(Ordering::Relaxed)
    }
}

impl Clock for WorldClock {
    fn now(&self) -> SystemTime {
        // Far enough from the epoch for every jump back.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000) + self.elapsed();
        let jumped = self.jumped();
        let by = Duration::from_secs(jumped.unsigned_abs());
        if jumped < 0 { now - by } else { now + by }
    }

    fn instant(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}
