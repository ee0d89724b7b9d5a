//! A small world, gone through whole: one credential, two replicas, one crash, one late operation.
//!
//! Nothing is left to chance. Where the seed decides elsewhere, a run takes the first way here, and the next run the one after
//! it, until none is left. A step is a call to the ledger or to a backend that others can notice. A state that was seen
//! before is not gone through again: see [`portrait`](super::portrait).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use super::executor::{Owner, TaskId};
use crate::secret::ClientSecret;

/// Calls at which another process may go on, or this one die. Between two of them nobody else can tell the difference: the others
/// are those of a transaction that holds its lock, from which nobody sees anything until it is committed. What another does
/// meanwhile, it could as well do before the lock is taken: it neither has the lock nor reads what is written under it.
const STEPS: [&str; 5] = ["rows", "lock", "request", "read", "the rest of a login"];

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
    /// What each task that is not over has been answered so far, beginning with what the one that began it had been. With it a task
    /// is where it is: those of a process share nothing that changes.
    answered: BTreeMap<TaskId, u64>,
    /// What a task knew before it took a lock, and before it claimed what is owed.
    before: BTreeMap<TaskId, u64>,
    before_claim: BTreeMap<TaskId, u64>,
    /// Who began a task.
    parents: BTreeMap<TaskId, TaskId>,
    /// The secret by which a task lets in or refuses, and the moment from which on that has to have been right.
    deciding: BTreeMap<TaskId, (usize, ClientSecret)>,
    /// Tasks that wait for their turn.
    at_a_step: BTreeSet<TaskId>,
    /// Who waits for a lock, in turn.
    waiting: Vec<TaskId>,
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
        self.way(ready.len())
    }

    /// Which of so many ways is taken. What comes after a known state has been gone through.
    fn way(&mut self, of: usize) -> usize {
        if self.is_known { 0 } else { self.path.choose(of) }
    }

    /// What becomes of a process at a call.
    pub(super) fn turn(&mut self, what: &'static str, may_die: bool) -> Way {
        if !self.is_open || !STEPS.contains(&what) {
            return Way::Go;
        }
        let ways = if may_die && self.crashes_left > 0 { 2 } else { 1 };
        if self.way(ways) == 0 {
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
        let way = self.way(LATENESS.len() + 1).checked_sub(1)?;
        self.late_left -= 1;
        LATENESS.get(way).copied()
    }

    /// A task begins, knowing what this text says and what the one knows that has begun it.
    pub(super) fn begin(&mut self, task: TaskId, parent: Option<TaskId>, text: &str) {
        let known = parent.and_then(|parent| {
            self.parents.insert(task, parent);
            self.learn(parent, "begins another")
        });
        self.answered.insert(task, hash(&(known, text)));
    }

    /// A task of the world begins, of which this text says everything.
    pub(super) fn begin_apart(&mut self, task: TaskId, text: &str) {
        self.answered.insert(task, hash(&text));
    }

    /// A task is over, and what it was answered is of no matter any more: all that it did is there to be seen, but for what it tells
    /// the one that has begun it and waits for it.
    pub(super) fn end(&mut self, task: TaskId) {
        self.deciding.remove(&task);
        self.before.remove(&task);
        self.before_claim.remove(&task);
        let (known, parent) = (self.answered.remove(&task), self.parents.remove(&task));
        if let Some(parent) = parent.filter(|parent| !self.at_a_step.contains(parent)) {
            self.learn(parent, known);
        }
    }

    /// A process has died, with all of its tasks.
    pub(super) fn bury(&mut self, owner: Owner) {
        self.answered.retain(|task, _| task.owner != owner);
        self.parents.retain(|task, _| task.owner != owner);
        self.deciding.retain(|task, _| task.owner != owner);
        self.before.retain(|task, _| task.owner != owner);
        self.before_claim.retain(|task, _| task.owner != owner);
        self.at_a_step.retain(|task| task.owner != owner);
        self.waiting.retain(|task| task.owner != owner);
    }

    /// A task that is not over gets an answer.
    pub(super) fn learn(&mut self, task: TaskId, answer: impl Hash) -> Option<u64> {
        let known = self.answered.get_mut(&task)?;
        *known = hash(&(*known, answer));
        Some(*known)
    }

    /// A task is about to take a lock.
    pub(super) fn locks(&mut self, task: TaskId) {
        self.before.extend(self.known(task).map(|known| (task, known)));
    }

    /// A task claims what is owed, by the lock that it has.
    pub(super) fn claims(&mut self, task: TaskId) {
        self.before_claim.extend(self.before.get(&task).map(|known| (task, *known)));
    }

    /// A task has paid what it had claimed, or failed to. It looks for the next debt as it has looked for this one, and nothing of
    /// what it was answered since has a say in what it does.
    pub(super) fn forgets(&mut self, task: TaskId) {
        self.answered.extend(self.before_claim.remove(&task).map(|known| (task, hash(&(known, "paid")))));
    }

    /// The task that a process has for what it was asked comes to a stage before which nothing matters any more.
    pub(super) fn reaches(&mut self, task: TaskId, stage: &str, at: Duration) {
        if let Some(known) = self.answered.get_mut(&task) {
            *known = hash(&(task.owner, stage, at));
        }
    }

    /// The commit of a task is lost. A change of a note alone is begun anew then, as if for the first time.
    pub(super) fn repeats(&mut self, task: TaskId) {
        self.answered.extend(self.before.get(&task).map(|known| (task, *known)));
    }

    /// A task writes a row, and will look for what became of its commit.
    pub(super) fn writes_a_row(&mut self, task: TaskId) {
        self.before.remove(&task);
    }

    pub(super) fn known(&self, task: TaskId) -> Option<u64> {
        self.answered.get(&task).copied()
    }

    /// A task waits for its turn.
    pub(super) fn arrives(&mut self, task: TaskId) {
        self.at_a_step.insert(task);
    }

    /// It has its turn.
    pub(super) fn goes_on(&mut self, task: TaskId) {
        self.at_a_step.remove(&task);
    }

    /// A task stands in the queue for a lock, or has it.
    pub(super) fn wait(&mut self, task: TaskId, waits: bool) {
        self.waiting.retain(|other| *other != task);
        if waits {
            self.waiting.push(task);
        }
    }

    /// A task is about to decide by this secret.
    pub(super) fn decide(&mut self, task: TaskId, from: usize, secret: &ClientSecret) {
        self.deciding.insert(task, (from, secret.clone()));
    }

    /// What there is of the tasks that are not over. `counted` says what a decision is judged by.
    pub(super) fn tasks<T: Debug>(&self, counted: impl Fn(usize, &ClientSecret) -> T) -> impl Debug {
        let task = |(task, known): (&TaskId, &u64)| {
            let deciding = self.deciding.get(task).map(|(from, secret)| format!("{:?}", counted(*from, secret)));
            let turn = self.waiting.iter().position(|other| other == task);
            (task.owner, *known, turn, deciding)
        };
        let mut tasks: Vec<_> = self.answered.iter().map(task).collect();
        tasks.sort_unstable();
        tasks
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

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
