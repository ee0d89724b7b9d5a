//! What happens on a connection that carries several requests at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// The requests of a connection that are in progress.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// When each began, by its number.
    in_progress: BTreeMap<u64, Instant>,
    /// How many there have been.
    begun: u64,
}

/// A request in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct InProgress {
    requests: Arc<Requests>,
    number: u64,
}

impl Requests {
    pub(super) fn begin(self: &Arc<Self>) -> InProgress {
        let mut list = self.list();
        let number = list.begun;
        list.begun += 1;
        list.in_progress.insert(number, Instant::now());
        InProgress { requests: Arc::clone(self), number }
    }

    /// Waits until there was no request for `time`, or none at all for the time of the `first`; at most twice as long.
    pub(super) async fn idle_for(&self, first: Duration, time: Duration) {
        loop {
            let begun = self.list().begun;
            sleep(if begun == 0 { first } else { time }).await;
            let list = self.list();
            if list.begun == begun && list.in_progress.is_empty() {
                return;
            }
        }
    }

    /// Waits until a request has been in progress for `limit`.
    pub(super) async fn overdue(&self, limit: Duration) {
        loop {
            // One that begins only now cannot be overdue before then.
            let oldest = self.list().in_progress.values().next().copied();
            let due = oldest.unwrap_or_else(Instant::now) + limit;
            sleep_until(due).await;
            if self.list().in_progress.values().next().is_some_and(|begun| *begun + limit <= due) {
                return;
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.requests.list().in_progress.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_began_and_nothing_is_in_progress() {
        let requests = Arc::new(Requests::default());
        let mut waiting = Box::pin(requests.idle_for(TIME, TIME));
        assert!((&mut waiting).now_or_never().is_none());
        let request = requests.begin();
        advance(TIME).await;
        assert!((&mut waiting).now_or_never().is_none(), "one is in progress");
        drop(request);
        drop(requests.begin());
        advance(TIME).await;
        assert!((&mut waiting).now_or_never().is_none(), "one has begun and ended meanwhile");
        advance(TIME).await;
        assert!((&mut waiting).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_yet_has_less_time() {
        let requests = Arc::new(Requests::default());
        let mut silent = Box::pin(requests.idle_for(TIME, TIME * 7));
        assert!((&mut silent).now_or_never().is_none());
        advance(TIME).await;
        assert!((&mut silent).now_or_never().is_some());
        drop(requests.begin());
        let mut idle = Box::pin(requests.idle_for(TIME, TIME * 7));
        assert!((&mut idle).now_or_never().is_none());
        advance(TIME * 6).await;
        assert!((&mut idle).now_or_never().is_none());
        advance(TIME).await;
        assert!((&mut idle).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_request_that_stays_is_overdue() {
        let requests = Arc::new(Requests::default());
        let mut overdue = Box::pin(requests.overdue(TIME));
        let mut last = requests.begin();
        assert!((&mut overdue).now_or_never().is_none());
        for _ in 0..4 {
            advance(TIME / 2).await;
            // There is always one, and none stays.
            last = requests.begin();
            assert!((&mut overdue).now_or_never().is_none());
        }
        advance(TIME).await;
        assert!((&mut overdue).now_or_never().is_some());
        drop(last);
    }
}
