//! Writers, replicas and logins: nothing decides a login that is older than what was acknowledged.
//!
//! Memory and [`Wait`] are the real ones. Database and listening connection are models of `replicas/`: one queue of what is told, in the
//! order of the commits.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{Freshness, Known, Row};
use agentidp_secrets::{CredentialKey, ManualClock};
use shuttle::future::{block_on, yield_now};
use shuttle::sync::Mutex;
use shuttle::thread::{self, JoinHandle};

use super::reading::Reading;
use super::rows::RowMemory;
use crate::replicas::{LEASE, LeaseClock, MARGIN, Memory as _, Next, Wait};

/// Orders tried of what must hold: some seconds for all.
const ORDERS: usize = 1_000;

/// Orders tried to find a flaw.
const ORDERS_FOR_A_FLAW: usize = 20_000;

/// How often it is looked whether a writer waits.
const PATIENCE: usize = 30;

/// The only client.
const CLIENT: u8 = 7;

/// What could be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The writer reads the list, and asks, before its commit.
    AsksBeforeItsCommit,
    /// An answer to an older question counts: "the replica has heard of the client's change".
    TakesAnyAnswer,
    /// The replica serves rows before it listens and is on the list.
    ServesBeforeItListens,
}

/// What is told.
#[derive(Clone, Copy)]
enum Told {
    Changed,
    Asked(usize),
    Answered { question: usize, replica: usize },
}

#[derive(Default)]
struct Database {
    /// Changes that are committed; rows say how many there were.
    changes: usize,
    told: Vec<Told>,
    /// Who is on the list, and whether marked as off.
    listed: BTreeMap<usize, bool>,
    questions: usize,
    /// The last change that is acknowledged, how many are, and how many writers wait for answers.
    acknowledged: usize,
    done: usize,
    waiting: usize,
}

#[derive(Clone)]
struct Scene {
    flaw: Flaw,
    database: Arc<Mutex<Database>>,
    memory: Arc<RowMemory<u8, ()>>,
    /// The replica's goes at three quarters of the writers'.
    clocks: [Arc<ManualClock>; 2],
}

impl Scene {
    fn new(flaw: Flaw) -> Self {
        let clocks = [(); 2].map(|()| Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH)));
        let memory = Arc::new(RowMemory::new(10, LeaseClock::of(Arc::clone(&clocks[1]) as _), |_| Some(CLIENT)));
        Self { flaw, database: Arc::default(), memory, clocks }
    }

    fn start(&self, work: impl FnOnce(Self) + Send + 'static) -> JoinHandle<()> {
        let scene = self.clone();
        thread::spawn(move || work(scene))
    }

    /// Commits a change, and returns when it may be acknowledged.
    fn change(&self) {
        let own_clock = LeaseClock::of(Arc::clone(&self.clocks[0]) as _);
        let early = (self.flaw == Flaw::AsksBeforeItsCommit).then(|| self.ask());
        let change = {
            let mut database = self.database.lock().unwrap();
            database.changes += 1;
            database.told.push(Told::Changed);
            database.changes
        };
        let (question, listed) = early.unwrap_or_else(|| self.ask());
        let began = own_clock.now();
        self.database.lock().unwrap().waiting += 1;
        let mut wait = Wait::new(listed.iter().map(usize::to_string), false, true);
        loop {
            match wait.next(own_clock.now() - began) {
                Next::Obeyed(_) => break,
                Next::TakeOff(silent) => {
                    self.take_off(silent.iter().map(|name| name.parse().unwrap()));
                    break;
                }
                Next::Until(_) => {
                    for told in &self.database.lock().unwrap().told {
                        if let Told::Answered { question: answered, replica } = told
                            && (*answered == question || self.flaw == Flaw::TakesAnyAnswer)
                        {
                            wait.answered(&replica.to_string());
                        }
                    }
                    thread::yield_now();
                }
            }
        }
        let mut database = self.database.lock().unwrap();
        database.acknowledged = database.acknowledged.max(change);
        database.done += 1;
        database.waiting -= 1;
    }

    /// Reads the list, and asks all that are on it.
    fn ask(&self) -> (usize, Vec<usize>) {
        let mut database = self.database.lock().unwrap();
        database.questions += 1;
        let question = database.questions;
        database.told.push(Told::Asked(question));
        (question, database.listed.keys().copied().collect())
    }

    fn take_off(&self, silent: impl Iterator<Item = usize>) {
        let mut database = self.database.lock().unwrap();
        for replica in silent {
            if let Some(is_off) = database.listed.get_mut(&replica) {
                *is_off = true;
            }
        }
    }

    /// A replica that listens under this name, for a few turns, as `replicas/listener.rs` does. Its connection may break, and then what
    /// it was not told yet is lost.
    fn listen(&self, name: usize, turns: usize) {
        if self.flaw == Flaw::ServesBeforeItListens {
            self.memory.forget_all();
            self.memory.extend(self.memory.now(), SystemTime::UNIX_EPOCH);
            thread::yield_now();
        }
        let mut heard = self.database.lock().unwrap().told.len();
        thread::yield_now();
        {
            let listed = &mut self.database.lock().unwrap().listed;
            listed.remove(&(name - 1));
            listed.insert(name, false);
        }
        if self.flaw != Flaw::ServesBeforeItListens {
            self.memory.forget_all();
        }
        for _ in 0..turns {
            let sent = self.memory.now();
            thread::yield_now();
            let (told, is_off) = {
                let database = self.database.lock().unwrap();
                (database.told[heard..].to_vec(), database.listed.get(&name).copied())
            };
            if is_off != Some(false) {
                break;
            }
            heard += told.len();
            let mut asked = Vec::new();
            for told in told {
                match told {
                    Told::Changed => self.memory.forget(&CLIENT),
                    Told::Asked(question) => asked.push(question),
                    Told::Answered { .. } => {}
                }
            }
            for question in asked {
                self.database.lock().unwrap().told.push(Told::Answered { question, replica: name });
            }
            self.memory.extend(sent, SystemTime::UNIX_EPOCH);
            thread::yield_now();
        }
        self.memory.end_lease();
    }

    /// A login: rows, and the last look at them. What it decides by has everything that was acknowledged before that look.
    fn login(&self) {
        let read = |_: Reading| async {
            yield_now().await;
            let changes = self.database.lock().unwrap().changes;
            yield_now().await;
            Ok(Some(rows_after(changes)))
        };
        let rows = block_on(self.memory.rows(&CLIENT, Freshness::Cached, read)).unwrap();
        let acknowledged = self.database.lock().unwrap().acknowledged;
        if self.memory.is_current(&CLIENT, rows.as_of) {
            let seen = rows.known.unwrap().len();
            assert!(seen >= acknowledged, "decided by {seen} of {acknowledged} acknowledged changes");
        }
    }

    /// Time goes on.
    fn pass(&self, by: Duration) {
        self.clocks[0].advance(by);
        self.clocks[1].advance(by * 3 / 4);
    }
}

