//! Everything outside of the replicas: time, the mounts, the database, and what has been seen so far.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::backup::Backup;
use super::chance::Chance;
use super::clock::WorldClock;
use super::executor::{Owner, TaskId};
use super::fault::Fault;
use super::kv::{Change, Kv};
use super::rates::Rates;
use super::report::{Counts, Violation};
use super::seen::{MOUNTS, Operation, Oracle, Setting};
use super::small::Small;
use crate::clock::Clock;
use crate::credential::CredentialKey;
use crate::lifecycle::MemoryLedger;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) rates: Rates,
    pub(super) fault: Option<Fault>,
    pub(super) clock: Arc<WorldClock>,
    pub(super) ledger: MemoryLedger,
    pub(super) mounts: [Kv; MOUNTS],
    /// What each digest is of, by its number.
    pub(super) digests: Vec<ClientSecret>,
    /// Processes that have died.
    pub(super) dead: BTreeSet<Owner>,
    /// How many processes were started.
    pub(super) processes: u64,
    pub(super) setting: Setting,
    pub(super) operations: Vec<Operation>,
    pub(super) oracle: Oracle,
    pub(super) counts: Counts,
    /// In the small world: which ways are taken.
    pub(super) small: Option<Small>,
    pub(super) backups: Vec<Backup>,
    /// Where a clone of the database has written a version, which lies there for good.
    pub(super) written_by_a_clone: BTreeSet<CredentialKey>,
    /// The database and the mounts are of one moment, or the operator has admitted the database.
    pub(super) is_itself: bool,
    /// The operator has it settled just now which of two secrets counts.
    pub(super) is_being_settled: bool,
    /// Requests and commits that are still on their way.
    pub(super) under_way: usize,
    history: Option<Vec<String>>,
    violation: Option<Violation>,
}

