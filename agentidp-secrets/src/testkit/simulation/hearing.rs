//! What a task of the [small world](super::small) has heard and made, which is where it is.

use std::time::Duration;

use super::executor::TaskId;
use super::portrait::Pen;
use super::site::Site;
use super::small::Small;

impl Site {
    /// The process gets an answer, which `write` puts down; of note in the small world only.
    pub(super) fn hears(&self, what: &'static str, write: impl FnOnce(&mut Pen<'_>)) {
        self.notes(write, |small, text, at| {
            if let Some(task) = self.executor.current() {
                small.learn(task, (what, at, text));
            }
        });
    }

    /// A task of the process has begun.
    pub(super) fn begins(&self, task: Option<TaskId>) {
        if let (Some(task), Some(small)) = (task, &mut self.world.lock().small) {
            // The driver of the scene has begun the first ones, and they tell it nothing.
            small.begin(task, self.executor.current().filter(|parent| parent.owner == self.owner), "");
        }
    }

    /// A task of the world has begun, of which `write` puts down everything but the time.
    pub(super) fn sends(&self, task: Option<TaskId>, write: impl FnOnce(&mut Pen<'_>)) {
        self.notes(write, |small, text, at| {
            if let Some(task) = task {
                small.begin_apart(task, &format!("{at:?} {text}"));
            }
        });
    }

    fn notes(&self, write: impl FnOnce(&mut Pen<'_>), note: impl FnOnce(&mut Small, &str, Duration)) {
        let mut world = self.world.lock();
        let Some(mut small) = world.small.take() else { return };
        let text = Pen::written(&world, &small, write);
        note(&mut small, &text, world.clock.elapsed());
        world.small = Some(small);
    }

    /// What a task has been answered so far.
    pub(super) fn knows(&self, task: TaskId) -> Option<u64> {
        self.world.lock().small.as_ref()?.known(task)
    }

    /// The task that runs just now has come to a stage before which nothing matters any more.
    pub(super) fn reaches(&self, stage: &str) {
        let at = self.world.lock().clock.elapsed();
        self.notes_itself(|small, task| small.reaches(task, stage, at));
    }

    /// Says something of the task that runs just now.
    pub(super) fn notes_itself(&self, note: impl FnOnce(&mut Small, TaskId)) {
        if let (Some(task), Some(small)) = (self.executor.current(), &mut self.world.lock().small) {
            note(small, task);
        }
    }

    /// The process has made these.
    pub(super) fn makes<T: AsRef<str>>(&self, made: impl IntoIterator<Item = T>) {
        if let Some(small) = &mut self.world.lock().small {
            made.into_iter().for_each(|text| small.meet(self.owner, text.as_ref()));
        }
    }
}
