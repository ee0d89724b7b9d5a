//! Places for requests that are being answered, shared by all connections.
//!
//! A request needs a place while the server works for it, and has none while the server waits for its body. Where places are
//! short, the peer that has the fewest gets the next one. So a peer can fill all of them only while nobody else asks.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentidp_secrets::layers::{FairPermit, FairSemaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Places for requests, by peer.
pub(crate) type Places = FairSemaphore<IpAddr>;

/// What a connection does, for those who judge whether it may be closed.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Requests in progress.
    requests: AtomicUsize,
    /// Those of them that have a place.
    working: AtomicUsize,
    quiet_since: Mutex<Instant>,
    /// The connection has to go.
    pub(crate) evicted: CancellationToken,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            requests: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
            quiet_since: Mutex::new(Instant::now()),
            evicted: CancellationToken::new(),
        })
    }

    /// Whether no request is in progress.
    pub(crate) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// Whether the server works for none of its requests.
    pub(crate) fn may_go(&self) -> bool {
        self.working.load(Ordering::Relaxed) == 0 && !self.evicted.is_cancelled()
    }

    pub(crate) fn quiet_since(&self) -> Instant {
        *self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seat of one request: it has a place, or waits for one, or for its body.
#[derive(Debug)]
pub(crate) struct Seat {
    places: Places,
    peer: IpAddr,
    activity: Arc<Activity>,
    place: Mutex<Option<FairPermit<IpAddr>>>,
}

/// The connection was closed for the sake of others.
#[derive(Debug)]
pub(crate) struct Evicted;

impl Seat {
    pub(crate) fn new(places: &Places, peer: IpAddr, activity: &Arc<Activity>) -> Arc<Self> {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        let (places, activity) = (places.clone(), Arc::clone(activity));
        Arc::new(Self { places, peer, activity, place: Mutex::new(None) })
    }

    /// Waits for a place.
    pub(crate) async fn take(&self) -> Result<(), Evicted> {
        let taken = self.unless_evicted(self.places.acquire(self.peer)).await?;
        let mut place = self.place();
        if place.is_none() {
            self.activity.working.fetch_add(1, Ordering::Relaxed);
            *place = Some(taken);
        }
        Ok(())
    }

    /// Gives the place back while something is waited for that the client has to send.
    pub(crate) fn give_back(&self) {
        let place = self.place().take();
        if place.is_some() {
            self.activity.working.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits for `work`, or until the connection has to go.
    pub(crate) async fn unless_evicted<T>(&self, work: impl Future<Output = T>) -> Result<T, Evicted> {
        self.activity.evicted.run_until_cancelled(work).await.ok_or(Evicted)
    }

    fn place(&self) -> MutexGuard<'_, Option<FairPermit<IpAddr>>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.give_back();
        self.activity.requests.fetch_sub(1, Ordering::Relaxed);
        *self.activity.quiet_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[tokio::test]
    async fn a_seat_has_a_place_only_while_it_works() {
        let (places, activity) = (Places::new(1), Activity::new());
        let (one, other) = (Seat::new(&places, peer(1), &activity), Seat::new(&places, peer(1), &activity));
        one.take().now_or_never().unwrap().unwrap();
        assert!(!activity.may_go());
        assert!(other.take().now_or_never().is_none());
        one.give_back();
        assert!(activity.may_go() && !activity.is_idle());
        other.take().now_or_never().unwrap().unwrap();
        activity.evicted.cancel();
        assert!(one.take().now_or_never().unwrap().is_err(), "it need not wait any more");
        drop((one, other));
        assert!(activity.is_idle());
    }
}