/// The world, shared by everything in it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(super) fn new(mut chance: Chance, fault: Option<Fault>, with_history: bool) -> Self {
        let clock = Arc::new(WorldClock::new());
        let rates = Rates::draw(&mut chance);
        let mount = |chance: &mut Chance| Kv::new(chance.one_of(&[2, 2, 3, 4, 10]));
        let mounts = [mount(&mut chance), mount(&mut chance)];
        Self {
            chance,
            rates,
            fault,
            ledger: MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>),
            clock,
            mounts,
            digests: Vec::new(),
            dead: BTreeSet::new(),
            processes: 0,
            setting: Setting::default(),
            operations: Vec::new(),
            oracle: Oracle::default(),
            counts: Counts::default(),
            small: None,
            backups: Vec::new(),
            written_by_a_clone: BTreeSet::new(),
            is_itself: true,
            is_being_settled: false,
            under_way: 0,
            history: with_history.then(Vec::new),
            violation: None,
        }
    }

    /// Writes a line into the history, where there is one.
    pub(super) fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.history.is_some() && self.violation.is_none() {
            let (at, line) = (self.clock.elapsed(), line(self));
            if let Some(history) = &mut self.history {
                history.push(format!("{:>10.3} {line}", at.as_secs_f64()));
            }
        }
    }

    /// The rule does not hold. The first violation ends the schedule.
    pub(super) fn violate(&mut self, rule: &'static str, what: impl FnOnce(&Self) -> String) {
        if self.violation.is_none() {
            let what = what(self);
            self.tell(|_| format!("VIOLATION of: {rule}: {what}"));
            self.violation = Some(Violation { rule, what, history: Vec::new() });
        }
    }

    /// Which of the tasks goes on that can.
    pub(super) fn choose(&mut self, ready: &[TaskId]) -> usize {
        let Some(mut small) = self.small.take() else { return self.chance.below(ready.len()) };
        let chosen = small.choose(ready, |small| self.portrait(small, false));
        self.small = Some(small);
        chosen
    }

    /// Whether nothing that comes now is of interest.
    pub(super) fn is_at_an_end(&self) -> bool {
        self.is_violated() || self.small.as_ref().is_some_and(|small| small.is_known)
    }

    pub(super) fn set_versions_kept(&mut self, versions: u64) {
        self.mounts = [Kv::new(versions), Kv::new(versions)];
    }

    pub(super) fn is_violated(&self) -> bool {
        self.violation.is_some()
    }

    pub(super) fn take_violation(&mut self) -> Option<Violation> {
        let history = self.history.take().unwrap_or_default();
        self.violation.take().map(|violation| Violation { history, ..violation })
    }

    pub(super) fn is_alive(&self, owner: Owner) -> bool {
        !self.dead.contains(&owner)
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Whether the credential is not active, and nothing is owed of it any more.
    pub(super) fn is_forgotten(&self, key: &CredentialKey) -> bool {
        let entry = self.ledger.entry(key);
        entry.state.active().is_none() && entry.note.is_none_or(|note| note.debts.is_empty())
    }

    /// Carries a change of a mount out, and looks at what became of everything.
    pub(super) fn carry_out(&mut self, mount: usize, key: &CredentialKey, change: &Change) -> Option<u64> {
        if let Change::Delete = change {
            self.refuse_to_forget_what_counts(key);
        }
        self.refuse_to_forget(key, change);
        let outcome = self.mounts.get_mut(mount).and_then(|mount| mount.apply(key, change));
        if let (Change::Write { secret: Some(secret), .. }, Some(_)) = (change, outcome) {
            let state = self.ledger.entry(key).state;
            let current =
                state.active().and_then(|row| row.secrets.as_ref()).and_then(|secrets| mount_of(&secrets.current));
            if current != Some(mount) {
                self.oracle.moves_in(secret, mount);
            }
        }
        self.tell(|world| match (change, outcome) {
            (Change::Delete, _) => format!("mount {mount}: {key} is deleted"),
            (Change::Write { secret, .. }, Some(version)) => {
                format!("mount {mount}: {key} version {version} is {}", world.alias(secret.as_ref()))
            }
            (Change::Write { cas, .. }, None) => format!("mount {mount}: {key} is not at version {cas} any more"),
        });
        self.check();
        outcome
    }

    /// What a record stands for just now, as the active nodes have it.
    pub(super) fn resolve(&self, record: &StoredSecret) -> Option<&ClientSecret> {
        let Some(mount) = mount_of(record) else {
            return self.digests.get(record.payload().parse::<usize>().ok()?);
        };
        let (path, version) = split(record.payload());
        let (client, credential) = path.split_once('/')?;
        let key = CredentialKey::parse(client, credential).ok()?;
        let mount = self.mounts.get(mount)?;
        mount.read(&key, version.unwrap_or_else(|| mount.latest(&key)))?.as_ref()
    }

    pub(super) fn alias(&self, secret: Option<&ClientSecret>) -> String {
        secret.map_or_else(|| "blank".to_owned(), |secret| self.oracle.alias(secret))
    }

    /// A row and its note, for the history.
    pub(super) fn describe(&self, key: &CredentialKey) -> String {
        let entry = self.ledger.entry(key);
        let mut text = match entry.state.active().and_then(|row| row.secrets.as_ref()) {
            Some(secrets) => {
                let record =
                    |stored: &StoredSecret| format!("{}={}", stored.to_text(), self.alias(self.resolve(stored)));
                let previous = secrets.previous.as_ref().map(|previous| record(&previous.stored));
                format!("{} before it {}", record(&secrets.current), previous.unwrap_or_default())
            }
            None => format!("{:?}", entry.state),
        };
        if let Some(note) = entry.note {
            if let Some(open) = &note.open {
                let (kind, base, digests) = (open.kind, open.base, open.digests.len());
                let _ = write!(
                    text,
                    "; open {kind:?} over {base} with {digests} digests until {:?}",
                    self.left(open.lease_until)
                );
            }
            for debt in &note.debts {
                let (kind, deletions) = (debt.kind, debt.deletions);
                let _ = write!(
                    text,
                    "; owes {kind:?} of {} due in {:?} ({deletions})",
                    debt.place.to_text(),
                    self.left(debt.due)
                );
            }
        }
        text
    }

    fn left(&self, until: SystemTime) -> Duration {
        until.duration_since(self.now()).unwrap_or_default()
    }
}

/// Which mount a record is at; none for a digest.
pub(super) fn mount_of(record: &StoredSecret) -> Option<usize> {
    record.backend().as_str().strip_prefix("mount-")?.parse().ok()
}

/// Path and version of a record at a mount.
pub(super) fn split(payload: &str) -> (&str, Option<u64>) {
    match payload.split_once("?version=") {
        Some((path, version)) => (path, version.parse().ok()),
        None => (payload, None),
    }
}
