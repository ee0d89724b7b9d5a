//! The answer that everything asks for before it deletes in Vault.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use super::judge::Disagreement;
use crate::clock::Clock;
use crate::lifecycle::Gate;
use crate::record::BackendId;

/// How long the gate stays open after a look. A process that hangs has made its last advance a minute and a look
/// before its last look at most, so its gate is closed before a copy has watched for [`WATCH_TIME`](super::WATCH_TIME).
pub const GATE_LEASE: Duration = Duration::from_secs(40);

/// Whether this process may delete in a folder right now. Clones share it.
///
/// It closes by itself when the process stops looking at the folder's ledger entry. As a [`Gate`] it answers for the backend of its
/// [`Folder`](super::Folder), by that backend's id, and lets all others through: where a store has several Vaults, give the lifecycle a
/// `Vec` with a gate for each, or [let one answer for all](Self::for_all_backends).
#[derive(Clone, Debug)]
pub struct FolderGate {
    /// None: it answers for all.
    backend: Option<BackendId>,
    /// None: it is always open.
    watched: Option<Arc<Watched>>,
}

#[derive(Debug)]
struct Watched {
    clock: Arc<dyn Clock>,
    held: RwLock<Held>,
}

#[derive(Debug)]
struct Held {
    state: FolderState,
    /// The last look that could compare the two found that they disagree.
    disagree: bool,
    /// When the look began that the state is from.
    since: (Instant, SystemTime),
}

/// How this database and the folder's ledger entry stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each state")]
pub enum FolderState {
    /// They agree: deletions are carried out.
    Agrees,
    /// They agree so far, and the process has not watched for long enough: deletions wait.
    Watching,
    /// They could not be compared, or not for a while: deletions wait.
    Unknown,
    /// They disagree: deletions are stopped until an operator decides, and rotations where they would push a version out.
    Disagrees(Disagreement),
}

impl FolderState {
    /// The names of all states.
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

    /// Whether this database may delete in the folder.
    #[must_use]
    pub fn may_delete(self) -> bool {
        self == Self::Agrees
    }

    /// Whether this database may take over what it has noted of a write. A restored one may hold a note of a secret that was
    /// shown since.
    #[must_use]
    pub fn may_adopt(self) -> bool {
        matches!(self, Self::Agrees | Self::Watching)
    }
}

impl FolderGate {
    /// A gate that is always open: where this database is the only one that ever writes to its folders, and in tests.
    #[must_use]
    pub fn always_open() -> Self {
        Self { backend: None, watched: None }
    }

    /// A gate for all backends, which is closed.
    #[must_use]
    pub fn closed(clock: Arc<dyn Clock>) -> Self {
        Self::closed_for(None, clock)
    }

    /// A gate that is closed until [`Folder::look`](super::Folder::look) opens it.
    pub(super) fn closed_for(backend: Option<BackendId>, clock: Arc<dyn Clock>) -> Self {
        let since = (clock.instant(), clock.now());
        let held = RwLock::new(Held { state: FolderState::Unknown, disagree: false, since });
        Self { backend, watched: Some(Arc::new(Watched { clock, held })) }
    }

    /// The same gate, which answers for all backends: where what is true of one folder is true of the others, as while a deployment
    /// moves from one mount to the next.
    #[must_use]
    pub fn for_all_backends(&self) -> Self {
        Self { backend: None, ..self.clone() }
    }

    /// How things stand; [`FolderState::Unknown`] where they agreed and the last look is too long ago.
    #[must_use]
    pub fn state(&self) -> FolderState {
        let Some(watched) = &self.watched else { return FolderState::Agrees };
        let held = watched.held.read().unwrap_or_else(PoisonError::into_inner);
        let (instant, time) = held.since;
        // The time of day as well: the other clock stands still while the machine sleeps.
        let measured = watched.clock.instant().saturating_duration_since(instant);
        let told = watched.clock.now().duration_since(time).unwrap_or_default();
        match held.state {
            FolderState::Agrees if measured.max(told) >= GATE_LEASE => FolderState::Unknown,
            state => state,
        }
    }

    /// Takes over what a look that began then has found.
    pub(super) fn set(&self, state: FolderState, since: (Instant, SystemTime)) {
        if let Some(watched) = &self.watched {
            let mut held = watched.held.write().unwrap_or_else(PoisonError::into_inner);
            let disagree = match state {
                FolderState::Disagrees(_) => true,
                FolderState::Unknown => held.disagree,
                FolderState::Agrees | FolderState::Watching => false,
            };
            *held = Held { state, disagree, since };
        }
    }

    fn is_about(&self, at: &BackendId) -> bool {
        self.backend.as_ref().is_none_or(|backend| backend == at)
    }
}

impl Gate for FolderGate {
    fn may_delete(&self, at: &BackendId) -> bool {
        !self.is_about(at) || self.state().may_delete()
    }

    fn may_adopt(&self, at: &BackendId) -> bool {
        !self.is_about(at) || self.state().may_adopt()
    }

    /// Not from the look on that finds a disagreement until one that finds none: a look that fails in between changes nothing.
    fn may_push_out(&self, at: &BackendId) -> bool {
        let disagree = |watched: &Arc<Watched>| watched.held.read().unwrap_or_else(PoisonError::into_inner).disagree;
        !self.is_about(at) || !self.watched.as_ref().is_some_and(disagree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_look_that_fails_ends_no_disagreement() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let gate = FolderGate::closed(Arc::clone(&clock));
        let look = |state| {
            gate.set(state, (clock.instant(), clock.now()));
            (gate.may_delete(&BackendId::VAULT_KV2), gate.may_push_out(&BackendId::VAULT_KV2))
        };
        assert!(gate.may_push_out(&BackendId::VAULT_KV2), "nothing is known yet");
        assert_eq!(look(FolderState::Disagrees(Disagreement::EntryNewer)), (false, false));
        assert_eq!(look(FolderState::Unknown), (false, false));
        assert_eq!(look(FolderState::Watching), (false, true));
        assert_eq!(look(FolderState::Unknown), (false, true));
        assert_eq!(look(FolderState::Agrees), (true, true));
    }
    #[test]
    fn it_answers_for_its_backend_or_for_all() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let gate = FolderGate::closed_for(Some(BackendId::VAULT_KV2), Arc::clone(&clock));
        let for_all = gate.for_all_backends();
        let answers =
            |at| [&gate, &for_all].map(|gate| [gate.may_delete(at), gate.may_adopt(at), gate.may_push_out(at)]);
        gate.set(FolderState::Disagrees(Disagreement::EntryNewer), (clock.instant(), clock.now()));
        assert_eq!(answers(&BackendId::VAULT_KV2), [[false; 3]; 2]);
        assert_eq!(answers(&BackendId::MEMORY), [[true; 3], [false; 3]]);
    }
}
