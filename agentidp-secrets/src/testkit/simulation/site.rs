//! Where a process stands in the world: each call to the database or a backend is a point at which something may happen to it.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

use super::executor::{Executor, Owner};
use super::portrait::Pen;
use super::rates::{self, Rates};
use super::small::{Small, Way};
use super::world::{Shared, World};
use crate::lifecycle::Task;

#[derive(Clone)]
pub(super) struct Site {
    pub(super) world: Shared,
    pub(super) executor: Executor,
    pub(super) owner: Owner,
    pub(super) replica: usize,
    /// Starts another process in place of this one, if it may die.
    pub(super) next: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// What happens at a point.
enum Turn {
    Go,
    Switch,
    Pause(Duration),
    Freeze(Duration),
    Crash,
}

impl World {
    fn turn(&mut self, what: &'static str, may_die: bool) -> Turn {
        if let Some(small) = &mut self.small {
            return match small.turn(what, may_die) {
                Way::Go => Turn::Go,
                Way::Switch => Turn::Switch,
                Way::Crash => Turn::Crash,
            };
        }
        let Rates { switch, pause, freeze, crash, .. } = self.rates;
        let chance = &mut self.chance;
        let drawn = u32::try_from(chance.below(1000)).unwrap_or(0);
        if drawn < crash {
            Turn::Crash
        } else if drawn < crash + freeze {
            Turn::Freeze(rates::pause(chance))
        } else if drawn < crash + freeze + pause {
            Turn::Pause(rates::pause(chance))
        } else if drawn < crash + freeze + pause + switch {
            Turn::Switch
        } else {
            Turn::Go
        }
    }
}

impl Site {
    /// A point at which the scheduler may let others go on, hold the process up, or kill it.
    pub(super) async fn point(&self, what: &'static str) {
        let turn = self.world.lock().turn(what, self.next.is_some());
        match turn {
            Turn::Go => {}
            Turn::Switch => self.step().await,
            Turn::Pause(time) => {
                self.tell(|| format!("waits {time:?} at: {what}"));
                self.world.lock().counts.pauses += 1;
                sleep(time).await;
            }
            Turn::Freeze(time) => {
                self.tell(|| format!("stands still for {time:?} at: {what}"));
                self.world.lock().counts.pauses += 1;
                self.executor.pause(self.owner);
                let (executor, owner) = (self.executor.clone(), self.owner);
                let resume = async move {
                    sleep(time).await;
                    executor.resume(owner);
                };
                self.in_the_world(resume, |_| {});
                switch().await;
            }
            Turn::Crash => {
                let Some(next) = self.next.clone() else { return };
                self.tell(|| format!("dies at: {what}"));
                self.die(next);
                pending::<()>().await;
            }
        }
    }

    /// Waits for its turn.
    async fn step(&self) {
        self.notes_itself(Small::arrives);
        switch().await;
        self.notes_itself(Small::goes_on);
    }

    /// Waits until something is carried out late.
    pub(super) async fn lateness(&self, time: Duration) {
        if time.is_zero() { self.step().await } else { sleep(time).await }
    }

    /// Kills the process; another one takes its place in a while.
    fn die(&self, next: Arc<dyn Fn() + Send + Sync>) {
        let wait = {
            let mut world = self.world.lock();
            world.counts.crashes += 1;
            world.dead.insert(self.owner);
            if let Some(small) = &mut world.small {
                small.bury(self.owner);
                // It has nothing to do any more: when it starts is all one.
                Duration::from_secs(1)
            } else {
                Duration::from_millis(world.chance.one_of(&[0, 100, 5_000, 40_000]))
            }
        };
        self.executor.kill(self.owner);
        let start = async move {
            sleep(wait).await;
            next();
        };
        self.in_the_world(start, |pen| pen.put("starts another"));
    }

    /// Runs a task of the process.
    pub(super) fn spawn(&self, task: Task) {
        let site = self.clone();
        let task = async move {
            task.await;
            site.notes_itself(Small::end);
        };
        self.begins(self.executor.spawn(self.owner, Box::pin(task)));
    }

    /// Runs what outlives the process, of which `write` puts down everything.
    pub(super) fn in_the_world(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
        write: impl FnOnce(&mut Pen<'_>),
    ) {
        let site = self.clone();
        self.world.lock().under_way += 1;
        let task = async move {
            task.await;
            site.world.lock().under_way -= 1;
            site.notes_itself(Small::end);
        };
        self.sends(self.executor.spawn(Owner::WORLD, Box::pin(task)), write);
    }

    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        self.world.lock().tell(|_| format!("replica {} {}", self.replica, line()));
    }
}

/// Lets other tasks go on.
async fn switch() {
    let mut has_waited = false;
    poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
