//! How much of the machine digests may take.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// How many digests are computed at once, how many may wait, and for how long.
///
/// The defaults fit together: in lanes a core verifies 50 to 70 bcrypt digests of cost 10 in a second, so
/// [256 for each thread](Self::MAX_WAITING_PER_THREAD) have had their turn after four to [five seconds](Self::MAX_WAIT).
/// argon2id, at 17 ms each, is as fast. Without lanes, or at a higher cost, the time runs out first.
#[derive(Clone)]
#[must_use]
pub struct DigestLimits {
    threads: usize,
    waiting: Option<usize>,
    pub(super) max_wait: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) on_thread_start: Option<ThreadStart>,
    pub(super) pace: Option<Pace>,
}

/// What each thread does first.
type ThreadStart = Arc<dyn Fn() + Send + Sync>;

/// For how long a thread rests after a run that took so long.
type Pace = Arc<dyn Fn(Duration) -> Duration + Send + Sync>;

impl DigestLimits {
    /// How long a digest waits for its turn unless set: well under the patience of most HTTP clients.
    pub const MAX_WAIT: Duration = Duration::from_secs(5);

    /// How many digests wait for each thread unless set. One that waits takes some hundred bytes.
    pub const MAX_WAITING_PER_THREAD: usize = 256;

    /// Sets how many threads compute digests; as many as the machine has cores unless set. They start when there is
    /// work for them. With argon2id each has memory of its own while it computes.
    pub fn max_concurrency(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets how many digests may wait for a thread. What comes on top is refused as
    /// [`Throttled`](ErrorKind::Throttled).
    pub fn max_waiting(mut self, digests: usize) -> Self {
        self.waiting = Some(digests);
        self
    }

    /// Sets how long a digest may wait for a thread; after that it is refused as [`Throttled`](ErrorKind::Throttled).
    /// Looked at whenever a thread becomes free, so the refusal may come the time of one computation later.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.max_wait = time;
        self
    }

    /// Sets what each thread does before its first digest. The place to lower its priority, by the operating system's own
    /// means: then a flood of guesses takes what others leave of the cores, and whoever is decided without a digest does
    /// not notice it.
    pub fn on_thread_start(mut self, action: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_thread_start = Some(Arc::new(action));
        self
    }

    /// Sets for how long a thread rests after each run of digests: told how long the run took, on the [clock](Self::clock),
    /// and called on that thread, so that it can compare this with the time that the thread was given a core for. Digests
    /// that wait then wait longer, and are refused at their time as ever. Not at all unless set.
    pub fn pace(mut self, rest_after: impl Fn(Duration) -> Duration + Send + Sync + 'static) -> Self {
        self.pace = Some(Arc::new(rest_after));
        self
    }

    /// Sets the clock that measures the wait; the machine's unless set.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.unwrap_or_else(|| self.threads.saturating_mul(Self::MAX_WAITING_PER_THREAD))
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |message| Err(Error::new(ErrorKind::InvalidConfig, message));
        if self.threads == 0 {
            return invalid("max_concurrency must be at least 1");
        }
        if self.waiting() == 0 {
            return invalid("max_waiting must be at least 1: a digest waits, however shortly, until a thread has it");
        }
        Ok(())
    }
}

impl Default for DigestLimits {
    fn default() -> Self {
        Self {
            threads: available_parallelism().map_or(1, NonZero::get),
            waiting: None,
            max_wait: Self::MAX_WAIT,
            clock: Arc::new(SystemClock),
            on_thread_start: None,
            pace: None,
        }
    }
}

impl fmt::Debug for DigestLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestLimits")
            .field("threads", &self.threads)
            .field("waiting", &self.waiting())
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}
