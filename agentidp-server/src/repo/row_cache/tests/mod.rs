//! What is served from memory, when, and what never is.

mod anew;
mod own_writes;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{ClientRows, Freshness, Known};
use agentidp_secrets::{Clock as _, ManualClock};
use agentidp_secrets_sqlx::replicas::LEASE;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::domain::{AgentStatus, Credential, CredentialStatus, Page, Paged, SecretColumns, Timestamp};
use crate::repo::{CredentialRepo, RepoError};

/// A database with one client, whose reads wait for a permit after they have seen the row.
struct Rows {
    row: Mutex<Arc<Known>>,
    /// Whether reads fail once they are permitted.
    outage: AtomicBool,
    reads: AtomicUsize,
    begun: Semaphore,
    permits: Semaphore,
}

const CLIENT: Uuid = Uuid::from_u128(7);

struct Bench {
    rows: Arc<Rows>,
    cache: Arc<RowCache>,
    clock: Arc<ManualClock>,
    repo: Arc<Credentials>,
}

impl Bench {
    /// With the lease just begun.
    fn new() -> Self {
        let this = Self::without_lease();
        this.permit(1000);
        this.cache.extend(this.cache.now(), SystemTime::UNIX_EPOCH);
        this
    }

    fn without_lease() -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
        let cache = Arc::new(rows(100, LeaseClock::of(Arc::clone(&clock) as _)));
        let rows = Arc::new(Rows {
            row: Mutex::new(Arc::new(row(AgentStatus::Active, &[None]))),
            outage: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            begun: Semaphore::new(0),
            permits: Semaphore::new(0),
        });
        let inner = Arc::clone(&rows) as _;
        let repo = Arc::new(Credentials { inner, cache: Arc::clone(&cache), observer: Arc::new(Deaf) });
        Self { rows, cache, clock, repo }
    }

    fn permit(&self, reads: usize) {
        self.rows.permits.add_permits(reads);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }

    async fn rows(&self, freshness: Freshness) -> ClientRows {
        self.repo.rows(CLIENT, self.now(), freshness).await.unwrap()
    }

    async fn read(&self) -> Arc<Known> {
        self.rows(Freshness::Cached).await.known.unwrap()
    }

    fn reads(&self) -> usize {
        self.rows.reads.load(Ordering::SeqCst)
    }

    /// Begins a read that has seen the row and goes no further until it is permitted.
    async fn begin_read(&self) -> JoinHandle<Result<ClientRows>> {
        let read = self.start(Freshness::Cached);
        self.rows.begun.acquire().await.unwrap().forget();
        read
    }

    fn start(&self, freshness: Freshness) -> JoinHandle<Result<ClientRows>> {
        let (repo, now) = (Arc::clone(&self.repo), self.now());
        tokio::spawn(async move { repo.rows(CLIENT, now, freshness).await })
    }

    fn suspend(&self) {
        *self.rows.row.lock().unwrap() = Arc::new(row(AgentStatus::Suspended, &[None]));
    }
}

struct Deaf;

impl QueryObserver for Deaf {
    fn observe(&self, _: &'static str, _: Duration) {}
}

#[async_trait]
impl CredentialRepo for Rows {
    async fn authenticate(&self, client_id: Uuid, _: Timestamp) -> Result<Option<Arc<Known>>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let seen = Arc::clone(&self.row.lock().unwrap());
        self.begun.add_permits(1);
        self.permits.acquire().await.unwrap().forget();
        if self.outage.load(Ordering::SeqCst) {
            return Err(RepoError::unavailable("credentials.authenticate", "gone"));
        }
        Ok((client_id == CLIENT).then_some(seen))
    }

    async fn find(&self, _: Uuid, _: Uuid) -> Result<Option<Credential>> {
        unreachable!()
    }

    async fn list(&self, _: Uuid, _: Option<CredentialStatus>, _: Page) -> Result<Paged<Credential>> {
        unreachable!()
    }
}

