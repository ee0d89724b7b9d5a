//! The time by which all servers on one database judge.
//!
//! Expiry, claims, due times and the times of events are compared between servers. If each server used the clock of its
//! machine, two machines whose clocks differ by more than a claim's life could both hold it. So the database's clock counts
//! for all of them. It is read at start and every few seconds; between two readings a monotonic clock carries it on. A jump of
//! the machine's clock changes nothing, and a jump of the database's clock counts from the next reading on.
//!
//! An embedded database has no clock of its own. There the machine's clock counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use agentidp_secrets::Clock;
use tracing::{debug, info, warn};

use crate::repo::{DatabaseRepo, Result};

/// How far the machine's clock and the database's may differ before both are suspected.
pub const TOLERATED: Duration = Duration::from_secs(60);

/// Longest time that a reading may take. The clock cannot be known better than to half of it.
pub const SLOWEST: Duration = Duration::from_secs(1);

/// No reading yet.
const NONE: i64 = i64::MIN;

/// The database's clock, carried on between two readings.
#[derive(Debug)]
pub struct LedgerClock {
    machine: Arc<dyn Clock>,
    origin: Instant,
    /// The database's time at `origin`, in microseconds since 1970, as of the last reading; or [`NONE`].
    at_origin: AtomicI64,
    apart: AtomicBool,
}

impl LedgerClock {
    /// A clock that goes as `machine` until the first [`read`](Self::read).
    #[must_use]
    pub fn new(machine: Arc<dyn Clock>) -> Self {
        let origin = machine.instant();
        Self { machine, origin, at_origin: AtomicI64::new(NONE), apart: AtomicBool::new(false) }
    }

    /// Reads the database's clock, and returns by how much the machine's clock differs from it. `None` where the database
    /// has no clock of its own. A reading that took too long changes nothing, unless it is the first.
    ///
    /// Logs a warning when the two clocks begin to differ by more than [`TOLERATED`], and again when they agree.
    ///
    /// # Errors
    /// Those of the database. The last reading stays.
    pub async fn read(&self, database: &dyn DatabaseRepo) -> Result<Option<Difference>> {
        let sent = self.machine.instant();
        let Some(at_database) = database.now().await? else { return Ok(None) };
        let received = self.machine.instant();
        let uncertain = received.saturating_duration_since(sent) / 2;
        let difference = Difference::between(self.machine.now(), at_database + uncertain);
        let known = self.at_origin.load(Ordering::Acquire) != NONE;
        if known && uncertain * 2 > SLOWEST {
            debug!("the database took too long to tell the time: the last reading stays");
            return Ok(Some(difference));
        }
        // Within what is uncertain anyway time goes on as it did: it would go back and forth by milliseconds.
        let moved = Difference::between(self.now(), at_database + uncertain);
        if !known || moved.amount > uncertain {
            let since_origin = micros(received.saturating_duration_since(self.origin));
            self.at_origin.store(unix_micros(at_database + uncertain) - since_origin, Ordering::Release);
        }
        self.compare(difference);
        Ok(Some(difference))
    }

    /// Whether the machine's clock and the database's differed by more than [`TOLERATED`] at the last reading. One of them
    /// is wrong then, and nothing should be deleted by its age.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.apart.load(Ordering::Acquire)
    }

    fn compare(&self, difference: Difference) {
        let apart = difference.is_too_much();
        if self.apart.swap(apart, Ordering::AcqRel) == apart {
            return;
        }
        if apart {
            warn!(
                difference_s = difference.amount.as_secs(),
                "{difference}; the database's counts, and nothing is deleted by its age until they agree: set both clocks"
            );
        } else {
            info!("the clocks of this machine and of the database agree again");
        }
    }
}

impl Clock for LedgerClock {
    fn now(&self) -> SystemTime {
        match self.at_origin.load(Ordering::Acquire) {
            NONE => self.machine.now(),
            at_origin => {
                let elapsed = self.machine.instant().saturating_duration_since(self.origin);
                from_unix_micros(at_origin.saturating_add(micros(elapsed)))
            }
        }
    }

    fn instant(&self) -> Instant {
        self.machine.instant()
    }
}

/// By how much the machine's clock differs from the database's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// How much.
    pub amount: Duration,
    /// Whether the machine's clock is ahead.
    pub ahead: bool,
}

impl Difference {
    fn between(machine: SystemTime, database: SystemTime) -> Self {
        match machine.duration_since(database) {
            Ok(amount) => Self { amount, ahead: true },
            Err(behind) => Self { amount: behind.duration(), ahead: false },
        }
    }

    /// Whether it is more than [`TOLERATED`].
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.amount > TOLERATED
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let way = if self.ahead { "ahead of" } else { "behind" };
        write!(f, "this machine's clock is {} s {way} the database's", self.amount.as_secs())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn unix_micros(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    }
}

