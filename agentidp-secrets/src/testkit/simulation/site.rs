//! Where a process stands in the world: each call to the database or a backend is a point at which something may happen to it.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

use super::executor::{Executor, Owner};
use super::rates::{self, Rates};
use super::small::Way;
use super::world::{Shared, World};

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
                self.in_the_world(async move {
                    sleep(time).await;
                    executor.resume(owner);
                });
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
        let at_a_step = |is_there: bool| {
            let (task, mut world) = (self.executor.current(), self.world.lock());
            let (Some(task), Some(small)) = (task, &mut world.small) else { return };
            if is_there {
                small.at_a_step.insert(task)
            } else {
                small.at_a_step.remove(&task)
            };
        };
        at_a_step(true);
        switch().await;
        at_a_step(false);
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
                small.waiting.retain(|owner| *owner != self.owner);
                // It has nothing to do any more: when it starts is all one.
                Duration::from_secs(1)
            } else {
                Duration::from_millis(world.chance.one_of(&[0, 100, 5_000, 40_000]))
            }
        };
        self.executor.kill(self.owner);
        self.in_the_world(async move {
            sleep(wait).await;
            next();
        });
    }

    /// Runs what outlives the process.
    pub(super) fn in_the_world(&self, task: impl Future<Output = ()> + Send + 'static) {
        let world = self.world.clone();
        world.lock().under_way += 1;
        self.executor.spawn(
            Owner::WORLD,
            Box::pin(async move {
                task.await;
                world.lock().under_way -= 1;
            }),
        );
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
