//! The threads that compute digests.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::digester::Digester;
use super::job::{Job, run};
use super::limits::DigestLimits;
use super::load::{Count, DigestLoad};
use super::queue::Queue;
use crate::error::{Error, ErrorKind, Result};

const FULL: &str =
    "too many digests wait already; try again later, and if it persists raise `max_waiting` or add cores";
const LATE: &str = "no thread was free for a digest in time; try again later, and if it persists add cores";

/// A fixed number of threads over one bounded queue. They start when there is work and end with the pool; one that
/// computes then finishes first.
pub(super) struct Pool<D>(Arc<Shared<D>>);

struct Shared<D> {
    digester: D,
    limits: DigestLimits,
    state: Mutex<State>,
    /// Something has changed: a job came, or the end.
    changed: Condvar,
    /// For the threads that rest, whom no job wakes.
    ended: Condvar,
}

struct State {
    queue: Queue,
    /// Threads that have been started, and how many of them compute or rest.
    threads: usize,
    busy: usize,
    closed: bool,
}

impl<D: Digester> Pool<D> {
    pub(super) fn new(digester: D, limits: DigestLimits) -> Self {
        let state = State { queue: Queue::new(limits.waiting()), threads: 0, busy: 0, closed: false };
        Self(Arc::new(Shared {
            digester,
            limits,
            state: Mutex::new(state),
            changed: Condvar::new(),
            ended: Condvar::new(),
        }))
    }

    pub(super) fn digester(&self) -> &D {
        &self.0.digester
    }

    pub(super) fn load(&self) -> DigestLoad {
        DigestLoad(Arc::clone(&self.0) as _)
    }

    pub(super) fn now(&self) -> Instant {
        self.0.limits.clock.instant()
    }

    /// Queues a job, which from then on gets an answer: from a thread, or a refusal.
    ///
    /// # Errors
    /// `Internal` when there is no thread and none can be started.
    pub(super) fn submit(&self, job: Job) -> Result<()> {
        let mut state = self.0.lock();
        if state.busy + state.queue.len() >= state.threads && state.threads < self.0.limits.threads() {
            match self.start() {
                Ok(()) => state.threads += 1,
                Err(_) if state.threads > 0 => {} // fewer threads will do
                Err(error) => return Err(error),
            }
        }
        if state.queue.len() >= self.0.limits.waiting() {
            // Who has gone leaves a place.
            self.0.sweep(&mut state);
        }
        let refused = state.queue.push(job);
        drop(state);
        if let Some(job) = refused {
            job.refuse(FULL);
        }
        self.0.changed.notify_one();
        Ok(())
    }

    fn start(&self) -> Result<()> {
        let shared = Arc::clone(&self.0);
        let name = format!("{}-digest", self.digester().info().id);
        let started = thread::Builder::new().name(name).spawn(move || shared.work());
        started.map(drop).map_err(|refused| {
            Error::new(ErrorKind::Internal, "the operating system gave no thread for a digest; are there limits?")
                .with_source(refused)
        })
    }
}

impl<D> Drop for Pool<D> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
        self.0.ended.notify_all();
    }
}

impl<D: Digester> Shared<D> {
    /// What each thread does.
    fn work(&self) {
        if let Some(action) = &self.limits.on_thread_start {
            // The caller's panic: the thread has jobs to do all the same.
            let _reported = catch_unwind(AssertUnwindSafe(|| action()));
        }
        while let Some(jobs) = self.next() {
            let begun = self.limits.clock.instant();
            // The digester's panic: its callers notice that their answers are gone, and the next job is another's.
            let _reported = catch_unwind(AssertUnwindSafe(|| run(jobs, &self.digester)));
            self.rest(begun);
            self.lock().busy -= 1;
        }
    }

    /// Leaves the core to others for as long as the caller's pace says, or until the end.
    fn rest(&self, begun: Instant) {
        let Some(pace) = &self.limits.pace else { return };
        let took = self.limits.clock.instant().saturating_duration_since(begun);
        // The caller's panic, again: then there is no rest.
        let rest = catch_unwind(AssertUnwindSafe(|| pace(took))).unwrap_or_default();
        if !rest.is_zero() {
            let state = self.lock();
            let _ended = self.ended.wait_timeout_while(state, rest, |state| !state.closed);
        }
    }

    /// Waits for jobs that run together. `None` is the end.
    fn next(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        while !state.closed {
            self.sweep(&mut state);
            let jobs = state.queue.take(self.digester.info().lanes.max(1));
            if !jobs.is_empty() {
                state.busy += 1;
                return Some(jobs);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

impl<D: Digester> Count for Shared<D> {
    fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    fn busy(&self) -> usize {
        self.lock().busy
    }
}

impl<D> Shared<D> {
    fn sweep(&self, state: &mut State) {
        let late = state.queue.sweep(self.limits.clock.instant(), self.limits.max_wait);
        late.into_iter().for_each(|job| job.refuse(LATE));
    }

    /// A panic with the lock held would leave nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: fmt::Debug> fmt::Debug for Pool<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("digester", &self.0.digester).field("limits", &self.0.limits).finish()
    }
}
