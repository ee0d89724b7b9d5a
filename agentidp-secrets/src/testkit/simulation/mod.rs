//! The protocol of [`lifecycle`](crate::lifecycle) under every fault that a seed can make.
//!
//! The real [`Lifecycle`](crate::lifecycle::Lifecycle) runs in two or three replicas over one [`MemoryLedger`] and two simulated KV mounts. A schedule is
//! one thread: an executor polls one task at a time, in an order that the seed decides, inside a tokio runtime whose clock is
//! paused. So hours pass in microseconds, and a seed repeats exactly.
//!
//! [`MemoryLedger`]: crate::lifecycle::MemoryLedger
//!
//! # Why a loop of its own
//! `shuttle` takes over threads and not tokio's timers, and the protocol is full of them. `turmoil` simulates sockets between hosts; here the network is a
//! function call with an uncertain end. `stateright` checks a model, and the code would have to be written a second time. What is
//! needed is small: poll the ready tasks in an order of one's own, and drop all of a replica at once.
//!
//! # What happens to a schedule
//! Each call to the ledger or to a backend is a point, before and after which a replica may be held up, stand still, or die with all
//! its tasks; another one starts on the same ledger. Calls fail; commits are lost, done or not, or carried out later;
//! requests are lost, carried out late, twice or without an answer; a standby answers with what it knew. Callers hang up, the
//! clock jumps, replicas are set to different backends, or lack one. Replicas, and clones of the database, rotate, and compare rows and
//! mounts. The database or a mount is put back to an earlier moment, and nothing may be deleted until the operator has settled what
//! differs.
//!
//! # What must hold
//! | when | rule |
//! |---|---|
//! | after each change of the ledger or of a mount | what a live row vouches for can be read |
//! | | a row changes only as it was asked to: an upgrade, a pin or a repair changes no secret |
//! | | a place is deleted only when its credential has ended, and the ledger is the one that wrote it |
//! | at each answer | no secret is shown twice or was presented before, and a shown one is committed |
//! | | a definite error changed nothing, then and later |
//! | | each acknowledged change is in the audit once |
//! | | a use that was written is known of its secret, and no overlap ends before its previous secret was idle |
//! | | a login was decided by what counted at a moment of its own; the last look by what counted since it began |
//! | after a restore | a secret that is lost is an outage and no mismatch, and its row is named by the comparison |
//! | at the end | debts have drained; nothing is held that nobody vouches for; a comparison finds nothing to mend; nothing stays stuck |
//!
//! # The small world
//! A seed finds what is rare by numbers; a [`Scene`] leaves nothing out, in a world that is small enough: one credential, two
//! replicas with one thing to do each, one crash, one operation that is carried out late.
//!
//! A [`Fault`] is a form of the protocol that was refuted. Each is found: that is the proof that the simulation can fail.

mod backend;
mod backup;
mod chance;
mod clock;
mod digests;
mod end;
mod executor;
mod fate;
mod fault;
mod hearing;
mod identity;
mod imported;
mod kv;
mod ledger;
mod login;
mod moves;
mod operations;
mod oracle;
mod portrait;
mod rates;
mod replica;
mod report;
mod restore;
mod scenes;
mod schedule;
mod seen;
mod site;
mod small;
mod usage;
mod world;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::chance::Chance;
use self::executor::{Executor, Owner, TaskId};
pub use self::fault::Fault;
use self::replica::Cluster;
pub use self::report::{Counts, Violation};
pub use self::scenes::{Explored, Scene};
use self::world::{Shared, World};
pub use crate::lifecycle::Flaw;

/// More steps than any schedule takes that comes to rest.
const MOST_STEPS: u64 = 1_000_000;

/// Runs the schedule of a seed. The same seed gives the same counts and the same violation.
///
/// # Errors
/// [`Violation`]: the first rule that does not hold. `with_history` keeps what happened until then.
pub fn run(seed: u64, fault: Option<Fault>, with_history: bool) -> Result<Counts, Violation> {
    let world = || World::new(Chance::new(seed), fault, with_history);
    play(world, schedule::drive, |world, violation, steps| {
        let counts = Counts { schedules: 1, steps, ..world.counts };
        violation.map_or(Ok(counts), Err)
    })?
}

/// Plays what `drive` does in a world, until it is over or a rule does not hold; `outcome` gets the steps that it took.
fn play<F, T>(
    world: impl FnOnce() -> World,
    drive: impl FnOnce(Cluster) -> F,
    outcome: impl FnOnce(&mut World, Option<Violation>, u64) -> T,
) -> Result<T, Violation>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|_| Violation::of("a runtime starts"))?;
    Ok(runtime.block_on(async {
        let (world, executor) = (Shared::new(world()), Executor::default());
        let cluster = Cluster::new(world.clone(), executor.clone());
        let is_over = Arc::new(AtomicBool::new(false));
        let (done, driver) = (Arc::clone(&is_over), drive(cluster.clone()));
        let driver = async move {
            driver.await;
            done.store(true, Ordering::Relaxed);
        };
        executor.spawn(Owner::WORLD, Box::pin(driver));
        let steps = Cell::new(0_u64);
        let over = || is_over.load(Ordering::Relaxed) || world.lock().is_at_an_end();
        let choose = |ready: &[TaskId]| {
            let mut world = world.lock();
            world.watch_the_clock();
            steps.set(steps.get() + 1);
            if steps.get() > MOST_STEPS {
                world.violate("a schedule comes to rest", |_| "it runs on and on".to_owned());
            }
            world.choose(ready)
        };
        executor.run(over, choose).await;
        executor.clear();
        cluster.clear();
        let mut world = world.lock();
        let violation = world.take_violation();
        outcome(&mut world, violation, steps.get())
    }))
}
