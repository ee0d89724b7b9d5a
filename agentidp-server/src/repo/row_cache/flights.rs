//! Reads that callers share: at most one of a client is under way at a time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use agentidp_secrets::lifecycle::{AsOf, ClientRows};
use uuid::Uuid;

use super::cache::is_after;
use super::sync::Mutex;
use crate::repo::{RepoError, Result};

/// The clients whose rows are being read for callers that share a read.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Uuid, Flight>>);

/// The last read of a client, and the turn to make the next one: whoever holds the lock reads.
type Turn = Arc<tokio::sync::Mutex<Option<Read>>>;

#[derive(Default)]
struct Flight {
    callers: usize,
    turn: Turn,
}

struct Read {
    began: AsOf,
    outcome: Result<ClientRows>,
}

impl Flights {
    /// The outcome of a read that began after `served`: one that another caller made, or else one
    /// of `begin`'s. A read that was under way before then does not count, because it may be older
    /// than the change that this caller looks for. A caller that is dropped leaves its turn to the
    /// next.
    ///
    /// # Errors
    /// What the read failed with, for each caller that shared it.
    pub(super) async fn join<F>(
        &self,
        client_id: Uuid,
        served: AsOf,
        begin: impl FnOnce() -> (AsOf, F) + Send,
    ) -> Result<ClientRows>
    where
        F: Future<Output = Result<ClientRows>> + Send,
    {
        let seat = self.take_seat(client_id);
        let mut last = seat.turn.lock().await;
        if let Some(read) = last.as_ref().filter(|read| is_after(read.began, served)) {
            return again(&read.outcome);
        }
        let (began, read) = begin();
        let outcome = read.await;
        let shared = again(&outcome);
        *last = Some(Read { began, outcome });
        shared
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take_seat(&self, client_id: Uuid) -> Seat<'_> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = flights.entry(client_id).or_default();
        flight.callers += 1;
        Seat { flights: self, client_id, turn: Arc::clone(&flight.turn) }
    }
}

/// The same outcome for another caller.
fn again(outcome: &Result<ClientRows>) -> Result<ClientRows> {
    match outcome {
        Ok(rows) => Ok(rows.clone()),
        Err(error) => Err(RepoError::again(error)),
    }
}

/// A caller's part in a flight. The last one to leave removes it.
struct Seat<'a> {
    flights: &'a Flights,
    client_id: Uuid,
    turn: Turn,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get_mut(&self.client_id) {
            flight.callers -= 1;
            if flight.callers == 0 {
                flights.remove(&self.client_id);
            }
        }
    }
}
