//! Reads that callers share: at most one of a client is under way at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use super::cache::is_after;
use super::sync::Mutex;
use agentidp_secrets::lifecycle::{AsOf, ClientRows};

/// The clients whose rows are being read for callers that share a read.
pub(super) struct Flights<K, E>(Mutex<HashMap<K, Flight<E>>>);

/// The last read of a client, and the turn to make the next one: whoever holds the lock reads.
type Turn<E> = Arc<tokio::sync::Mutex<Option<Read<E>>>>;

struct Flight<E> {
    callers: usize,
    turn: Turn<E>,
}

struct Read<E> {
    began: AsOf,
    outcome: Result<ClientRows, Arc<E>>,
}

impl<K, E> Default for Flights<K, E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash + Send + Sync, E: Send + Sync> Flights<K, E> {
    /// The outcome of a read that began after `served`: one that another caller made, or else one
    /// of `begin`'s. A read that was under way before then does not count, because it may be older
    /// than the change that this caller looks for. A caller that is dropped leaves its turn to the
    /// next.
    ///
    /// # Errors
    /// What the read failed with, for each caller that shared it.
    pub(super) async fn join<F>(
        &self,
        client: &K,
        served: AsOf,
        begin: impl FnOnce() -> (AsOf, F) + Send,
    ) -> Result<ClientRows, Arc<E>>
    where
        F: Future<Output = Result<ClientRows, Arc<E>>> + Send,
    {
        let seat = self.take_seat(client);
        let mut last = seat.turn.lock().await;
        if let Some(read) = last.as_ref().filter(|read| is_after(read.began, served)) {
            return read.outcome.clone();
        }
        let (began, read) = begin();
        let outcome = read.await;
        let shared = outcome.clone();
        *last = Some(Read { began, outcome });
        shared
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take_seat(&self, client: &K) -> Seat<'_, K, E> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = flights.entry(client.clone()).or_insert_with(|| Flight { callers: 0, turn: Arc::default() });
        flight.callers += 1;
        Seat { flights: self, client: client.clone(), turn: Arc::clone(&flight.turn) }
    }
}

/// A caller's part in a flight. The last one to leave removes it.
struct Seat<'a, K: Eq + Hash, E> {
    flights: &'a Flights<K, E>,
    client: K,
    turn: Turn<E>,
}

impl<K: Eq + Hash, E> Drop for Seat<'_, K, E> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get_mut(&self.client) {
            flight.callers -= 1;
            if flight.callers == 0 {
                flights.remove(&self.client);
            }
        }
    }
}