fn credential(expires_at: Option<Timestamp>) -> Credential {
    Credential {
        credential_id: Uuid::new_v4(),
        client_id: CLIENT,
        status: CredentialStatus::Active,
        secret: SecretColumns { secret_hash: Some("$2b$10$canary".to_owned()), ..SecretColumns::default() },
        created_at: Timestamp::parse("2026-03-28T09:00:00Z").unwrap(),
        expires_at,
        revoked_at: None,
    }
}

fn row(agent_status: AgentStatus, expiries: &[Option<Timestamp>]) -> Known {
    let rows = expiries.iter().map(|end| credential(*end).to_row().unwrap()).collect();
    Known::new(agent_status == AgentStatus::Active, rows)
}

/// Whether the client was suspended when its rows were read.
fn status(known: &Known) -> AgentStatus {
    if known.may_authenticate() { AgentStatus::Active } else { AgentStatus::Suspended }
}

#[tokio::test]
async fn a_client_is_read_once() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(bench.read().await.len(), 1);
    }
    assert_eq!(bench.reads(), 1);
}

#[tokio::test]
async fn unknown_clients_are_not_kept() {
    let bench = Bench::new();
    bench.read().await;
    for n in 100..300 {
        let rows = bench.repo.rows(Uuid::from_u128(n), bench.now(), Freshness::Cached).await.unwrap();
        assert!(rows.known.is_none() && !rows.from_memory);
    }
    assert_eq!(bench.cache.len(), 1);
    bench.read().await;
    assert_eq!(bench.reads(), 201);
}

#[tokio::test]
async fn without_a_lease_every_request_reads() {
    let bench = Bench::without_lease();
    bench.permit(1000);
    bench.read().await;
    bench.read().await;
    assert_eq!((bench.reads(), bench.cache.len()), (2, 0));
}

#[tokio::test]
async fn a_lease_ends_by_time_counted_from_when_the_question_was_sent() {
    let bench = Bench::new();
    bench.read().await;
    bench.clock.advance(LEASE - Duration::from_millis(1));
    bench.read().await;
    assert_eq!(bench.reads(), 1);
    let sent = bench.cache.now();
    bench.clock.advance(Duration::from_millis(1));
    bench.read().await;
    assert_eq!(bench.reads(), 2, "it is over");

    // The answer comes late, and is of what was true when it was asked for.
    bench.clock.advance(LEASE - Duration::from_millis(2));
    bench.cache.extend(sent, SystemTime::UNIX_EPOCH);
    bench.read().await;
    assert_eq!(bench.reads(), 2, "the connection was never lost: what is held still counts");
    bench.clock.advance(Duration::from_millis(1));
    bench.read().await;
    assert_eq!(bench.reads(), 3);

    bench.cache.extend(bench.cache.now(), SystemTime::UNIX_EPOCH);
    bench.cache.end_lease();
    bench.read().await;
    assert_eq!(bench.reads(), 4, "nor after the connection was lost");
}

#[tokio::test]
async fn what_has_expired_by_now_is_not_served() {
    let bench = Bench::new();
    let [soon, later] = [1, 2].map(|ms| bench.now().plus(Duration::from_millis(ms)));
    *bench.rows.row.lock().unwrap() = Arc::new(row(AgentStatus::Active, &[Some(soon), None, Some(later)]));
    for left in [3, 2, 1] {
        assert_eq!(bench.read().await.len(), left);
        bench.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(bench.reads(), 1);
}

#[tokio::test]
async fn a_change_is_read_anew() {
    let bench = Bench::new();
    bench.read().await;
    bench.suspend();
    bench.cache.forget(&CLIENT);
    assert_eq!(status(&*bench.read().await), AgentStatus::Suspended);
    bench.cache.forget_all();
    bench.read().await;
    assert_eq!(bench.reads(), 3);
}

/// The bound counts credentials, so that clients with many of them take no more room than others.
#[tokio::test]
async fn no_more_credentials_are_held_than_there_is_room_for() {
    let bench = Bench::new();
    for n in 0..1000 {
        let found = async || Ok(Some(Arc::new(row(AgentStatus::Active, &[None; 10]))));
        bench.cache.rows(&Uuid::from_u128(n), Freshness::Cached, |_| found()).await.unwrap();
    }
    assert!((1..=10).contains(&bench.cache.len()), "{}", bench.cache.len());
}
