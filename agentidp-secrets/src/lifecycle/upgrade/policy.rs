//! Which records a login puts into today's form, and how fast.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::credential::ClientId;

/// Upgrades under way at a time. After a change of settings every login wants one.
const MOST: usize = 16;

/// After a failure of the backend or the database.
const PAUSE: Duration = Duration::from_secs(30);

/// The time in which as many upgrades may begin as the rate says.
const SECOND: Duration = Duration::from_secs(1);

/// Which records a login puts into today's form, and how fast.
///
/// Today's form is a record of the store's primary backend, of its present parameters. A login whose record must wait is answered
/// as any other; a later login upgrades it. At most 16 upgrades are under way at a time.
///
/// None begins while the [gate](crate::lifecycle::Gate) says that the backend's places may be another database's, nor within the
/// [pause](Self::pause) after the backend or the database has failed one.
///
/// | bound | default | unit |
/// |---|---|---|
/// | [`rate`](Self::rate) | none | upgrades a second, at least 1 |
/// | [`pause`](Self::pause) | 30 s | time |
/// | [`except`](Self::except) | nobody | clients |
///
/// ```
/// use std::time::Duration;
///
/// use agentidp_secrets::backends::Memory;
/// use agentidp_secrets::lifecycle::{Lifecycle, MemoryLedger, UpgradePolicy};
/// use agentidp_secrets::SecretStore;
///
/// let store = SecretStore::builder(Memory::new()).build()?;
/// let policy = UpgradePolicy::new()
///     .rate(20)
///     .pause(Duration::from_secs(60))
///     .except(|client| client.as_str() == "agent-7");
/// let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task))).with_upgrades(policy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UpgradePolicy {
    is_on: bool,
    rate: Option<u32>,
    pause: Duration,
    except: Option<Except>,
}

type Except = Box<dyn Fn(&ClientId) -> bool + Send + Sync>;

impl UpgradePolicy {
    /// Every record, as fast as logins come.
    #[must_use]
    pub fn new() -> Self {
        Self { is_on: true, rate: None, pause: PAUSE, except: None }
    }

    /// No record. A rotation still moves a credential.
    #[must_use]
    pub fn none() -> Self {
        Self { is_on: false, ..Self::new() }
    }

    /// Begins at most so many upgrades a second, and at least 1; as many may begin at once.
    #[must_use]
    pub fn rate(self, per_second: u32) -> Self {
        Self { rate: Some(per_second.max(1)), ..self }
    }

    /// Begins none for so long after the backend or the database has failed one; zero: goes on at once.
    #[must_use]
    pub fn pause(self, after_failure: Duration) -> Self {
        Self { pause: after_failure, ..self }
    }

    /// Leaves the records of these clients as they are. Called at each login that could upgrade, so it has to be quick.
    #[must_use]
    pub fn except(self, client: impl Fn(&ClientId) -> bool + Send + Sync + 'static) -> Self {
        Self { except: Some(Box::new(client)), ..self }
    }

    /// Whether the client's records stay as they are.
    pub(crate) fn excepts(&self, client: &ClientId) -> bool {
        self.except.as_ref().is_some_and(|is_excepted| is_excepted(client))
    }

    /// Whether a login may put the client's records into another form.
    pub(super) fn includes(&self, client: &ClientId) -> bool {
        self.is_on && !self.excepts(client)
    }
}

impl Default for UpgradePolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// All of them, or none.
impl From<bool> for UpgradePolicy {
    fn from(is_on: bool) -> Self {
        Self { is_on, ..Self::new() }
    }
}

impl fmt::Debug for UpgradePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_on, rate, pause, except } = self;
        let mut shown = f.debug_struct("UpgradePolicy");
        shown.field("is_on", is_on).field("rate", rate).field("pause", pause);
        shown.field("has_exceptions", &except.is_some()).finish()
    }
}

/// The upgrades of one lifecycle.
pub(crate) struct Upgrades {
    pub(crate) policy: UpgradePolicy,
    pub(super) room: Arc<Semaphore>,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Pace {
    /// When the next one is due, if they begin evenly; those that are ahead of it use up the second's.
    next: Option<Instant>,
    /// Until when none begins.
    paused_until: Option<Instant>,
}

impl Upgrades {
    pub(crate) fn new(policy: UpgradePolicy) -> Self {
        Self { policy, room: Arc::new(Semaphore::new(MOST)), pace: Mutex::default() }
    }

    /// Whether one more may begin now; it then counts as begun.
    pub(super) fn begin(&self, now: Instant) -> bool {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.paused_until.is_some_and(|until| until > now) {
            return false;
        }
        let Some(rate) = self.policy.rate else { return true };
        let (step, next) = (SECOND / rate, pace.next.unwrap_or(now).max(now));
        if next - now > SECOND - step {
            return false;
        }
        pace.next = Some(next + step);
        true
    }

    /// One has failed by no fault of its credential.
    pub(super) fn pause(&self, now: Instant) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.paused_until = now.checked_add(self.policy.pause).max(pace.paused_until);
    }
}
