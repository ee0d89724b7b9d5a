//! What a ledger asks: rows of a client, from memory or read.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{AsOf, ClientRows, Freshness, Known};

use super::cache::RowCache;
use super::flights::Flights;
use super::reading::Reading;
use crate::replicas::{LeaseClock, Memory};

/// Rows of known clients, by `K`. Unknown ones are not kept: there is no end of them, and they would push the others out.
pub struct RowMemory<K, E> {
    cache: RowCache<K>,
    flights: Flights<K, E>,
    parse: fn(&str) -> Option<K>,
}

impl<K: Clone + Eq + Hash + Send + Sync, E: Send + Sync> RowMemory<K, E> {
    /// Room for the rows of so many credentials; with a capacity of 0 only changes are counted. `parse` reads who has changed from what
    /// is told; nothing stands for all.
    #[must_use]
    pub fn new(capacity: usize, clock: LeaseClock, parse: fn(&str) -> Option<K>) -> Self {
        Self { cache: RowCache::new(capacity, clock), flights: Flights::default(), parse }
    }

    /// The rows of a client, in memory or by `read`.
    ///
    /// # Errors
    /// Those of `read`, for each caller that shared it.
    pub async fn rows<F>(
        &self,
        client: &K,
        freshness: Freshness,
        read: impl Fn(Reading) -> F + Send + Sync,
    ) -> Result<ClientRows, Arc<E>>
    where
        F: Future<Output = Result<Option<Arc<Known>>, E>> + Send,
    {
        let live = self.cache.is_live();
        let read = |why| self.begin_read(client, if live { why } else { Reading::Unheard }, &read);
        match freshness {
            Freshness::Cached => match live.then(|| self.cache.get(client)).flatten() {
                Some(rows) => Ok(rows),
                None => read(Reading::Missing).1.await,
            },
            Freshness::After(served) => match live.then(|| self.cache.get_after(client, served)).flatten() {
                Some(rows) => Ok(rows),
                None => self.flights.join(client, served, || read(Reading::Anew)).await,
            },
            Freshness::Latest => read(Reading::Missing).1.await,
        }
    }

    /// Begins a read. Its rows are kept where rows may be served.
    fn begin_read<'a, F, R>(
        &'a self,
        client: &'a K,
        why: Reading,
        read: R,
    ) -> (AsOf, impl Future<Output = Result<ClientRows, Arc<E>>> + use<'a, F, R, K, E>)
    where
        R: FnOnce(Reading) -> F,
        F: Future<Output = Result<Option<Arc<Known>>, E>>,
    {
        let as_of = self.cache.begin_read(client);
        let read = read(why);
        let rows = async move {
            let known = read.await.map_err(Arc::new)?;
            if let (Some(known), false) = (&known, why == Reading::Unheard) {
                self.cache.put(client.clone(), as_of, known);
            }
            Ok(ClientRows { known, as_of, from_memory: false })
        };
        (as_of, rows)
    }

    /// Whether memory would serve rows now as it did at `as_of`.
    pub fn is_current(&self, client: &K, as_of: AsOf) -> bool {
        self.cache.is_live() && !self.is_changed(client, as_of)
    }

    /// Whether a change is known of since `as_of`.
    pub fn is_changed(&self, client: &K, as_of: AsOf) -> bool {
        self.cache.is_changed(client, as_of)
    }

    /// The client has changed.
    pub fn forget(&self, client: &K) {
        self.cache.forget(client);
    }

    /// The database's time, while rows may be served: as it told with its last sign of life, carried on.
    pub fn database_time(&self) -> Option<SystemTime> {
        self.cache.database_time()
    }

    /// Of how many clients rows are being read for callers that share the read.
    pub fn shared_reads(&self) -> usize {
        self.flights.len()
    }

    /// How many clients are in memory.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static, E: Send + Sync + 'static> Memory for RowMemory<K, E> {
    fn told(&self, payload: &str) {
        match (self.parse)(payload) {
            Some(client) => self.forget(&client),
            None => self.forget_all(),
        }
    }

    fn forget_all(&self) {
        self.cache.forget_all();
    }

    fn extend(&self, sent: Duration, database_time: SystemTime) {
        self.cache.extend(sent, database_time);
    }

    fn end_lease(&self) {
        self.cache.end_lease();
    }

    fn now(&self) -> Duration {
        self.cache.now()
    }
}

impl<K, E> fmt::Debug for RowMemory<K, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowMemory").finish_non_exhaustive()
    }
}
