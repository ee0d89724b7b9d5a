//! How often a client may call.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use agentidp_secrets::Clock;
use governor::Quota;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use uuid::Uuid;

use crate::domain::Timestamp;

/// After so many checks the states of idle callers are dropped. What is kept is bounded by that plus the callers of the
/// last minute.
const CHECKS_PER_SWEEP: u32 = 10_000;

/// Counts calls, each caller's apart. A bucket holds a minute's worth and refills evenly.
pub struct RateLimiter {
    governor: Option<Governor>,
    limit: u32,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    checks: AtomicU32,
}

type Governor = governor::RateLimiter<Key, DefaultKeyedStateStore<Key>, Ticks, StateInformationMiddleware>;

/// Whose calls are counted together. Of fixed size whatever a caller claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// An authenticated agent.
    Agent(Uuid),
    /// All operator tokens together.
    Operator,
    /// A claimed client id at an address, hashed.
    Claimed(u64),
}

/// What is left to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowance {
    /// Calls a minute.
    pub limit: u32,
    /// Calls that would pass now.
    pub remaining: u32,
    /// When, in seconds since 1970, the whole limit is there again; on a refusal, when the next call passes.
    pub reset: i64,
    /// On a refusal, in how many seconds the next call passes.
    pub retry_after: Option<u64>,
}

impl RateLimiter {
    /// Lets each caller call `per_minute` times a minute; `0` lets everybody through.
    #[must_use]
    pub fn new(per_minute: u32, clock: Arc<dyn Clock>) -> Self {
        let governor = NonZeroU32::new(per_minute).map(|limit| {
            let ticks = Ticks { start: clock.instant(), clock: Arc::clone(&clock) };
            Governor::new(Quota::per_minute(limit), DefaultKeyedStateStore::default(), ticks)
        });
        Self { governor, limit: per_minute, clock, hasher: RandomState::new(), checks: AtomicU32::new(0) }
    }

    /// The caller that claims to be `client_id`, before it has proved that. The address is part of it, so that nobody
    /// can use up another client's calls from elsewhere; of an IPv6 address the network part, since hosts have many.
    #[must_use]
    pub fn claimed(&self, client_id: &str, address: IpAddr) -> Key {
        let network = match address {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        };
        Key::Claimed(self.hasher.hash_one((client_id, network)))
    }

    /// Counts one call. `None` when there is no limit.
    #[must_use]
    pub fn check(&self, caller: Key) -> Option<Allowance> {
        let governor = self.governor.as_ref()?;
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            governor.retain_recent();
        }
        let (remaining, wait, refused) = match governor.check_key(&caller) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = u64::from(self.limit.saturating_sub(remaining));
                (remaining, (used * 60).div_ceil(u64::from(self.limit)), false)
            }
            Err(until) => (0, whole_seconds(until.wait_time_from(governor.clock().elapsed())), true),
        };
        let reset = Timestamp::from(self.clock.now()).plus(Duration::from_secs(wait)).unix_seconds();
        Some(Allowance { limit: self.limit, remaining, reset, retry_after: refused.then_some(wait) })
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("limit", &self.limit).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use agentidp_secrets::ManualClock;

    use super::*;

    fn limiter(per_minute: u32) -> (RateLimiter, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        (RateLimiter::new(per_minute, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    #[test]
    fn a_bucket_empties_and_refills_evenly() {
        let (limiter, clock) = limiter(60);
        for remaining in (0..60).rev() {
            let allowance = limiter.check(Key::Operator).unwrap();
            assert_eq!((allowance.remaining, allowance.retry_after), (remaining, None));
            assert_eq!(allowance.reset, 60 - i64::from(remaining));
        }
        let refused = limiter.check(Key::Operator).unwrap();
        assert_eq!((refused.remaining, refused.retry_after, refused.reset), (0, Some(1), 1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.check(Key::Operator).unwrap().retry_after, None);
        assert_eq!(limiter.check(Key::Operator).unwrap().retry_after, Some(1));
    }

    #[test]
    fn callers_do_not_share_a_bucket() {
        let (limiter, _) = limiter(1);
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let callers = [
            Key::Operator,
            Key::Agent(Uuid::from_u128(1)),
            Key::Agent(Uuid::from_u128(2)),
            limiter.claimed("a", here),
            limiter.claimed("b", here),
            limiter.claimed("a", there),
        ];
        for caller in callers {
            assert_eq!(limiter.check(caller).unwrap().retry_after, None, "{caller:?}");
        }
        for caller in callers {
            assert!(limiter.check(caller).unwrap().retry_after.is_some(), "{caller:?}");
        }
    }

    #[test]
    fn one_ipv6_network_is_one_caller() {
        let (limiter, _) = limiter(1);
        let claimed = |address: &str| limiter.claimed("a", address.parse().unwrap());
        assert_eq!(claimed("2001:db8::1"), claimed("2001:db8::ffff:2"));
        assert_ne!(claimed("2001:db8::1"), claimed("2001:db8:0:1::1"));
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(limiter(0).0.check(Key::Operator), None);
    }

    #[test]
    fn idle_callers_are_forgotten() {
        let (limiter, clock) = limiter(100);
        for round in 0..3_u128 {
            for n in 0..u128::from(CHECKS_PER_SWEEP) {
                let _ = limiter.check(Key::Agent(Uuid::from_u128(round << 64 | n)));
            }
            clock.advance(Duration::from_secs(120));
        }
        assert!(limiter.governor.as_ref().unwrap().len() <= CHECKS_PER_SWEEP as usize + 1);
    }
}
