//! A semaphore that shares its permits among keys.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A semaphore whose next permit goes to the key that holds the fewest.
///
/// One key can hold every permit only while no other key asks for one. Keys that hold as many take turns, and the requests
/// of one key are served first come first served. Clones share their permits.
///
/// # Cancel safety
/// An [`acquire`](Self::acquire) that is dropped takes no permit with it.
pub struct FairSemaphore<K: Eq + Hash + Clone>(Arc<Mutex<State<K>>>);

struct State<K: Eq + Hash + Clone> {
    free: usize,
    /// Permits that each key holds. Keys without one are left out.
    held: HashMap<K, usize>,
    /// Requests that wait: of each key the oldest first, and never none.
    waiting: Vec<(K, VecDeque<oneshot::Sender<FairPermit<K>>>)>,
}

/// A permit of a [`FairSemaphore`], until it is dropped.
pub struct FairPermit<K: Eq + Hash + Clone> {
    semaphore: FairSemaphore<K>,
    key: K,
}

impl<K: Eq + Hash + Clone> FairSemaphore<K> {
    /// A semaphore with so many permits; with none nothing gets through.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: permits, held: HashMap::new(), waiting: Vec::new() })))
    }

    /// How many requests wait for a permit. One that was given up is none of them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().waiting.iter().flat_map(|(_, requests)| requests).filter(|request| !request.is_closed()).count()
    }

    /// Waits for a permit.
    pub async fn acquire(&self, key: K) -> FairPermit<K>
    where
        K: Send,
    {
        let (request, permit) = oneshot::channel();
        self.state().enqueue(key, request);
        self.hand_out();
        match permit.await {
            Ok(permit) => permit,
            // The other end is dropped only with a permit in it.
            Err(_) => std::future::pending().await,
        }
    }

    /// A permit if one is free.
    #[must_use]
    pub fn try_acquire(&self, key: K) -> Option<FairPermit<K>> {
        let mut state = self.state();
        (state.free > 0).then(|| {
            state.take(&key);
            drop(state);
            FairPermit { semaphore: self.clone(), key }
        })
    }

    /// Gives free permits to requests that wait.
    fn hand_out(&self) {
        loop {
            let mut state = self.state();
            let Some((key, request)) = state.next() else { return };
            state.take(&key);
            drop(state);
            // Where the request is gone by now, the permit is dropped here, and handed on.
            let _ = request.send(FairPermit { semaphore: self.clone(), key });
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    fn enqueue(&mut self, key: K, request: oneshot::Sender<FairPermit<K>>) {
        match self.waiting.iter_mut().find(|(known, _)| *known == key) {
            Some((_, requests)) => {
                if requests.len().is_power_of_two() {
                    requests.retain(|request| !request.is_closed());
                }
                requests.push_back(request);
            }
            None => self.waiting.push((key, VecDeque::from([request]))),
        }
    }

    /// The request whose turn it is, if there is a permit for it. Those that were given up take no turn.
    fn next(&mut self) -> Option<(K, oneshot::Sender<FairPermit<K>>)> {
        while self.free > 0 {
            let next = (0..self.waiting.len()).min_by_key(|at| self.held.get(&self.waiting[*at].0).copied())?;
            let (key, mut requests) = self.waiting.remove(next);
            let request = std::iter::from_fn(|| requests.pop_front()).find(|request| !request.is_closed());
            let Some(request) = request else { continue };
            if !requests.is_empty() {
                // Behind the keys that hold as few.
                self.waiting.push((key.clone(), requests));
            }
            return Some((key, request));
        }
        None
    }

    fn take(&mut self, key: &K) {
        self.free -= 1;
        *self.held.entry(key.clone()).or_default() += 1;
    }

    fn give_back(&mut self, key: &K) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(key) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(key);
            }
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for FairPermit<K> {
    fn drop(&mut self) {
        self.semaphore.state().give_back(&self.key);
        self.semaphore.hand_out();
    }
}

impl<K: Eq + Hash + Clone> Clone for FairSemaphore<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Without the keys.
impl<K: Eq + Hash + Clone> fmt::Debug for FairSemaphore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairSemaphore").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for FairPermit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairPermit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_key_with_the_fewest_permits_gets_the_next_one() {
        let permits = FairSemaphore::new(4);
        let mut flood: Vec<_> = (0..4).map(|_| permits.acquire("flood").now_or_never().unwrap()).collect();
        let mut more: Vec<_> = (0..100).map(|_| Box::pin(permits.acquire("flood"))).collect();
        assert!(more.iter_mut().all(|waits| waits.now_or_never().is_none()), "it holds all of them");
        let (mut two, mut three) = (Box::pin(permits.acquire("two")), Box::pin(permits.acquire("three")));
        assert!((&mut two).now_or_never().is_none() && (&mut three).now_or_never().is_none());
        assert_eq!(permits.waiting(), 102);
        drop(flood.pop());
        let two = two.now_or_never().unwrap();
        drop(flood.pop());
        let three = three.now_or_never().unwrap();
        drop((two, three));
        let served: Vec<_> = more.iter_mut().filter_map(|waits| waits.now_or_never()).collect();
        assert_eq!(served.len(), 2, "no other key asks");
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_takes_no_permit_with_it() {
        let permits = FairSemaphore::new(1);
        let first = permits.acquire(1).now_or_never().unwrap();
        assert!(permits.try_acquire(2).is_none());
        let mut gone = Box::pin(permits.acquire(2));
        assert!((&mut gone).now_or_never().is_none());
        drop(first);
        drop(gone);
        assert!(permits.try_acquire(3).is_some());
        assert!(permits.acquire(3).now_or_never().is_some());
    }

    #[tokio::test]
    async fn requests_that_were_given_up_take_no_turn_and_are_not_kept() {
        let permits = FairSemaphore::new(1);
        let first = permits.acquire("flooded").now_or_never().unwrap();
        for _ in 0..1000 {
            assert!(permits.acquire("flooded").now_or_never().is_none());
        }
        assert!(permits.state().waiting[0].1.len() < 3);
        let [mut other, mut genuine] = ["other", "flooded"].map(|key| Box::pin(permits.acquire(key)));
        assert!((&mut other).now_or_never().is_none() && (&mut genuine).now_or_never().is_none());
        drop(first);
        drop(genuine.now_or_never().or_else(|| other.now_or_never()).expect("one of them"));
        assert!(permits.acquire("third").now_or_never().is_some(), "nobody else waits");
    }
}
