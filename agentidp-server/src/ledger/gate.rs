//! The answer that everything asks for before it deletes in Vault.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use agentidp_secrets::Clock;

use super::judge::Disagreement;

/// How long the gate stays open after a look. A process that hangs has made its last advance a minute and a look
/// before its last look at most, so its gate is closed before a copy has watched for [`WATCH_TIME`](super::WATCH_TIME).
pub const GATE_LEASE: Duration = Duration::from_secs(40);

/// Whether this process may delete in Vault right now. Clones share it.
///
/// It closes by itself when the process stops looking at the folder's ledger entry.
#[derive(Clone, Debug)]
pub struct DeletionGate(Option<Arc<Watched>>);

#[derive(Debug)]
struct Watched {
    clock: Arc<dyn Clock>,
    held: RwLock<Held>,
}

#[derive(Debug)]
struct Held {
    state: LedgerState,
    /// When the look began that the state is from.
    since: (Instant, SystemTime),
}

/// How this database and the folder's ledger entry stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each state")]
pub enum LedgerState {
    /// They agree: deletions are carried out.
    Agrees,
    /// They agree so far, and the process has not watched for long enough: deletions wait.
    Watching,
    /// They could not be compared, or not for a while: deletions wait.
    Unknown,
    /// They disagree: deletions are stopped until an operator decides.
    Disagrees(Disagreement),
}

impl LedgerState {
    /// The names of all states, as `/health` and the metrics have them.
    pub const NAMES: [&'static str; 4] = ["agrees", "watching", "unknown", "disagrees"];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let [agrees, watching, unknown, disagrees] = Self::NAMES;
        match self {
            Self::Agrees => agrees,
            Self::Watching => watching,
            Self::Unknown => unknown,
            Self::Disagrees(_) => disagrees,
        }
    }
}

impl DeletionGate {
    /// A gate that is always open: without Vault, and in tests that are about something else.
    #[must_use]
    pub fn always_open() -> Self {
        Self(None)
    }

    /// A gate that is closed until [`Ledger::look`](super::Ledger::look) opens it.
    #[must_use]
    pub fn closed(clock: Arc<dyn Clock>) -> Self {
        let since = (clock.instant(), clock.now());
        Self(Some(Arc::new(Watched { clock, held: RwLock::new(Held { state: LedgerState::Unknown, since }) })))
    }

    /// Whether a deletion may begin.
    #[must_use]
    pub fn may_delete(&self) -> bool {
        self.state() == LedgerState::Agrees
    }

    /// How things stand; [`LedgerState::Unknown`] once the last look is too long ago.
    #[must_use]
    pub fn state(&self) -> LedgerState {
        let Some(watched) = &self.0 else { return LedgerState::Agrees };
        let held = watched.held.read().unwrap_or_else(PoisonError::into_inner);
        let (instant, time) = held.since;
        // The time of day as well: the other clock stands still while the machine sleeps.
        let measured = watched.clock.instant().saturating_duration_since(instant);
        let told = watched.clock.now().duration_since(time).unwrap_or_default();
        match held.state {
            LedgerState::Agrees if measured.max(told) >= GATE_LEASE => LedgerState::Unknown,
            state => state,
        }
    }

    /// Takes over what a look that began then has found.
    pub(super) fn set(&self, state: LedgerState, since: (Instant, SystemTime)) {
        if let Some(watched) = &self.0 {
            *watched.held.write().unwrap_or_else(PoisonError::into_inner) = Held { state, since };
        }
    }
}
