//! A small world, gone through whole: one credential, two replicas, one crash, one late operation.
//!
//! Nothing is left to chance. Where the seed decides elsewhere, a run takes the first way here, and the next run the one after
//! it, until none is left. A step is a call to the ledger or to a backend that others can notice. A state that was seen
//! before is not gone through again: see [`portrait`](super::portrait).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::executor::{Owner, TaskId};

/// Calls at which another process may go on, or this one die. Between two of them nobody else can tell the difference: the others
/// are reads and writes of a transaction that holds its lock.
const STEPS: [&str; 6] = ["rows", "lock", "commit", "request", "read", "the rest of a login"];

/// When a late operation is carried out: between any two steps, or when everybody else is done and leases are over.
const LATENESS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(2_000)];

/// The ways that a run has taken, and how many there were.
#[derive(Default)]
struct Path {
    ways: Vec<(usize, usize)>,
    at: usize,
}

/// What is left to be tried, and what was seen.
#[derive(Default)]
pub(super) struct Small {
    path: Path,
    pub(super) states: HashSet<u64>,
    /// Whether ways are chosen: before and after, everything takes its course.
    pub(super) is_open: bool,
    /// The state was seen before: this run has nothing to add.
    pub(super) is_known: bool,
    pub(super) crashes_left: u32,
    pub(super) late_left: u32,
    /// What each task has been answered so far. With it a task is where it is: those of a process share nothing that changes.
    pub(super) answered: BTreeMap<TaskId, u64>,
    /// Tasks that wait for their turn.
    pub(super) at_a_step: BTreeSet<TaskId>,
    /// Who waits for a lock, in turn.
    pub(super) waiting: Vec<Owner>,
    /// What secrets, revisions and digests are called: by the process that made them, and its count of them.
    names: BTreeMap<String, (Owner, usize)>,
}

/// What a call comes to.
pub(super) enum Way {
    Go,
    Switch,
    Crash,
}

impl Path {
    fn choose(&mut self, of: usize) -> usize {
        if of < 2 {
            return 0;
        }
        if self.at == self.ways.len() {
            self.ways.push((0, of));
        }
        self.at += 1;
        self.ways[self.at - 1].0
    }

    /// Whether this run is where no other has been.
    fn is_new(&self) -> bool {
        self.at == self.ways.len()
    }

    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((way, of)) = self.ways.pop() {
            if way + 1 < of {
                self.ways.push((way + 1, of));
                return true;
            }
        }
        false
    }
}

impl Small {
    /// Ready for the next run; not when every way was taken.
    pub(super) fn next(&mut self) -> bool {
        self.again();
        self.path.next()
    }

    /// Ready for the same run.
    pub(super) fn again(&mut self) {
        let (path, states) = (std::mem::take(&mut self.path), std::mem::take(&mut self.states));
        *self = Self { path: Path { at: 0, ..path }, states, crashes_left: 1, late_left: 1, ..Self::default() };
    }

    /// Which of the tasks goes on that can. `portrait` tells states apart.
    /// What goes on within a process is nobody else's business, so it goes on first, up to its next step.
    pub(super) fn choose(&mut self, ready: &[TaskId], portrait: impl FnOnce(&Self) -> u64) -> usize {
        let is_between_steps = |task: &TaskId| !self.at_a_step.contains(task);
        if !self.is_open || ready.iter().any(is_between_steps) {
            return ready.iter().position(is_between_steps).unwrap_or(0);
        }
        if self.path.is_new() {
            let portrait = portrait(self);
            self.is_known |= !self.states.insert(portrait);
        }
        self.path.choose(ready.len())
    }

    /// What becomes of a process at a call.
    pub(super) fn turn(&mut self, what: &'static str, may_die: bool) -> Way {
        if !self.is_open || !STEPS.contains(&what) {
            return Way::Go;
        }
        let ways = if may_die && self.crashes_left > 0 { 2 } else { 1 };
        if self.path.choose(ways) == 0 {
            return Way::Switch;
        }
        self.crashes_left -= 1;
        Way::Crash
    }

    /// Whether an operation is carried out late, and how late.
    pub(super) fn lateness(&mut self) -> Option<Duration> {
        if !self.is_open || self.late_left == 0 {
            return None;
        }
        let way = self.path.choose(LATENESS.len() + 1).checked_sub(1)?;
        self.late_left -= 1;
        LATENESS.get(way).copied()
    }

    /// A task gets an answer, at a time of the schedule.
    pub(super) fn answer(&mut self, task: TaskId, at: Duration, answer: &str) {
        let before = self.answered.entry(task).or_default();
        let mut hasher = DefaultHasher::new();
        (*before, at, answer).hash(&mut hasher);
        *before = hasher.finish();
    }

    /// A process makes something that has no other like it.
    pub(super) fn meet(&mut self, owner: Owner, text: &str) {
        if !self.names.contains_key(text) {
            let number = self.names.values().filter(|(by, _)| *by == owner).count();
            self.names.insert(text.to_owned(), (owner, number));
        }
    }

    pub(super) fn name(&self, text: &str) -> String {
        self.names.get(text).map_or_else(|| "?".to_owned(), |(owner, number)| format!("{}.{number}", owner.0))
    }
}
