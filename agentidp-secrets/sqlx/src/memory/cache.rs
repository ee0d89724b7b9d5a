//! The rows that are held, and whether they may be served.
//!
//! Two things keep an old row from being served. An *epoch* for each client: a change moves it on, and an entry counts only
//! at the epoch at which its read began, so a read that was under way during a change cannot put back what was before. And
//! a *lease*: entries count only for a short time after the last sign of life of the connection that tells of changes.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentidp_secrets::lifecycle::{AsOf, ClientRows, Known, PackedRows};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::sync::{AtomicU32, AtomicU64, Ordering};
use crate::replicas::{LEASE, LeaseClock};

/// Epochs that are counted whatever the capacity: 4 KiB.
const LEAST_EPOCHS: usize = 1024;

pub(super) struct RowCache<K> {
    held: Cache<K, Held, Rows>,
    /// Several clients may share one: then a change to one costs another a read.
    epochs: Box<[AtomicU32]>,
    /// How often everything was forgotten.
    generation: AtomicU32,
    /// How many reads have begun.
    reads: AtomicU64,
    /// When the lease ends, in microseconds of the clock; 0 is long ago.
    lease: AtomicU64,
    /// The database's time when the clock was at zero, in microseconds since 1970.
    database_origin: AtomicU64,
    clock: LeaseClock,
    hasher: DefaultHashBuilder,
}

#[derive(Clone)]
struct Held {
    as_of: AsOf,
    /// Packed: with a million clients a row's size decides how many there is room for, and unpacking one takes well under a
    /// microsecond.
    found: PackedRows,
}

/// A client weighs as many rows as it has credentials.
#[derive(Clone)]
struct Rows;

impl<K> Weighter<K, Held> for Rows {
    fn weight(&self, _: &K, held: &Held) -> u64 {
        held.found.len().max(1) as u64
    }
}

impl<K: Clone + Eq + Hash> RowCache<K> {
    /// With a capacity of 0 and no lease it only counts changes.
    pub(super) fn new(capacity: usize, clock: LeaseClock) -> Self {
        let room = u64::try_from(capacity).unwrap_or(u64::MAX);
        let (lifecycle, hasher) = (DefaultLifecycle::default(), DefaultHashBuilder::default());
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity)
            .weight_capacity(room)
            // What was pushed out is read again: not worth remembering.
            .ghost_allocation(0.0)
            .build()
            .unwrap_or_else(|_| unreachable!("both capacities are given"));
        let held = Cache::with_options(options, Rows, hasher.clone(), lifecycle);
        // At once, or each shard would grow to twice what it needs. Nothing of it is written to before there are rows.
        held.reserve(capacity);
        Self {
            held,
            // Of the clients that are held about two share one: so 2 to 4 bytes for each row that there is room for.
            epochs: (0..(capacity / 2).max(LEAST_EPOCHS).next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
            generation: AtomicU32::new(0),
            reads: AtomicU64::new(0),
            lease: AtomicU64::new(0),
            database_origin: AtomicU64::new(0),
            clock,
            hasher,
        }
    }

    /// Whether rows may be served.
    pub(super) fn is_live(&self) -> bool {
        micros(self.clock.now()) < self.lease.load(Ordering::Acquire)
    }

    /// What is held of a client, if it is of its present epoch. The caller has asked [`is_live`](Self::is_live).
    pub(super) fn get(&self, client: &K) -> Option<ClientRows> {
        // Ahead of the look: a read that begins later than this began after the rows were served.
        let reads = self.reads.load(Ordering::Acquire);
        let held = self.held.get(client)?;
        let as_of = AsOf { reads, ..held.as_of };
        if self.is_changed(client, as_of) {
            return None;
        }
        Some(ClientRows { known: Some(Arc::new(held.found.unpack()?)), as_of, from_memory: true })
    }

    /// As [`get`](Self::get), if it was read by a read that began after `served`.
    pub(super) fn get_after(&self, client: &K, served: AsOf) -> Option<ClientRows> {
        let Held { as_of, found } = self.held.get(client)?;
        if !is_after(as_of, served) || self.is_changed(client, as_of) {
            return None;
        }
        Some(ClientRows { known: Some(Arc::new(found.unpack()?)), as_of, from_memory: false })
    }

    /// To be called before a client is read: the moment that the read's rows are of.
    pub(super) fn begin_read(&self, client: &K) -> AsOf {
        let reads = self.reads.fetch_add(1, Ordering::AcqRel) + 1;
        AsOf { changes: self.epoch(client), reads }
    }

    /// Whether a change is known of that the rows may lack.
    pub(super) fn is_changed(&self, client: &K, as_of: AsOf) -> bool {
        as_of.changes != self.epoch(client)
    }

    /// Keeps what a read found that began at `as_of`.
    pub(super) fn put(&self, client: K, as_of: AsOf, found: &Known) {
        self.held.insert(client, Held { as_of, found: PackedRows::of(found) });
    }

    /// The client has changed.
    pub(super) fn forget(&self, client: &K) {
        self.client_epoch(client).fetch_add(1, Ordering::AcqRel);
        self.held.remove(client);
    }

    /// Anything may have changed.
    pub(super) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.held.clear();
    }

    /// The listening connection has answered a question that was sent at `sent`, and what it told before is forgotten.
    pub(super) fn extend(&self, sent: Duration, database_time: SystemTime) {
        self.database_origin.store(since_1970(database_time).saturating_sub(micros(sent)), Ordering::Release);
        self.lease.store(micros(sent.saturating_add(LEASE)), Ordering::Release);
    }

    /// Nobody tells of changes any more.
    pub(super) fn end_lease(&self) {
        self.lease.store(0, Ordering::Release);
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The database's time by its last answer, if rows may be served.
    pub(super) fn database_time(&self) -> Option<SystemTime> {
        let now = micros(self.clock.now());
        (now < self.lease.load(Ordering::Acquire))
            .then(|| UNIX_EPOCH + Duration::from_micros(self.database_origin.load(Ordering::Acquire) + now))
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The changes that this process has made to a client or heard of, and how often everything was forgotten. The counts begin
    /// again after four thousand million changes, which no read lasts for.
    fn epoch(&self, client: &K) -> u64 {
        let generation = self.generation.load(Ordering::Acquire);
        u64::from(generation) << 32 | u64::from(self.client_epoch(client).load(Ordering::Acquire))
    }

    fn client_epoch(&self, client: &K) -> &AtomicU32 {
        #[expect(clippy::cast_possible_truncation, reason = "any part of a hash will do")]
        let place = self.hasher.hash_one(client) as usize % self.epochs.len();
        &self.epochs[place]
    }
}

/// Whether this read began after the other rows were read or served.
pub(super) fn is_after(read: AsOf, other: AsOf) -> bool {
    read.reads > other.reads
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

fn since_1970(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, micros)
}
