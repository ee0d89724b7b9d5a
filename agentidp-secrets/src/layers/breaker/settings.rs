//! How a breaker is set up, and what it reports.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::layers::pause::system_random;

/// Stops asking a backend that is down, and tries again by itself.
///
/// After so many operations in a row that ended [`Unavailable`](crate::ErrorKind::Unavailable) the breaker opens: every
/// operation is `Unavailable` at once, without a call to the backend, and the error says for how long still. When that
/// time is over, exactly one call goes through to try the backend; the others are refused meanwhile. If it fails too, the
/// time doubles, up to the longest one; if the backend answers, the breaker closes and everything is as before. Each pause
/// lies between half and all of its time: the random part keeps many processes from trying at the same instant.
///
/// | outcome | means |
/// |---|---|
/// | `Unavailable` | the backend is down: counts |
/// | success, a verdict, `Conflict`, `Denied`, `InvalidConfig`, `NotFound` | the backend answered: ends the row, and closes an open breaker |
/// | `Throttled` | neither: it may be a limit on this side that shed the call |
/// | `Malformed`, a mismatch of what cannot be a secret at all | neither: decided without asking the backend |
/// | `Internal`, `InvalidSecret`, `UnknownBackend`, a dropped call | neither: nobody knows, or nobody was asked |
///
/// A try that ends in "neither" leaves its place to the next call. A failure counts only if its call began after the
/// breaker was last closed, so that what hung during an outage does not open it again afterwards.
///
/// The breaker makes an outage cheap and changes nothing else: what it refuses is `Unavailable`, never a mismatch and
/// never another error, and a call that it lets through keeps its answer. Every backend that the layer wraps has a
/// breaker of its own.
///
/// # Order
/// `observe → warm → breaker → timeout → retry → limit → backend`. Outside of [`TimeoutLayer`](crate::layers::TimeoutLayer),
/// whose error is what tells of a backend that hangs: inside of it the deadline drops the call, a dropped call counts for
/// nothing, and the breaker never opens. Outside of [`RetryLayer`](crate::layers::RetryLayer): inside of it one operation counts
/// as often as it was attempted, and the retry pauses over errors of an open breaker. Inside of
/// [`WarmLayer`](crate::layers::WarmLayer), so that what is warm is still decided, and the
/// [stale window](crate::layers::WarmLayerBuilder::stale_window) gets its `Unavailable` at once instead of at the deadline.
#[derive(Clone)]
pub struct BreakerLayer {
    pub(super) failures: u32,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub(super) on_change: Arc<dyn Fn(BreakerChange) + Send + Sync>,
}

/// What a breaker tells whoever [listens](BreakerLayer::on_change).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerChange {
    /// The backend answered again: calls go through.
    Closed,
    /// The backend is not asked for this long.
    Opened(Duration),
    /// The one call that tried the backend failed: it is not asked for this long again.
    StillOpen(Duration),
}

impl BreakerLayer {
    /// Failures in a row that open the breaker when nothing else is said: more than a retried hiccup, few enough that an
    /// outage costs only a handful of callers their deadline.
    pub const DEFAULT_FAILURES: u32 = 5;
    /// The first pause when nothing else is said: an outage that ends soon is noticed soon.
    pub const DEFAULT_FIRST_PAUSE: Duration = Duration::from_millis(500);
    /// The longest pause when nothing else is said: so much later than the backend itself clients may recover, and a call a
    /// second is no load to a backend that comes back.
    pub const DEFAULT_LONGEST_PAUSE: Duration = Duration::from_secs(1);

    /// Opens after `failures` in a row. Zero counts as one.
    #[must_use]
    pub fn new(failures: u32) -> Self {
        Self {
            failures: failures.max(1),
            first_pause: Self::DEFAULT_FIRST_PAUSE,
            longest_pause: Self::DEFAULT_LONGEST_PAUSE,
            clock: Arc::new(SystemClock),
            random: Arc::new(system_random),
            on_change: Arc::new(|_| ()),
        }
    }

    /// Sets for how long the backend is not asked: at first, and at the most however often a try fails.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first.min(longest);
        self.longest_pause = longest;
        self
    }

    /// Sets the clock that pauses are measured with; the machine's unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets where the random part of a pause comes from; every value of a `u64` should be as likely as any other. The
    /// default asks the operating system.
    #[must_use]
    pub fn random(mut self, source: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(source);
        self
    }

    /// Sets who hears of every change, in the order of the changes: the place for a log and a gauge. It is called on the
    /// thread that serves a request while others wait for it, so it must neither block, nor panic, nor use the backend.
    #[must_use]
    pub fn on_change(mut self, listener: impl Fn(BreakerChange) + Send + Sync + 'static) -> Self {
        self.on_change = Arc::new(listener);
        self
    }
}

/// Five failures, pauses up to 500 ms at first and 1 s later.
impl Default for BreakerLayer {
    fn default() -> Self {
        Self::new(Self::DEFAULT_FAILURES)
    }
}

impl fmt::Debug for BreakerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("failures", &self.failures)
            .field("first_pause", &self.first_pause)
            .field("longest_pause", &self.longest_pause)
            .finish_non_exhaustive()
    }
}
