//! The cache and what it decorates, with shuttle's counters in place of the standard library's: each run takes the threads
//! through another order of their steps, and prints it where something old was served.
//!
//! The map that holds the rows is taken as one step: it has tests of its own. The listening connection is a model of
//! `postgres/listener.rs`: it hears of a commit before it hears the answer to what was asked after that.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agentidp_secrets::lifecycle::{AsOf, Freshness, Known};
use agentidp_secrets::{Clock as _, ManualClock};
use agentidp_secrets_sqlx::replicas::{LEASE, LeaseClock, Memory as _};
use async_trait::async_trait;
use shuttle::future::{block_on, yield_now};
use shuttle::sync::Mutex;
use shuttle::thread::{self, JoinHandle};
use uuid::Uuid;

use self::cache::RowCache;
use self::credentials::Credentials;
use self::flights::Flights;
use super::{CLIENT, Deaf, row};
use crate::domain::{AgentStatus, Credential, CredentialStatus, Page, Paged, Timestamp};
use crate::repo::{CredentialRepo, Result};

/// In place of `row_cache/sync.rs`.
mod sync {
    pub(super) use shuttle::sync::Mutex;
    pub(super) use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

#[expect(clippy::duplicate_mod, reason = "the same text over other counters is what this is about")]
#[path = "../cache.rs"]
mod cache;
#[expect(clippy::duplicate_mod, reason = "the same text over other counters is what this is about")]
#[path = "../credentials.rs"]
mod credentials;
#[expect(clippy::duplicate_mod, reason = "the same text over other counters is what this is about")]
#[path = "../flights.rs"]
mod flights;

/// Orders tried of each test: a second or two for all.
const ORDERS: usize = 5_000;

/// Half of them at random; half with few changes of thread, which finds what needs one thread to be held up for long.
fn in_every_order(run: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(run, ORDERS / 2);
    shuttle::check_pct(run, ORDERS / 2, 3);
}

/// One client, active until it is suspended. Calls take time before and after they take effect.
struct Table {
    state: Mutex<State>,
    clock: Arc<ManualClock>,
}

#[derive(Default)]
struct State {
    /// When it was.
    suspended: Option<Instant>,
    /// Whether the listening connection is up, and what it has to tell.
    heard: bool,
    told: Vec<Uuid>,
}

impl Table {
    fn suspend(&self) {
        let mut state = self.state.lock().unwrap();
        state.suspended = Some(self.clock.instant());
        if state.heard {
            state.told.push(CLIENT);
        }
    }
}

#[async_trait]
impl CredentialRepo for Table {
    async fn authenticate(&self, _: Uuid, _: Timestamp) -> Result<Option<Arc<Known>>> {
        yield_now().await;
        let suspended = self.state.lock().unwrap().suspended;
        yield_now().await;
        let status = if suspended.is_some() { AgentStatus::Suspended } else { AgentStatus::Active };
        Ok(Some(Arc::new(row(status, &[]))))
    }

    async fn find(&self, _: Uuid, _: Uuid) -> Result<Option<Credential>> {
        unreachable!()
    }

    async fn list(&self, _: Uuid, _: Option<CredentialStatus>, _: Page) -> Result<Paged<Credential>> {
        unreachable!()
    }
}

#[derive(Clone)]
struct Scene {
    table: Arc<Table>,
    clock: Arc<ManualClock>,
    cache: Arc<RowCache>,
    repo: Arc<Credentials>,
}

impl Scene {
    /// With the lease just begun.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
        let table = Arc::new(Table { state: Mutex::default(), clock: Arc::clone(&clock) });
        let cache = Arc::new(RowCache::new(100, LeaseClock::of(Arc::clone(&clock) as _)).unwrap());
        cache.extend(cache.now(), SystemTime::UNIX_EPOCH);
        let inner = Arc::clone(&table) as _;
        let (cache_of_repo, flights) = (Arc::clone(&cache), Flights::default());
        let repo = Arc::new(Credentials { inner, cache: cache_of_repo, flights, observer: Arc::new(Deaf) });
        Self { table, clock, cache, repo }
    }

