//! The time by which overlaps end: the store's clock, or the ledger's as far as a lifecycle has read it. A jump of the machine's clock
//! changes nothing then.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;

/// A reading that took longer says too little.
const SLOWEST: Duration = Duration::from_secs(1);

/// For so long a reading is carried on, by the clock that never goes back.
const FRESH: Duration = Duration::from_secs(15);

/// No reading yet.
const NONE: i64 = i64::MIN;

/// What a ledger keeps of a time.
const GRAIN: Duration = Duration::from_millis(1);

/// A clock that follows a ledger's.
#[derive(Debug)]
pub(crate) struct StoreTime {
    clock: Arc<dyn Clock>,
    /// Whether the clock is the machine's because the builder was given none.
    may_follow: bool,
    origin: Instant,
    /// The ledger's time at `origin`, in microseconds since 1970, as of the last reading; or [`NONE`].
    at_origin: AtomicI64,
    /// When that was read last.
    read_at: Mutex<Option<Instant>>,
}

impl StoreTime {
    /// Time by this clock and no other.
    pub(super) fn of(clock: Arc<dyn Clock>) -> Self {
        let origin = clock.instant();
        Self { clock, may_follow: false, origin, at_origin: AtomicI64::new(NONE), read_at: Mutex::default() }
    }

    /// Time by this clock, until a ledger's is known.
    pub(super) fn until_known(clock: Arc<dyn Clock>) -> Self {
        Self { may_follow: true, ..Self::of(clock) }
    }

    /// The time by which overlaps end.
    pub(crate) fn now(&self) -> SystemTime {
        match self.at_origin.load(Ordering::Relaxed) {
            NONE => self.clock.now(),
            at_origin => from_unix(at_origin.saturating_add(self.since_origin(self.instant()))),
        }
    }

    /// A reading of the clock that never goes back.
    pub(crate) fn instant(&self) -> Instant {
        self.clock.instant()
    }

    fn since_origin(&self, at: Instant) -> i64 {
        micros(at.saturating_duration_since(self.origin))
    }

    /// From now on the time is that of a ledger, which was asked at `asked` and has just said `at_ledger`.
    pub(crate) fn follow(&self, at_ledger: SystemTime, asked: Instant) {
        let received = self.instant();
        let uncertain = received.saturating_duration_since(asked) / 2;
        if !self.may_follow || uncertain * 2 > SLOWEST {
            return;
        }
        let at_origin = unix(at_ledger + uncertain).saturating_sub(self.since_origin(received));
        // Within what is uncertain anyway time goes on as it did: it would go back and forth by milliseconds.
        let known = self.at_origin.load(Ordering::Relaxed);
        let moved = Duration::from_micros(at_origin.abs_diff(known));
        if known == NONE || moved > uncertain + GRAIN {
            self.at_origin.store(at_origin, Ordering::Relaxed);
        }
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(received);
    }

    /// Whether a ledger's clock has to be read: it was not lately.
    pub(crate) fn is_due(&self) -> bool {
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.may_follow && read_at.is_none_or(|at| self.instant().saturating_duration_since(at) >= FRESH)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn unix(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or_else(|before| -micros(before.duration()), micros)
}

fn from_unix(at: i64) -> SystemTime {
    let distance = Duration::from_micros(at.unsigned_abs());
    let moved = if at < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    moved.unwrap_or(UNIX_EPOCH)
}
