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
//! clock jumps, replicas are set to different backends.
//!
//! # What must hold
//! | when | rule |
//! |---|---|
//! | after each change of the ledger or of a mount | what a live row vouches for can be read |
//! | | a row changes only as it was asked to: an upgrade, a pin or a repair changes no secret |
//! | | a place is deleted only when its credential has ended |
//! | at each answer | no secret is shown twice or was presented before, and a shown one is committed |
//! | | a definite error changed nothing, then and later |
//! | | each acknowledged change is in the audit once |
//! | | a login was decided by what counted at a moment of its own; the last look by what counted since it began |
//! | at the end | debts have drained; nothing is held that nobody vouches for; nothing stays stuck |
//!
//! A [`Fault`] is a form of the protocol that was refuted. Each is found: that is the proof that the simulation can fail.

mod backend;
mod chance;
mod digests;
mod end;
mod executor;
mod kv;
mod ledger;
mod login;
mod operations;
mod oracle;
mod rates;
mod replica;
mod schedule;
mod site;
mod world;

use std::cell::Cell;
use std::fmt;
use std::ops::AddAssign;

use self::chance::Chance;
use self::executor::{Executor, Owner};
use self::world::{Shared, World};
pub use crate::lifecycle::Flaw;

/// More steps than any schedule takes that comes to rest.
const MOST_STEPS: u64 = 1_000_000;

/// A form of the protocol that was refuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Within the library.
    Library(Flaw),
    /// The caller answers a login without the last look.
    NoSecondLook,
    /// Leases and overlaps run by the clocks of replicas, which are apart.
    ClocksOfReplicas,
}

/// How much was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Schedules.
    pub schedules: u64,
    /// Times that a task went on.
    pub steps: u64,
    /// Times that the rules were looked at.
    pub checks: u64,
    /// Changes that callers asked for.
    pub operations: u64,
    /// Logins.
    pub logins: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Requests and commits that were carried out after their caller had given up, or a second time.
    pub late: u64,
    /// Calls that waited, and processes that stood still.
    pub pauses: u64,
    /// Commits whose outcome was unknown.
    pub unknown_commits: u64,
    /// Calls that the database failed.
    pub failures: u64,
    /// Jumps of the clock.
    pub jumps: u64,
    /// Looks at which a current secret was written anew and not yet pinned again.
    pub gaps: u64,
}

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub what: String,
    /// What happened until then, where it was asked for.
    pub history: Vec<String>,
}

/// Runs the schedule of a seed. The same seed gives the same counts and the same violation.
///
/// # Errors
/// [`Violation`]: the first rule that does not hold. `with_history` keeps what happened until then.
pub fn run(seed: u64, fault: Option<Fault>, with_history: bool) -> Result<Counts, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else {
        return Err(Violation { rule: "a runtime starts", what: String::new(), history: Vec::new() });
    };
    runtime.block_on(async {
        let world = Shared::new(World::new(Chance::new(seed), fault, with_history));
        let executor = Executor::default();
        let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (done, driver) = (std::sync::Arc::clone(&is_over), schedule::drive(world.clone(), executor.clone()));
        executor.spawn(
            Owner::WORLD,
            Box::pin(async move {
                driver.await;
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            }),
        );
        let steps = Cell::new(0_u64);
        let over = || is_over.load(std::sync::atomic::Ordering::Relaxed) || world.lock().is_violated();
        let choose = |ready: usize| {
            let mut world = world.lock();
            world.watch_the_clock();
            steps.set(steps.get() + 1);
            if steps.get() > MOST_STEPS {
                world.violate("a schedule comes to rest", |_| "it runs on and on".to_owned());
            }
            world.chance.below(ready)
        };
        executor.run(over, choose).await;
        executor.clear();
        let (replicas, mut counts, violation) = {
            let mut world = world.lock();
            (std::mem::take(&mut world.replicas), world.counts, world.take_violation())
        };
        drop(replicas);
        (counts.schedules, counts.steps) = (1, steps.get());
        violation.map_or(Ok(counts), Err)
    })
}

impl Fault {
    fn in_the_library(self) -> Option<Flaw> {
        match self {
            Self::Library(flaw) => Some(flaw),
            Self::NoSecondLook | Self::ClocksOfReplicas => None,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.checks += other.checks;
        self.operations += other.operations;
        self.logins += other.logins;
        self.crashes += other.crashes;
        self.late += other.late;
        self.pauses += other.pauses;
        self.unknown_commits += other.unknown_commits;
        self.failures += other.failures;
        self.jumps += other.jumps;
        self.gaps += other.gaps;
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl std::error::Error for Violation {}