fn from_unix_micros(micros: i64) -> SystemTime {
    let since = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 { UNIX_EPOCH - since } else { UNIX_EPOCH + since }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use agentidp_secrets::ManualClock;

    use super::*;
    use crate::repo::{MockDatabaseRepo, RepoError};

    const START: SystemTime = UNIX_EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    /// A machine whose time of day can be set; the other clock only goes on.
    #[derive(Debug)]
    struct Machine {
        clock: ManualClock,
        set_forward_by: Mutex<Duration>,
    }

    impl Clock for Machine {
        fn now(&self) -> SystemTime {
            self.clock.now() + *self.set_forward_by.lock().unwrap()
        }

        fn instant(&self) -> Instant {
            self.clock.instant()
        }
    }

    fn bench() -> (Arc<Machine>, LedgerClock) {
        let machine = Machine { clock: ManualClock::at(START), set_forward_by: Mutex::default() };
        let machine = Arc::new(machine);
        (Arc::clone(&machine), LedgerClock::new(machine))
    }

    /// A database whose clock says `at`, and which takes `round_trip` to say so.
    fn database(machine: &Arc<Machine>, at: SystemTime, round_trip: Duration) -> MockDatabaseRepo {
        let (mut database, machine) = (MockDatabaseRepo::new(), Arc::clone(machine));
        database.expect_now().returning(move || {
            machine.clock.advance(round_trip);
            Ok(Some(at))
        });
        database
    }

    async fn read(clock: &LedgerClock, machine: &Arc<Machine>, at: SystemTime) -> Difference {
        clock.read(&database(machine, at, Duration::ZERO)).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_database_without_a_clock_leaves_the_machine_s_as_it_is() {
        let (machine, clock) = bench();
        let mut embedded = MockDatabaseRepo::new();
        embedded.expect_now().returning(|| Ok(None));
        assert_eq!(clock.read(&embedded).await.unwrap(), None);
        *machine.set_forward_by.lock().unwrap() = HOUR;
        assert_eq!((clock.now(), clock.is_apart()), (START + HOUR, false));
    }

    #[tokio::test]
    async fn the_database_s_clock_counts_and_goes_on_whatever_the_machine_s_does() {
        let (machine, clock) = bench();
        let difference = read(&clock, &machine, START + 2 * HOUR).await;
        assert_eq!(difference, Difference { amount: 2 * HOUR, ahead: false });
        assert_eq!(clock.now(), START + 2 * HOUR);
        machine.clock.advance(Duration::from_secs(7));
        *machine.set_forward_by.lock().unwrap() = 91 * 24 * HOUR;
        assert_eq!(clock.now(), START + 2 * HOUR + Duration::from_secs(7));
        assert_eq!(clock.instant(), machine.instant());
    }

    #[tokio::test]
    async fn a_jump_of_the_database_s_clock_counts_from_the_next_reading_on() {
        let (machine, clock) = bench();
        for hours in [100, 5, 5_000] {
            read(&clock, &machine, START + hours * HOUR).await;
            assert_eq!(clock.now(), START + hours * HOUR);
        }
    }

    #[tokio::test]
    async fn the_reading_is_of_the_middle_of_the_round_trip() {
        let (machine, clock) = bench();
        let second = Duration::from_secs(1);
        clock.read(&database(&machine, START + HOUR, second)).await.unwrap();
        assert_eq!(clock.now(), START + HOUR + second / 2);
        // Within half of the round trip the time may be right as it is: then it does not jump.
        clock.read(&database(&machine, START + HOUR + second, second)).await.unwrap();
        assert_eq!(clock.now(), START + HOUR + second * 3 / 2);
        clock.read(&database(&machine, START + HOUR + 3 * second, second)).await.unwrap();
        assert_eq!(clock.now(), START + HOUR + second * 7 / 2);
    }

    #[tokio::test]
    async fn a_reading_that_fails_or_is_slow_keeps_the_last_one_unless_it_is_the_first() {
        let (machine, clock) = bench();
        let slow = Duration::from_secs(4);
        clock.read(&database(&machine, START + HOUR, slow)).await.unwrap();
        assert_eq!(clock.now(), START + HOUR + slow / 2, "better than none");
        clock.read(&database(&machine, START + 9 * HOUR, slow)).await.unwrap();
        assert_eq!(clock.now(), START + HOUR + slow * 3 / 2);
        let mut gone = MockDatabaseRepo::new();
        gone.expect_now().returning(|| Err(RepoError::Unavailable { during: "database.now", source: "gone".into() }));
        clock.read(&gone).await.unwrap_err();
        assert_eq!(clock.now(), START + HOUR + slow * 3 / 2);
    }

    #[tokio::test]
    async fn clocks_that_differ_by_more_than_a_minute_are_apart_until_they_agree() {
        let (machine, clock) = bench();
        let beyond = TOLERATED + Duration::from_millis(1);
        for (at, apart) in [
            (START, false),
            (START + TOLERATED, false),
            (START + beyond, true),
            (START - TOLERATED, false),
            (START - beyond, true),
            (START, false),
        ] {
            assert_eq!(read(&clock, &machine, at).await.is_too_much(), apart, "{at:?}");
            assert_eq!(clock.is_apart(), apart, "{at:?}");
        }
        let told = read(&clock, &machine, START - 2 * HOUR).await.to_string();
        assert_eq!(told, "this machine's clock is 7200 s ahead of the database's");
    }
}