/// How much happens.
#[derive(Clone, Copy)]
struct Plan {
    /// Changes of each writer.
    changes: [usize; 2],
    /// Connections of the replica, one after the other, and turns of each.
    connections: usize,
    turns: usize,
    logins: usize,
    /// Quarters of what a writer waits that pass meanwhile.
    quarters: u32,
}

/// Enough for every mixture.
const WIDE: Plan = Plan { changes: [2, 1], connections: 3, turns: 4, logins: 10, quarters: 8 };

/// Two writers, a replica whose connection may break or stand still, logins at it, and time.
fn run(flaw: Flaw, plan: Plan) {
    let Plan { changes, connections, turns, logins, quarters } = plan;
    let scene = Scene::new(flaw);
    let threads = [
        scene.start(move |scene| (0..changes[0]).for_each(|_| scene.change())),
        scene.start(move |scene| (0..changes[1]).for_each(|_| scene.change())),
        scene.start(move |scene| (1..=connections).for_each(|name| scene.listen(name, turns))),
        scene.start(move |scene| (0..logins).for_each(|_| scene.login())),
        scene.start(move |scene| {
            for _ in 0..quarters {
                // Time is of interest while somebody waits.
                for _ in 0..PATIENCE {
                    thread::yield_now();
                    if scene.database.lock().unwrap().waiting > 0 {
                        break;
                    }
                }
                scene.pass((LEASE + MARGIN) / 4);
            }
        }),
    ];
    let [one, other, replica, logins, time] = threads;
    for thread in [replica, logins, time] {
        thread.join().unwrap();
    }
    while scene.database.lock().unwrap().done < changes[0] + changes[1] {
        scene.pass(LEASE + MARGIN);
        thread::yield_now();
    }
    for thread in [one, other] {
        thread.join().unwrap();
    }
}

/// Each change has added a row.
fn rows_after(changes: usize) -> Arc<Known> {
    let row = Row::new(CredentialKey::parse("7", "1").unwrap(), None, None);
    Arc::new(Known::new(true, vec![row; changes]))
}

/// Half of the orders at random; half with few changes of thread, which finds what needs one thread to be held up for long.
fn in_orders(flaw: Flaw, plan: Plan, orders: usize) {
    shuttle::check_random(move || run(flaw, plan), orders / 2);
    shuttle::check_pct(move || run(flaw, plan), orders / 2, 4);
}

#[test]
fn nothing_older_than_what_was_acknowledged_decides_a_login() {
    in_orders(Flaw::None, WIDE, ORDERS);
}

/// Each in a plan in which it is not rare; the sound protocol goes through it as well. That the margin counts is a test of [`Wait`], and that
/// a replica which was taken off forgets its rows is one of real replicas.
#[test]
fn each_flaw_is_found() {
    let little = Plan { changes: [1, 0], connections: 1, turns: 4, logins: 5, quarters: 0 };
    let mut missed = Vec::new();
    for (flaw, plan) in [
        (Flaw::AsksBeforeItsCommit, WIDE),
        (Flaw::TakesAnyAnswer, Plan { changes: [2, 0], ..little }),
        (Flaw::ServesBeforeItListens, little),
    ] {
        in_orders(Flaw::None, plan, ORDERS / 10);
        let found = catch_unwind(AssertUnwindSafe(|| in_orders(flaw, plan, ORDERS_FOR_A_FLAW)));
        if found.is_ok() {
            missed.push(flaw);
        }
    }
    assert!(missed.is_empty(), "{missed:?} were not found");
}
