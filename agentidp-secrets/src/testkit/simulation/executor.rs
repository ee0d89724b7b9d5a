//! Runs tasks one at a time, in an order that the seed decides.
//!
//! It lives in one future of a tokio runtime whose clock is paused: timers are tokio's, and time passes when no task can run.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

use crate::lifecycle::Task;

/// Whose a task is: a process, by a number that no other process ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Owner(pub(super) u64);

impl Owner {
    /// The network, the servers of the backends and the database, and the driver of the schedule.
    pub(super) const WORLD: Self = Self(0);
}

/// Takes tasks; clones share them.
#[derive(Clone, Default)]
pub(super) struct Executor(Arc<Shared>);

#[derive(Default)]
struct Shared {
    tasks: Mutex<Tasks>,
    root: Arc<AtomicWaker>,
}

#[derive(Default)]
struct Tasks {
    slots: Vec<Slot>,
    killed: BTreeSet<Owner>,
    paused: BTreeSet<Owner>,
    /// How many tasks each process has had.
    spawned: BTreeMap<Owner, u64>,
    /// The one that runs just now.
    current: Option<TaskId>,
}

/// A task, by its process and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TaskId {
    pub(super) owner: Owner,
    pub(super) number: u64,
}

struct Slot {
    id: TaskId,
    /// None while it is polled.
    task: Option<Task>,
    ready: Arc<Ready>,
}

struct Ready {
    is_ready: AtomicBool,
    root: Arc<AtomicWaker>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_ready.store(true, Ordering::Relaxed);
        self.root.wake();
    }
}

impl Executor {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task. A task of a process that was killed is dropped.
    pub(super) fn spawn(&self, owner: Owner, task: Task) -> Option<TaskId> {
        let mut tasks = self.tasks();
        if tasks.killed.contains(&owner) {
            return None;
        }
        let ready = Arc::new(Ready { is_ready: AtomicBool::new(true), root: Arc::clone(&self.0.root) });
        let count = tasks.spawned.entry(owner).or_default();
        *count += 1;
        let id = TaskId { owner, number: *count };
        tasks.slots.push(Slot { id, task: Some(task), ready });
        Some(id)
    }

    /// The task that runs just now.
    pub(super) fn current(&self) -> Option<TaskId> {
        self.tasks().current
    }

    /// Drops all tasks of a process at once; the one that is running just now, when it returns.
    pub(super) fn kill(&self, owner: Owner) {
        let killed = {
            let mut tasks = self.tasks();
            tasks.killed.insert(owner);
            let (killed, left) = mem::take(&mut tasks.slots).into_iter().partition(|slot| slot.id.owner == owner);
            tasks.slots = left;
            killed
        };
        drop::<Vec<_>>(killed);
    }

    /// Runs no task of this process until it is resumed.
    pub(super) fn pause(&self, owner: Owner) {
        self.tasks().paused.insert(owner);
    }

    pub(super) fn resume(&self, owner: Owner) {
        self.tasks().paused.remove(&owner);
        self.0.root.wake();
    }

    /// Drops everything, so that nothing keeps the schedule's memory.
    pub(super) fn clear(&self) {
        let slots = mem::take(&mut self.tasks().slots);
        drop(slots);
    }

    /// Runs until `is_over`. `choose` gets the tasks that can run, and says which does.
    pub(super) async fn run(&self, mut is_over: impl FnMut() -> bool, mut choose: impl FnMut(&[TaskId]) -> usize) {
        let mut ready = Vec::new();
        // The budget of tokio's cooperative scheduling is for tasks of its own.
        tokio::task::unconstrained(poll_fn(|context| {
            self.0.root.register(context.waker());
            loop {
                if is_over() {
                    return Poll::Ready(());
                }
                self.ready(&mut ready);
                if ready.is_empty() {
                    return Poll::Pending;
                }
                self.step(choose(&ready));
            }
        }))
        .await;
    }

    fn ready(&self, ready: &mut Vec<TaskId>) {
        let tasks = self.tasks();
        ready.clear();
        ready.extend(tasks.slots.iter().filter(|slot| slot.can_run(&tasks.paused)).map(|slot| slot.id));
    }

    fn step(&self, choice: usize) {
        let (owner, ready, mut task) = {
            let mut tasks = self.tasks();
            let Tasks { slots, paused, current, .. } = &mut *tasks;
            let mut able = slots.iter_mut().filter(|slot| slot.can_run(paused));
            let Some(slot) = able.nth(choice) else { return };
            let Some(task) = slot.task.take() else { return };
            slot.ready.is_ready.store(false, Ordering::Relaxed);
            *current = Some(slot.id);
            (slot.id.owner, Arc::clone(&slot.ready), task)
        };
        let waker = Waker::from(Arc::clone(&ready));
        let is_done = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks();
        let index = tasks.slots.iter().position(|slot| Arc::ptr_eq(&slot.ready, &ready));
        match index {
            Some(index) if is_done || tasks.killed.contains(&owner) => drop(tasks.slots.remove(index)),
            Some(index) => {
                tasks.slots[index].task = Some(task);
                return;
            }
            None => {}
        }
        drop(tasks);
        // What it holds may wake others.
        drop(task);
    }
}

impl Slot {
    fn can_run(&self, paused: &BTreeSet<Owner>) -> bool {
        self.task.is_some() && self.ready.is_ready.load(Ordering::Relaxed) && !paused.contains(&self.id.owner)
    }
}
