//! Buckets by key.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use agentidp_secrets::Clock;
use governor::Quota;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;

/// After so many checks the states of idle callers are dropped. What is kept is bounded by that plus the callers of the
/// last minute.
pub(super) const CHECKS_PER_SWEEP: u32 = 10_000;

/// A bucket for each key.
pub(super) struct Bucket<K: Hash + Eq + Clone> {
    governor: governor::RateLimiter<K, DefaultKeyedStateStore<K>, Ticks, StateInformationMiddleware>,
    clock: Ticks,
    checks: AtomicU32,
}

impl<K: Hash + Eq + Clone> Bucket<K> {
    /// Buckets that hold a minute's worth; none for `0`.
    pub(super) fn per_minute(limit: u32, clock: &Arc<dyn Clock>) -> Option<Self> {
        NonZeroU32::new(limit).map(|limit| Self::new(Quota::per_minute(limit), clock))
    }

    pub(super) fn new(quota: Quota, clock: &Arc<dyn Clock>) -> Self {
        let clock = Ticks { start: clock.instant(), clock: Arc::clone(clock) };
        let governor = governor::RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone());
        Self { governor, clock, checks: AtomicU32::new(0) }
    }

    /// Takes one; what is left, or how long to wait for it.
    pub(super) fn take(&self, key: &K) -> Result<u32, Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            self.governor.retain_recent();
        }
        match self.governor.check_key(key) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(until) => Err(until.wait_time_from(self.clock.elapsed())),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.governor.len()
    }
}

/// Our clock as governor's: time since the start.
#[derive(Clone, Debug)]
struct Ticks {
    clock: Arc<dyn Clock>,
    start: Instant,
}

impl Ticks {
    fn elapsed(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.start)
    }
}

impl governor::clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Self::Instant {
        self.elapsed()
    }
}
