//! Places for requests that are being answered, shared by all connections.
//!
//! A request needs a place while the server works for it, and has none while the server waits for its body. Where places are
//! short, the peer that has the fewest gets the next one. So a peer can fill all of them only while nobody else asks.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Places for so many requests at a time.
#[derive(Debug)]
pub(crate) struct Places(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Places that each peer has. Peers without one are left out.
    held: HashMap<IpAddr, usize>,
    /// Requests that wait: of each peer the oldest first, and never none.
    waiting: Vec<(IpAddr, VecDeque<oneshot::Sender<Place>>)>,
}

/// A place, until it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: places, held: HashMap::new(), waiting: Vec::new() })))
    }

    /// How many requests wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.iter().map(|(_, requests)| requests.len()).sum()
    }

    async fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let (request, place) = oneshot::channel();
        self.state().enqueue(peer, request);
        self.hand_out();
        place.await.ok()
    }

    /// Gives free places to those who wait. A request that was given up meanwhile is passed over.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            if state.free == 0 {
                return;
            }
            let State { held, waiting, .. } = &mut *state;
            let next = (0..waiting.len()).min_by_key(|at| held.get(&waiting[*at].0).copied());
            let Some(next) = next else { return };
            let (peer, requests) = &mut waiting[next];
            let (peer, request) = (*peer, requests.pop_front());
            // Behind the peers that have as few places.
            let turn = waiting.remove(next);
            if !turn.1.is_empty() {
                waiting.push(turn);
            }
            let Some(request) = request.filter(|request| !request.is_closed()) else { continue };
            *held.entry(peer).or_default() += 1;
            state.free -= 1;
            drop(state);
            // Where nobody takes it, dropping it hands it on.
            let _ = request.send(Place { places: Arc::clone(self), peer });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enqueue(&mut self, peer: IpAddr, request: oneshot::Sender<Place>) {
        match self.waiting.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, requests)) => requests.push_back(request),
            None => self.waiting.push((peer, VecDeque::from([request]))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state();
        state.free += 1;
        if let Some(held) = state.held.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.peer);
            }
        }
        drop(state);
        self.places.hand_out();
    }
}

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
    places: Arc<Places>,
    peer: IpAddr,
    activity: Arc<Activity>,
    place: Mutex<Option<Place>>,
}

/// The connection was closed for the sake of others.
#[derive(Debug)]
pub(crate) struct Evicted;

impl Seat {
    pub(crate) fn new(places: &Arc<Places>, peer: IpAddr, activity: &Arc<Activity>) -> Arc<Self> {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        let (places, activity) = (Arc::clone(places), Arc::clone(activity));
        Arc::new(Self { places, peer, activity, place: Mutex::new(None) })
    }

    /// Waits for a place.
    pub(crate) async fn take(&self) -> Result<(), Evicted> {
        let taken = self.unless_evicted(self.places.take(self.peer)).await?;
        let mut place = self.place();
        if place.is_none() && taken.is_some() {
            self.activity.working.fetch_add(1, Ordering::Relaxed);
            *place = taken;
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

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
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
    async fn the_peer_with_the_fewest_places_gets_the_next_one() {
        let places = Places::new(4);
        let mut flood: Vec<_> = (0..4).map(|_| places.take(peer(1)).now_or_never().unwrap().unwrap()).collect();
        let mut more: Vec<_> = (0..100).map(|_| Box::pin(places.take(peer(1)))).collect();
        assert!(more.iter_mut().all(|waits| waits.now_or_never().is_none()), "it has all of them");
        let (mut two, mut three) = (Box::pin(places.take(peer(2))), Box::pin(places.take(peer(3))));
        assert!((&mut two).now_or_never().is_none() && (&mut three).now_or_never().is_none());
        assert_eq!(places.waiting(), 102);
        drop(flood.pop());
        let two = two.now_or_never().unwrap();
        drop(flood.pop());
        let three = three.now_or_never().unwrap();
        drop((two, three));
        let served: Vec<_> = more.iter_mut().filter_map(|waits| waits.now_or_never()).collect();
        assert_eq!(served.len(), 2, "nobody else asks");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_takes_no_place_with_it() {
        let places = Places::new(1);
        let first = places.take(peer(1)).now_or_never().unwrap();
        let mut gone = Box::pin(places.take(peer(2)));
        assert!((&mut gone).now_or_never().is_none());
        drop(first);
        drop(gone);
        assert!(places.take(peer(3)).now_or_never().is_some());
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
