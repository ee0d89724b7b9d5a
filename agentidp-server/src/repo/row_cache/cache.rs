//! The rows that are held, and whether they may be served.
//!
//! Two things keep an old row from being served. An *epoch* for each client: a change moves it on, and an entry counts only
//! at the epoch at which its read began, so a read that was under way during a change cannot put back what was before. And
//! a *lease*: entries count only for a short time after the last sign of life of the connection that tells of changes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{AsOf, ClientRows, Known};
use agentidp_secrets_sqlx::replicas::{LEASE, LeaseClock, Memory};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tracing::warn;
use uuid::Uuid;

use super::sync::{AtomicU32, AtomicU64, Ordering};
use crate::repo::{RepoError, Result};

/// Epochs that are counted whatever the capacity: 4 KiB.
const LEAST_EPOCHS: usize = 1024;

/// Rows of known clients. Unknown ones are not kept: there is no end of them, and they would push the others out.
pub(in crate::repo) struct RowCache {
    held: Cache<Uuid, Held, Rows>,
    /// Several clients may share one: then a change to one costs another a read.
    epochs: Box<[AtomicU32]>,
    /// How often everything was forgotten.
    generation: AtomicU32,
    /// How many reads have begun.
    reads: AtomicU64,
    /// When the lease ends, in microseconds of the clock; 0 is long ago.
    lease: AtomicU64,
    clock: LeaseClock,
}

#[derive(Clone)]
struct Held {
    as_of: AsOf,
    found: Arc<Known>,
}

/// A client weighs as many rows as it has credentials.
#[derive(Clone)]
struct Rows;

impl Weighter<Uuid, Held> for Rows {
    fn weight(&self, _: &Uuid, held: &Held) -> u64 {
        held.found.len().max(1) as u64
    }
}

impl RowCache {
    /// With a capacity of 0 and no lease it only counts changes.
    pub(super) fn new(capacity: usize, clock: LeaseClock) -> Result<Self> {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity)
            .weight_capacity(capacity as u64)
            // What was pushed out is read again: not worth remembering.
            .ghost_allocation(0.0)
            .build()
            .map_err(|_| RepoError::unavailable("open", "the row cache could not be made"))?;
        Ok(Self {
            held: Cache::with_options(options, Rows, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            // Of the clients that are held about two share one: so 2 to 4 bytes for each row that there is room for.
            epochs: (0..(capacity / 2).max(LEAST_EPOCHS).next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
            generation: AtomicU32::new(0),
            reads: AtomicU64::new(0),
            lease: AtomicU64::new(0),
            clock,
        })
    }

    /// Whether rows may be served.
    pub(super) fn is_live(&self) -> bool {
        micros(self.clock.now()) < self.lease.load(Ordering::Acquire)
    }

    /// What is held of a client, if it is of its present epoch. The caller has asked [`is_live`](Self::is_live).
    pub(super) fn get(&self, client_id: Uuid) -> Option<ClientRows> {
        // Ahead of the look: a read that begins later than this began after the rows were served.
        let reads = self.reads.load(Ordering::Acquire);
        let held = self.held.get(&client_id)?;
        let as_of = AsOf { reads, ..held.as_of };
        (!self.is_changed(client_id, as_of)).then_some(ClientRows { known: Some(held.found), as_of, from_memory: true })
    }

    /// As [`get`](Self::get), if it was read by a read that began after `served`.
    pub(super) fn get_after(&self, client_id: Uuid, served: AsOf) -> Option<ClientRows> {
        let Held { as_of, found } = self.held.get(&client_id)?;
        let counts = is_after(as_of, served) && !self.is_changed(client_id, as_of);
        counts.then_some(ClientRows { known: Some(found), as_of, from_memory: false })
    }

    /// To be called before a client is read: the moment that the read's rows are of.
    pub(super) fn begin_read(&self, client_id: Uuid) -> AsOf {
        let reads = self.reads.fetch_add(1, Ordering::AcqRel) + 1;
        AsOf { changes: self.epoch(client_id), reads }
    }

    /// Whether a change is known of that the rows may lack.
    pub(super) fn is_changed(&self, client_id: Uuid, as_of: AsOf) -> bool {
        as_of.changes != self.epoch(client_id)
    }

    /// Keeps what a read found that began at `as_of`.
    pub(super) fn put(&self, client_id: Uuid, as_of: AsOf, found: Arc<Known>) {
        self.held.insert(client_id, Held { as_of, found });
    }

    /// The client has changed.
    pub(super) fn forget(&self, client_id: Uuid) {
        self.client_epoch(client_id).fetch_add(1, Ordering::AcqRel);
        self.held.remove(&client_id);
    }

    /// Forgets the client when it is dropped: after a write, however that ended. Whether it was committed is not always
    /// known.
    pub(super) fn forgetting(&self, client_id: Uuid) -> Forgetting<'_> {
        Forgetting { cache: self, client_id }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The changes that this process has made to a client or heard of, and how often everything was forgotten. The counts begin
    /// again after four thousand million changes, which no read lasts for.
    fn epoch(&self, client_id: Uuid) -> u64 {
        let generation = self.generation.load(Ordering::Acquire);
        u64::from(generation) << 32 | u64::from(self.client_epoch(client_id).load(Ordering::Acquire))
    }

    fn client_epoch(&self, client_id: Uuid) -> &AtomicU32 {
        // The random bits of an id; one that is not random only shares its epoch with more others.
        let place = client_id.as_u64_pair().1 as usize % self.epochs.len();
        &self.epochs[place]
    }
}

impl Memory for RowCache {
    fn told(&self, payload: &str) {
        /// Anything may have changed.
        const ALL: &str = "all";
        match payload.parse() {
            Ok(client_id) => self.forget(client_id),
            // Whatever else it says, it says that something has changed.
            Err(_) => {
                if payload != ALL {
                    warn!("a notification names no client: everything is read again");
                }
                self.forget_all();
            }
        }
    }

    fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.held.clear();
    }

    fn extend(&self, sent: Duration, _database_time: SystemTime) {
        self.lease.store(micros(sent.saturating_add(LEASE)), Ordering::Release);
    }

    fn end_lease(&self) {
        self.lease.store(0, Ordering::Release);
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

/// Whether this read began after the other rows were read or served.
pub(super) fn is_after(read: AsOf, other: AsOf) -> bool {
    read.reads > other.reads
}

/// A write that is under way.
pub(super) struct Forgetting<'a> {
    cache: &'a RowCache,
    client_id: Uuid,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.cache.forget(self.client_id);
    }
}
