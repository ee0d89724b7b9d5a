//! For how long rows may be served, and by which clock.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agentidp_secrets::{Clock, SystemClock};

/// How long rows are served after the question was sent that the listening connection last answered. All that was committed
/// before that moment had been told by then.
pub const LEASE: Duration = Duration::from_millis(750);

/// What a writer waits beyond a lease, for a decision that was made at its end and for clocks that do not go alike.
pub const MARGIN: Duration = Duration::from_millis(250);

/// What a replica keeps of rows.
pub trait Memory: Send + Sync + 'static {
    /// A client has changed, or all have: the payload of the notification.
    fn told(&self, payload: &str);

    /// Anything may have changed.
    fn forget_all(&self);

    /// Rows may be served until [`LEASE`] after `sent`, a reading of [`now`](Self::now). The database has told its time since.
    fn extend(&self, sent: Duration, database_time: SystemTime);

    /// No rows may be served.
    fn end_lease(&self);

    /// The clock of the lease: a [`LeaseClock`].
    fn now(&self) -> Duration;
}

/// A reading that never goes back, and that counts the time in which the machine was suspended: others did not wait meanwhile.
#[derive(Clone)]
pub struct LeaseClock(Kind);

#[derive(Clone)]
enum Kind {
    /// What is counted from where the machine has no such clock.
    Machine(Instant),
    Other(Arc<dyn Clock>, Instant),
}

impl LeaseClock {
    /// The machine's: `CLOCK_BOOTTIME` on Linux. Elsewhere it may stand still while the machine is suspended.
    #[must_use]
    pub fn machine() -> Self {
        Self(Kind::Machine(SystemClock::default().instant()))
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn of(clock: Arc<dyn Clock>) -> Self {
        let origin = clock.instant();
        Self(Kind::Other(clock, origin))
    }

    /// The reading.
    #[must_use]
    pub fn now(&self) -> Duration {
        match &self.0 {
            Kind::Machine(origin) => since_boot(*origin),
            // Above zero: a lease that ends at zero is none.
            Kind::Other(clock, origin) => clock.instant().saturating_duration_since(*origin) + Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for LeaseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseClock").finish_non_exhaustive()
    }
}

#[cfg(target_os = "linux")]
fn since_boot(_origin: Instant) -> Duration {
    let read = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(read.tv_sec.unsigned_abs(), read.tv_nsec.unsigned_abs() as u32)
}

#[cfg(not(target_os = "linux"))]
fn since_boot(origin: Instant) -> Duration {
    SystemClock::default().instant().saturating_duration_since(origin) + Duration::from_secs(1)
}
