//! Whether anything happens on a connection that carries several requests at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts the requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Idle {
    in_progress: AtomicUsize,
    begun: AtomicUsize,
}

/// A request in progress, until it is dropped.
pub(super) struct InProgress(Arc<Idle>);

impl Idle {
    pub(super) fn begin(self: &Arc<Self>) -> InProgress {
        self.in_progress.fetch_add(1, Ordering::AcqRel);
        self.begun.fetch_add(1, Ordering::AcqRel);
        InProgress(Arc::clone(self))
    }

    /// Waits until there was no request for `time`; at most twice as long.
    pub(super) async fn for_long(&self, time: Duration) {
        loop {
            let begun = self.begun.load(Ordering::Acquire);
            tokio::time::sleep(time).await;
            let nothing_begun = self.begun.load(Ordering::Acquire) == begun;
            if nothing_begun && self.in_progress.load(Ordering::Acquire) == 0 {
                return;
            }
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::AcqRel);
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
        let idle = Arc::new(Idle::default());
        let mut waiting = Box::pin(idle.for_long(TIME));
        assert!((&mut waiting).now_or_never().is_none());
        let request = idle.begin();
        advance(TIME).await;
        assert!((&mut waiting).now_or_never().is_none(), "one is in progress");
        drop(request);
        drop(idle.begin());
        advance(TIME).await;
        assert!((&mut waiting).now_or_never().is_none(), "one has begun and ended meanwhile");
        advance(TIME).await;
        assert!((&mut waiting).now_or_never().is_some());
    }
}