    fn rows(&self, freshness: Freshness) -> (AgentStatus, AsOf) {
        let rows = block_on(self.repo.rows(CLIENT, Timestamp::from(self.clock.now()), freshness)).unwrap();
        (super::status(&rows.known.unwrap()), rows.as_of)
    }

    /// A change of this process, as `changes.rs` makes one.
    fn change(&self) {
        let _forgetting = self.cache.forgetting(CLIENT);
        block_on(yield_now());
        self.table.suspend();
        block_on(yield_now());
    }

    fn read(&self) -> AgentStatus {
        self.rows(Freshness::Cached).0
    }

    /// As a login whose secret the rows do not know: after an acknowledgement it sees what was
    /// acknowledged.
    fn read_anew(&self) {
        let acknowledged = self.table.state.lock().unwrap().suspended.is_some();
        let (_, served) = self.rows(Freshness::Cached);
        let (anew, _) = self.rows(Freshness::After(served));
        assert!(!acknowledged || anew == AgentStatus::Suspended, "an older read was taken");
    }

    /// Who begins to read a lease's time after the suspension, whoever made it, is not told of what was before.
    fn read_in_time(&self) {
        let begun = self.clock.instant();
        if self.read() == AgentStatus::Active {
            let suspended = self.table.state.lock().unwrap().suspended;
            assert!(suspended.is_none_or(|at| begun < at + LEASE), "served too late");
        }
    }

    /// A connection that listens, for a few turns, as `postgres/listener.rs` keeps it.
    fn listen(&self) {
        self.table.state.lock().unwrap().heard = true;
        self.cache.forget_all();
        for _ in 0..2 {
            let sent = self.cache.now();
            let told = std::mem::take(&mut self.table.state.lock().unwrap().told);
            told.into_iter().for_each(|client| self.cache.forget(client));
            self.cache.extend(sent, SystemTime::UNIX_EPOCH);
        }
        // It breaks, and this is noticed later.
        let mut state = self.table.state.lock().unwrap();
        (state.heard, state.told) = (false, Vec::new());
        drop(state);
        self.cache.end_lease();
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
            assert_eq!(scene.read(), AgentStatus::Suspended, "the readers may still be under way");
        });
        for thread in readers.into_iter().chain([writer]) {
            thread.join().unwrap();
        }
        assert_eq!(scene.read(), AgentStatus::Suspended);
        assert_eq!(scene.cache.len(), 1);
    });
}

#[test]
fn what_another_process_changes_is_served_for_no_longer_than_a_lease() {
    in_every_order(|| {
        let scene = Scene::new();
        let threads = [
            scene.start(|scene| (0..3).for_each(|_| scene.read_in_time())),
            scene.start(|scene| scene.table.suspend()),
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
        scene.cache.forget_all();
        scene.cache.extend(scene.cache.now(), SystemTime::UNIX_EPOCH);
        scene.read_in_time();
    });
}

/// Another process makes the change, and nobody tells of it.
#[test]
fn rows_read_anew_have_what_was_acknowledged_before_the_request() {
    in_every_order(|| {
        let scene = Scene::new();
        scene.read();
        let readers = [(); 3].map(|()| scene.start(|scene| scene.read_anew()));
        let writer = scene.start(|scene| scene.table.suspend());
        for thread in readers.into_iter().chain([writer]) {
            thread.join().unwrap();
        }
        scene.read_anew();
        assert_eq!(scene.repo.flights.len(), 0);
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
            let (status, as_of) = scene.rows(Freshness::Latest);
            let overtaken = *seen.lock().unwrap();
            let counts = !scene.repo.is_changed(CLIENT, as_of);
            assert!(!overtaken || !counts || status == AgentStatus::Suspended, "a token would go out");
        });
        let writer = scene.start(move |scene| {
            scene.change();
            *acknowledged.lock().unwrap() = true;
        });
        looker.join().unwrap();
        writer.join().unwrap();
    });
}
