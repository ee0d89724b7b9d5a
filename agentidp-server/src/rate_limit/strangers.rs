//! Senders that have not proved who they are: how much each address may make the server do and write.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agentidp_secrets::Clock;
use governor::Quota;

use super::bucket::Bucket;

/// Failures of unknown clients that are recorded: so many from one address at once, and then one a minute.
const RECORDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// The same from all addresses: so many at once, and then ten a minute. At 4.4 KB an event, 63 MB a day.
const ALL_RECORDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
const ALL_RECORDS_PERIOD: Duration = Duration::from_secs(6);

/// Lines of the log about requests of unknown senders: so many from one address at once, and then one a second. At 0.3 KB a
/// line, 26 MB a day.
const LINES: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);
const LINES_PERIOD: Duration = Duration::from_secs(1);

const MINUTE: Duration = Duration::from_secs(60);

/// What is remembered of blocked addresses, and of clients that have proved themselves. One that is overwritten by another
/// is let through until its next failure, or counts as unproved until its next login.
const SLOTS: usize = 16 * 1024;

/// Addresses that are named as proxies that are not declared. A stranger may write the same headers, and uses up one.
const PROXIES: usize = 4;

/// What unknown senders have used up.
pub struct Strangers {
    failures: Option<Bucket<u64>>,
    records: Bucket<u64>,
    all_records: Bucket<()>,
    lines: Bucket<u64>,
    blocked: Box<[AtomicU64]>,
    proved: Box<[AtomicU64]>,
    unrecorded: AtomicU64,
    unlogged: AtomicU64,
    proxies: [AtomicU64; PROXIES],
    clock: Arc<dyn Clock>,
    start: Instant,
}

impl Strangers {
    pub(super) fn new(failures: u32, clock: &Arc<dyn Clock>) -> Self {
        let quota = |period, burst| Quota::with_period(period).unwrap_or(Quota::per_minute(burst)).allow_burst(burst);
        let slots = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self {
            failures: Bucket::per_minute(failures, clock),
            records: Bucket::new(quota(MINUTE, RECORDS), clock),
            all_records: Bucket::new(quota(ALL_RECORDS_PERIOD, ALL_RECORDS), clock),
            lines: Bucket::new(quota(LINES_PERIOD, LINES), clock),
            blocked: slots(),
            proved: slots(),
            unrecorded: AtomicU64::new(0),
            unlogged: AtomicU64::new(0),
            proxies: Default::default(),
            start: clock.instant(),
            clock: Arc::clone(clock),
        }
    }

    /// A client has proved itself from an address: failures from there do not keep it out.
    pub fn proved(&self, pair: u64) {
        slot(&self.proved, pair).store(pair, Ordering::Relaxed);
    }

    pub(super) fn has_proved(&self, pair: u64) -> bool {
        slot(&self.proved, pair).load(Ordering::Relaxed) == pair
    }

    /// Counts a failed authentication from an address. Once it has used up its failures, clients that have not proved
    /// themselves from there have to wait.
    pub fn failed(&self, network: u64) {
        if let Some(Err(wait)) = self.failures.as_ref().map(|failures| failures.take(&network)) {
            let until =
                self.seconds().saturating_add(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)).saturating_add(1);
            slot(&self.blocked, network).store(tag(network) | u64::from(until), Ordering::Relaxed);
        }
    }

    pub(super) fn blocked_for(&self, pair: u64, network: u64) -> Option<Duration> {
        let entry = slot(&self.blocked, network).load(Ordering::Relaxed);
        let left = (entry & u64::from(u32::MAX)).saturating_sub(self.seconds().into());
        let blocked = entry & !u64::from(u32::MAX) == tag(network) && left > 0 && !self.has_proved(pair);
        blocked.then(|| Duration::from_secs(left))
    }

    /// Whether the failure of an unknown client is recorded, and then how many before it were not.
    pub fn record(&self, network: u64) -> Option<u64> {
        if self.records.take(&network).is_ok() && self.all_records.take(&()).is_ok() {
            return Some(self.unrecorded.swap(0, Ordering::Relaxed));
        }
        self.unrecorded.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Whether a request of an unknown sender gets its lines in the log, and then how many before it got none.
    pub fn log(&self, network: u64) -> Option<u64> {
        if self.lines.take(&network).is_ok() {
            return Some(self.unlogged.swap(0, Ordering::Relaxed));
        }
        self.unlogged.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Whether this address looks like a proxy that is not declared for the first time, and few others did before.
    pub fn is_new_proxy(&self, network: u64) -> bool {
        // A free place is 0.
        let network = network.max(1);
        let (mut places, order) = (self.proxies.iter(), Ordering::Relaxed);
        let ended = places.find_map(|place| match place.compare_exchange(0, network, order, order) {
            Ok(_) => Some(true),
            Err(told) => (told == network).then_some(false),
        });
        ended.unwrap_or(false)
    }

    fn seconds(&self) -> u32 {
        let seconds = self.clock.instant().saturating_duration_since(self.start).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strangers").finish_non_exhaustive()
    }
}

fn slot(slots: &[AtomicU64], hash: u64) -> &AtomicU64 {
    // The length is a power of two, and below 2^32.
    &slots[hash as usize & (SLOTS - 1)]
}

/// The upper half of a hash; the lower half of an entry is a time.
fn tag(hash: u64) -> u64 {
    hash & !u64::from(u32::MAX)
}
