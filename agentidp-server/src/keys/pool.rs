//! The threads that compute signatures which are too long for a thread that also answers others.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot::{Sender, channel};

use super::SignError;

/// An unsigned token becomes a token.
type Sign = dyn Fn(String) -> Result<String, SignError> + Send + Sync;

/// A fixed number of threads over one bounded queue. They start when there is work and end with the pool.
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    sign: Box<Sign>,
    threads: usize,
    waiting: usize,
    state: Mutex<State>,
    /// Something has changed: a job came, or the end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    started: usize,
    closed: bool,
}

/// A token to be signed, and who waits for it.
struct Job {
    unsigned: String,
    caller: Sender<Result<String, SignError>>,
}

impl Pool {
    /// At most `threads` that compute and `waiting` callers that wait for one of them.
    pub(crate) fn new(
        threads: usize,
        waiting: usize,
        sign: impl Fn(String) -> Result<String, SignError> + Send + Sync + 'static,
    ) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { sign: Box::new(sign), threads, waiting, state, changed }))
    }

    /// Signs a token on one of the threads. A caller that goes away leaves its place in the queue; what is computed
    /// already is finished.
    ///
    /// # Errors
    /// `Busy` when the queue is full, `Failed` when signing fails or there is no thread.
    pub(crate) async fn sign(&self, unsigned: String) -> Result<String, SignError> {
        let (caller, answer) = channel();
        self.submit(Job { unsigned, caller })?;
        // Gone without an answer: the signing panicked.
        answer.await.unwrap_or(Err(SignError::Failed))
    }

    fn submit(&self, job: Job) -> Result<(), SignError> {
        let mut state = self.0.lock();
        if state.queue.len() >= self.0.waiting {
            // Who has gone leaves a place.
            state.queue.retain(|job| !job.caller.is_closed());
        }
        if state.queue.len() >= self.0.waiting {
            return Err(SignError::Busy);
        }
        while state.started < self.0.threads {
            let shared = Arc::clone(&self.0);
            match thread::Builder::new().name("token-signing".to_owned()).spawn(move || shared.work()) {
                Ok(_) => state.started += 1,
                Err(_) if state.started > 0 => break, // fewer threads will do
                Err(error) => {
                    tracing::error!(%error, "the operating system gave no thread to sign tokens on; are there limits?");
                    return Err(SignError::Failed);
                }
            }
        }
        state.queue.push_back(job);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// What each thread does.
    fn work(&self) {
        while let Some(Job { unsigned, caller }) = self.next() {
            if caller.is_closed() {
                continue;
            }
            // A panic: the caller notices that its answer is gone, and the next job is another's.
            if let Ok(answer) = catch_unwind(AssertUnwindSafe(|| (self.sign)(unsigned))) {
                let _gone = caller.send(answer);
            }
        }
    }

    /// Waits for a job. `None` is the end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        while !state.closed {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// A panic with the lock held would leave nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { threads, waiting, .. } = &*self.0;
        f.debug_struct("Pool").field("threads", threads).field("waiting", waiting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc::{Sender as Release, channel as gate};
    use std::task::{Context, Waker};

    use super::*;

    /// A pool of one thread that signs only when it is let, and the tokens that it has begun.
    fn gated(waiting: usize) -> (Pool, Release<()>, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let (release, released) = gate::<()>();
        let (begun, begins) = tokio::sync::mpsc::unbounded_channel();
        let released = Mutex::new(released);
        let sign = move |unsigned: String| {
            begun.send(unsigned.clone()).unwrap();
            released.lock().unwrap().recv().map_err(|_| SignError::Failed)?;
            assert_ne!(unsigned, "panic");
            Ok(unsigned + ".signed")
        };
        (Pool::new(1, waiting, sign), release, begins)
    }

    /// Lets a call go as far as it can; says what it came to.
    fn poll<F: Future>(call: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match call.poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn while_every_thread_signs_the_runtime_goes_on_and_a_full_queue_refuses() {
        let (pool, release, mut begins) = gated(1);
        let (mut first, mut second) = (pin!(pool.sign("1".to_owned())), pin!(pool.sign("2".to_owned())));
        assert_eq!(poll(first.as_mut()), None);
        assert_eq!(begins.recv().await.unwrap(), "1");
        assert_eq!(poll(second.as_mut()), None);
        assert_eq!(pool.sign("3".to_owned()).await, Err(SignError::Busy));
        // The one thread of this runtime is free: a health check would be answered now.
        assert_eq!(tokio::spawn(async { "healthy" }).await.unwrap(), "healthy");
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), ("1.signed".to_owned(), "2.signed".to_owned()));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_its_place_and_is_not_signed_for() {
        let (pool, release, mut begins) = gated(1);
        let mut first = pin!(pool.sign("1".to_owned()));
        assert_eq!(poll(first.as_mut()), None);
        assert_eq!(begins.recv().await.unwrap(), "1");
        {
            let mut gone = pin!(pool.sign("gone".to_owned()));
            assert_eq!(poll(gone.as_mut()), None);
        }
        let mut third = pin!(pool.sign("3".to_owned()));
        assert_eq!(poll(third.as_mut()), None, "waits, in the place of the one that went");
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!((first.await.unwrap(), third.await.unwrap()), ("1.signed".to_owned(), "3.signed".to_owned()));
        assert_eq!(begins.recv().await.unwrap(), "3");
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_caller_only() {
        let (pool, release, _begins) = gated(1);
        release.send(()).unwrap();
        assert_eq!(pool.sign("panic".to_owned()).await, Err(SignError::Failed));
        // The lock of the gate is free: it was let go before the panic.
        release.send(()).unwrap();
        assert_eq!(pool.sign("2".to_owned()).await.unwrap(), "2.signed");
    }

    #[test]
    fn debug_shows_no_token() {
        assert_eq!(format!("{:?}", Pool::new(2, 3, Ok)), "Pool { threads: 2, waiting: 3, .. }");
    }
}
