//! How often a client may call.

mod bucket;
mod strangers;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::Clock;

use self::bucket::Bucket;
pub use self::strangers::Strangers;
use crate::domain::Timestamp;
use uuid::Uuid;

/// Counts calls, each caller's apart. A bucket holds a minute's worth and refills evenly.
pub struct RateLimiter {
    rates: Rates,
    clients: Option<Bucket<Key>>,
    introspections: Option<Bucket<Key>>,
    operators: Option<Bucket<Key>>,
    /// Senders that have not proved who they are.
    pub strangers: Strangers,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
}

/// Calls a minute; `0` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "data, built from the configuration and by tests")]
pub struct Rates {
    /// Of each client.
    pub client: u32,
    /// Introspections by each client, which it makes for every call that it gets itself.
    pub introspection: u32,
    /// Of each operator, by the name in its token.
    pub operator: u32,
    /// Failed authentications from each address.
    pub failures: u32,
}

impl Rates {
    /// The defaults beside this rate for each client.
    #[must_use]
    pub const fn of(client: u32) -> Self {
        Self {
            client,
            introspection: client.saturating_mul(60),
            operator: client.saturating_mul(60),
            failures: client.saturating_mul(10),
        }
    }
}

/// Whose calls are counted together. Of fixed size whatever a caller claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// An authenticated agent.
    Agent(Uuid),
    /// The tokens of one operator; the name, hashed.
    Operator(u64),
    /// A claimed client id at an address, before anything is proved.
    Claimed {
        /// Both, hashed.
        pair: u64,
        /// The address alone, hashed.
        network: u64,
    },
    /// Introspections by an agent, or by a client that has proved itself from this address before.
    Introspection(u128),
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
    /// Lets each caller call `per_minute` times a minute, with the defaults for the rest; `0` lets everybody through.
    #[must_use]
    pub fn new(per_minute: u32, clock: Arc<dyn Clock>) -> Self {
        Self::with(Rates::of(per_minute), clock)
    }

    /// Lets callers call at these rates.
    #[must_use]
    pub fn with(rates: Rates, clock: Arc<dyn Clock>) -> Self {
        let bucket = |limit| Bucket::per_minute(limit, &clock);
        Self {
            clients: bucket(rates.client),
            introspections: bucket(rates.introspection),
            operators: bucket(rates.operator),
            strangers: Strangers::new(rates.failures, &clock),
            rates,
            clock,
            hasher: RandomState::new(),
        }
    }

    /// The caller that claims to be `client_id`, before it has proved that. The address is part of it, so that nobody
    /// can use up another client's calls from elsewhere; of an IPv6 address the network part, since hosts have many.
    #[must_use]
    pub fn claimed(&self, client_id: &str, address: IpAddr) -> Key {
        let network = network(address);
        Key::Claimed { pair: self.hasher.hash_one((client_id, network)), network: self.hasher.hash_one(network) }
    }

    /// The operator of this name.
    #[must_use]
    pub fn operator(&self, name: &str) -> Key {
        Key::Operator(self.hash(name))
    }

    /// A name as [`Strangers`] count it.
    #[must_use]
    pub fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// The address as [`Strangers`] count it.
    #[must_use]
    pub fn network(&self, address: IpAddr) -> u64 {
        self.hasher.hash_one(network(address))
    }

    /// The same caller, introspecting. Who has not proved itself yet is counted as one that guesses.
    #[must_use]
    pub fn introspecting(&self, caller: Key) -> Key {
        match caller {
            Key::Agent(id) => Key::Introspection(id.as_u128()),
            Key::Claimed { pair, .. } if self.strangers.has_proved(pair) => Key::Introspection(pair.into()),
            other => other,
        }
    }

    /// Counts one call. `None` when there is no limit.
    #[must_use]
    pub fn check(&self, caller: Key) -> Option<Allowance> {
        if let Key::Claimed { pair, network } = caller
            && let Some(wait) = self.strangers.blocked_for(pair, network)
        {
            return Some(self.refusal(self.rates.failures, wait));
        }
        let (bucket, limit) = match caller {
            Key::Agent(_) | Key::Claimed { .. } => (&self.clients, self.rates.client),
            Key::Introspection(_) => (&self.introspections, self.rates.introspection),
            Key::Operator(_) => (&self.operators, self.rates.operator),
        };
        match bucket.as_ref()?.take(&caller) {
            Ok(remaining) => {
                let used = u64::from(limit.saturating_sub(remaining));
                let reset = self.in_seconds((used * 60).div_ceil(u64::from(limit)));
                Some(Allowance { limit, remaining, reset, retry_after: None })
            }
            Err(wait) => Some(self.refusal(limit, wait)),
        }
    }

    fn refusal(&self, limit: u32, wait: Duration) -> Allowance {
        let wait = whole_seconds(wait);
        Allowance { limit, remaining: 0, reset: self.in_seconds(wait), retry_after: Some(wait) }
    }

    fn in_seconds(&self, seconds: u64) -> i64 {
        Timestamp::from(self.clock.now()).plus(Duration::from_secs(seconds)).unix_seconds()
    }
}

/// The address, or the network part of an IPv6 one: a host has 2^64 of them.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("rates", &self.rates).finish_non_exhaustive()
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
            let allowance = limiter.check(Key::Agent(Uuid::from_u128(9))).unwrap();
            assert_eq!((allowance.remaining, allowance.retry_after), (remaining, None));
            assert_eq!(allowance.reset, 60 - i64::from(remaining));
        }
        let refused = limiter.check(Key::Agent(Uuid::from_u128(9))).unwrap();
        assert_eq!((refused.remaining, refused.retry_after, refused.reset), (0, Some(1), 1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.check(Key::Agent(Uuid::from_u128(9))).unwrap().retry_after, None);
        assert_eq!(limiter.check(Key::Agent(Uuid::from_u128(9))).unwrap().retry_after, Some(1));
    }

    #[test]
    fn callers_do_not_share_a_bucket() {
        let (limiter, _) = limiter(1);
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let callers = [
            Key::Agent(Uuid::from_u128(9)),
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
        assert_eq!(limiter(0).0.check(Key::Agent(Uuid::from_u128(9))), None);
    }

    #[test]
    fn idle_callers_are_forgotten() {
        let (limiter, clock) = limiter(100);
        for round in 0..3_u128 {
            for n in 0..u128::from(bucket::CHECKS_PER_SWEEP) {
                let _ = limiter.check(Key::Agent(Uuid::from_u128(round << 64 | n)));
            }
            clock.advance(Duration::from_secs(120));
        }
        assert!(limiter.clients.as_ref().unwrap().len() <= bucket::CHECKS_PER_SWEEP as usize + 1);
    }
}
