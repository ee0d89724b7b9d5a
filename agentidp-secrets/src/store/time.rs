//! The time by which overlaps end: the store's clock, or the ledger's as far as a lifecycle has read it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// A reading that took longer says too little.
const SLOWEST: Duration = Duration::from_secs(1);

/// For so long a reading is carried on by the store's clock.
const FRESH: Duration = Duration::from_secs(15);

/// What a ledger keeps of a time.
const GRAIN: Duration = Duration::from_millis(1);

/// A clock that follows a ledger's.
#[derive(Debug)]
pub(crate) struct StoreTime {
    clock: Arc<dyn Clock>,
    /// Whether the clock is the machine's because the builder was given none.
    may_follow: bool,
    /// By how many microseconds the ledger's clock is ahead.
    ahead: AtomicI64,
    /// When that was read last.
    read_at: Mutex<Option<Instant>>,
}

impl StoreTime {
    /// Time by this clock and no other.
    pub(super) fn of(clock: Arc<dyn Clock>) -> Self {
        Self { clock, may_follow: false, ahead: AtomicI64::new(0), read_at: Mutex::default() }
    }

    /// Time by this clock, until a ledger's is known.
    pub(super) fn until_known(clock: Arc<dyn Clock>) -> Self {
        Self { may_follow: true, ..Self::of(clock) }
    }

    /// The time by which overlaps end.
    pub(crate) fn now(&self) -> SystemTime {
        let (now, ahead) = (self.clock.now(), self.ahead.load(Ordering::Relaxed));
        let distance = Duration::from_micros(ahead.unsigned_abs());
        let moved = if ahead < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        moved.unwrap_or(now)
    }

    /// A reading of the clock that never goes back.
    pub(crate) fn instant(&self) -> Instant {
        self.clock.instant()
    }

    /// From now on the time is that of a ledger, which was asked at `asked` and has just said `at_ledger`.
    pub(crate) fn follow(&self, at_ledger: SystemTime, asked: Instant) {
        let received = self.instant();
        let uncertain = received.saturating_duration_since(asked) / 2;
        if !self.may_follow || uncertain * 2 > SLOWEST {
            return;
        }
        let ahead = micros_ahead(at_ledger + uncertain, self.clock.now());
        // Within what is uncertain anyway time goes on as it did: it would go back and forth by milliseconds.
        let moved = Duration::from_micros(ahead.abs_diff(self.ahead.load(Ordering::Relaxed)));
        if moved > uncertain + GRAIN {
            self.ahead.store(ahead, Ordering::Relaxed);
        }
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(received);
    }

    /// Whether a ledger's clock has to be read: it was not lately.
    pub(crate) fn is_due(&self) -> bool {
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.may_follow && read_at.is_none_or(|at| self.instant().saturating_duration_since(at) >= FRESH)
    }
}

fn micros_ahead(one: SystemTime, other: SystemTime) -> i64 {
    let micros = |distance: Duration| i64::try_from(distance.as_micros()).unwrap_or(i64::MAX);
    match one.duration_since(other) {
        Ok(ahead) => micros(ahead),
        Err(behind) => -micros(behind.duration()),
    }
}
