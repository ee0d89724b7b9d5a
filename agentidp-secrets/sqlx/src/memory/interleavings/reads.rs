//! Reads beside changes: of this process, and of another one that is heard of or not.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agentidp_secrets::lifecycle::{AsOf, Freshness, Known};
use agentidp_secrets::{Clock as _, ManualClock};
use shuttle::future::{block_on, yield_now};
use shuttle::sync::Mutex;
use shuttle::thread::{self, JoinHandle};

use super::reading::Reading;
use super::rows::RowMemory;
use crate::replicas::{LEASE, LeaseClock, Memory as _};

/// Orders tried of each test: a second or two for all.
const ORDERS: usize = 5_000;

/// The only client.
const CLIENT: u8 = 7;

/// Half of them at random; half with few changes of thread, which finds what needs one thread to be held up for long.
fn in_every_order(run: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(run, ORDERS / 2);
    shuttle::check_pct(run, ORDERS / 2, 3);
}

/// The client, active until it is suspended.
#[derive(Default)]
struct Table {
    /// When it was.
    suspended: Option<Instant>,
    /// Whether the listening connection is up, and what it has to tell.
    heard: bool,
    told: Vec<u8>,
}

#[derive(Clone)]
struct Scene {
    table: Arc<Mutex<Table>>,
    clock: Arc<ManualClock>,
    memory: Arc<RowMemory<u8, ()>>,
}

impl Scene {
    /// With the lease just begun.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
        let memory = RowMemory::new(100, LeaseClock::of(Arc::clone(&clock) as _), |_| Some(CLIENT));
        memory.extend(memory.now(), SystemTime::UNIX_EPOCH);
        Self { table: Arc::default(), clock, memory: Arc::new(memory) }
    }

    fn suspend(&self) {
        let mut table = self.table.lock().unwrap();
        table.suspended = Some(self.clock.instant());
        if table.heard {
            table.told.push(CLIENT);
        }
    }

    fn is_suspended(&self) -> bool {
        self.table.lock().unwrap().suspended.is_some()
    }

    /// Whether the client may authenticate, by its rows. A read takes time before and after it sees them.
    fn rows(&self, freshness: Freshness) -> (bool, AsOf) {
        let read = |_: Reading| async {
            yield_now().await;
            let is_suspended = self.is_suspended();
            yield_now().await;
            Ok(Some(Arc::new(Known::new(!is_suspended, Vec::new()))))
        };
        let rows = block_on(self.memory.rows(&CLIENT, freshness, read)).unwrap();
        (rows.known.unwrap().may_authenticate(), rows.as_of)
    }

    /// A change of this process: what it has changed is forgotten when it is over.
    fn change(&self) {
        block_on(yield_now());
        self.suspend();
        block_on(yield_now());
        self.memory.forget(&CLIENT);
    }

    fn read(&self) -> bool {
        self.rows(Freshness::Cached).0
    }

    /// As a login whose secret the rows do not know: after an acknowledgement it sees what was
    /// acknowledged.
    fn read_anew(&self) {
        let acknowledged = self.is_suspended();
        let (_, served) = self.rows(Freshness::Cached);
        let (is_active, _) = self.rows(Freshness::After(served));
        assert!(!acknowledged || !is_active, "an older read was taken");
    }

    /// Who begins to read a lease's time after the suspension, whoever made it, is not told of what was before.
    fn read_in_time(&self) {
        let begun = self.clock.instant();
        if self.read() {
            let suspended = self.table.lock().unwrap().suspended;
            assert!(suspended.is_none_or(|at| begun < at + LEASE), "served too late");
        }
    }

    /// A connection that listens, for a few turns, as `replicas/listener.rs` keeps it.
    fn listen(&self) {
        self.table.lock().unwrap().heard = true;
        self.memory.forget_all();
        for _ in 0..2 {
            let sent = self.memory.now();
            let told = std::mem::take(&mut self.table.lock().unwrap().told);
            told.iter().for_each(|client| self.memory.forget(client));
            self.memory.extend(sent, SystemTime::UNIX_EPOCH);
        }
        // It breaks, and this is noticed later.
        let mut table = self.table.lock().unwrap();
        (table.heard, table.told) = (false, Vec::new());
        drop(table);
        self.memory.end_lease();
    }

    fn start(&self, work: impl FnOnce(Self) + Send + 'static) -> JoinHandle<()> {
        let scene = self.clone();
        thread::spawn(move || work(scene))
    }
}

#[test]
fn after_a_change_of_its_own_nobody_is_told_of_what_was_before() {
    in_every_order(|| {
        let scene = Scene::new();
        let readers = [(); 2].map(|()| {
            scene.start(|scene| {
                scene.read();
                scene.read();
            })
        });
        let writer = scene.start(|scene| {
            scene.change();
            assert!(!scene.read(), "the readers may still be under way");
        });
        for thread in readers.into_iter().chain([writer]) {
            thread.join().unwrap();
        }
        assert!(!scene.read());
        assert_eq!(scene.memory.len(), 1);
    });
}

#[test]
fn what_another_process_changes_is_served_for_no_longer_than_a_lease() {
    in_every_order(|| {
        let scene = Scene::new();
        let threads = [
            scene.start(|scene| (0..3).for_each(|_| scene.read_in_time())),
            scene.start(|scene| scene.suspend()),
            scene.start(|scene| {
                scene.listen();
                scene.listen();
            }),
            scene.start(|scene| {
                for _ in 0..4 {
                    thread::yield_now();
                    scene.clock.advance(LEASE / 2);
                }
            }),
        ];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // The last connection, which stays.
        scene.memory.forget_all();
        scene.memory.extend(scene.memory.now(), SystemTime::UNIX_EPOCH);
        scene.read_in_time();
    });
}

/// Another process makes the change, and no notification tells of it.
#[test]
fn rows_read_anew_have_what_was_acknowledged_before_the_request() {
    in_every_order(|| {
        let scene = Scene::new();
        scene.read();
        let readers = [(); 3].map(|()| scene.start(|scene| scene.read_anew()));
        let writer = scene.start(|scene| scene.suspend());
        for thread in readers.into_iter().chain([writer]) {
            thread.join().unwrap();
        }
        scene.read_anew();
        assert_eq!(scene.memory.shared_reads(), 0);
    });
}

/// The last look of a login, beside a change that this process makes.
#[test]
fn rows_that_are_not_changed_when_their_read_ends_have_every_change_that_was_acknowledged() {
    in_every_order(|| {
        let scene = Scene::new();
        let acknowledged = Arc::new(Mutex::new(false));
        let seen = Arc::clone(&acknowledged);
        let looker = scene.start(move |scene| {
            let (is_active, as_of) = scene.rows(Freshness::Latest);
            let overtaken = *seen.lock().unwrap();
            let counts = !scene.memory.is_changed(&CLIENT, as_of);
            assert!(!overtaken || !counts || !is_active, "a token would go out");
        });
        let writer = scene.start(move |scene| {
            scene.change();
            *acknowledged.lock().unwrap() = true;
        });
        looker.join().unwrap();
        writer.join().unwrap();
    });
}
