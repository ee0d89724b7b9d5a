use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use super::batcher::{Batcher, ROOM};
use super::*;
use crate::domain::{AuditAction, Origin, Outcome};
use crate::repo::RepoError;

/// What becomes of a statement.
type Outcomes = Box<dyn Fn(&[AuditEvent]) -> Result<()> + Send + Sync>;

/// A trail whose writes wait for a permit, and end as is ordered.
struct Trail {
    permits: Semaphore,
    /// How many events each statement had.
    statements: Mutex<Vec<usize>>,
    written: Mutex<Vec<AuditEvent>>,
    outcome: Outcomes,
    lost: AtomicU64,
}

impl Trail {
    fn new(outcome: impl Fn(&[AuditEvent]) -> Result<()> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(0),
            statements: Mutex::default(),
            written: Mutex::default(),
            outcome: Box::new(outcome),
            lost: AtomicU64::new(0),
        })
    }

    fn open(&self) {
        self.permits.add_permits(1_000_000);
    }

    fn statements(&self) -> Vec<usize> {
        self.statements.lock().unwrap().clone()
    }

    fn written(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    fn batcher(self: &Arc<Self>, mode: AuditMode) -> Arc<Batcher> {
        Arc::new(Batcher::new(Arc::clone(self) as _, mode, Arc::clone(self) as _))
    }
}

#[async_trait]
impl AuditRepo for Trail {
    async fn append(&self, _: &AuditEvent) -> Result<()> {
        unreachable!("events are appended together")
    }

    async fn append_all(&self, events: &[AuditEvent]) -> Result<()> {
        self.permits.acquire().await.unwrap().forget();
        self.statements.lock().unwrap().push(events.len());
        (self.outcome)(events)?;
        self.written.lock().unwrap().extend_from_slice(events);
        Ok(())
    }

    async fn pretend(&self) -> Result<()> {
        self.append_all(&[]).await
    }

    async fn find(&self, _: Uuid, _: Timestamp) -> Result<Option<AuditEvent>> {
        unreachable!()
    }

    async fn list(&self, _: &AuditFilter, _: Page) -> Result<Paged<AuditEvent>> {
        unreachable!()
    }

    async fn prune(&self, _: Timestamp) -> Result<u64> {
        unreachable!()
    }
}

impl QueryObserver for Trail {
    fn observe(&self, _: &'static str, _: Duration) {}

    fn audit_events_lost(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::SeqCst);
    }
}

fn event(agent: &str) -> AuditEvent {
    let origin = Origin { ip_address: Ipv4Addr::LOCALHOST.into(), user_agent: agent.to_owned() };
    let at = Timestamp::parse("2026-03-28T09:00:00Z").unwrap();
    AuditEvent::new(AuditAction::TokenIssued, Outcome::Success, None, &origin, json!({}), at)
}

fn outage() -> RepoError {
    RepoError::unavailable("audit.append", "gone")
}

/// Hands over so many events at once, and lets them come as far as they can.
async fn hand_over(batcher: &Arc<Batcher>, events: usize) -> JoinSet<Result<()>> {
    let mut waiting = JoinSet::new();
    for _ in 0..events {
        let batcher = Arc::clone(batcher);
        waiting.spawn(async move { batcher.record(&event("good")).await });
    }
    settle().await;
    waiting
}

/// On one thread: lets every other task run until it waits.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn what_gathers_while_a_batch_is_written_is_the_next_batch() {
    let trail = Trail::new(|_| Ok(()));
    let batcher = trail.batcher(AuditMode::Sync);
    let first = hand_over(&batcher, 1).await;
    let mut rest = hand_over(&batcher, 600).await;
    assert!(rest.try_join_next().is_none(), "nobody is answered before the commit");
    trail.permits.add_permits(1);
    assert!(first.join_all().await[0].is_ok());
    assert!(rest.try_join_next().is_none(), "the commit of others is not theirs");
    trail.open();
    assert!(rest.join_all().await.iter().all(Result::is_ok));
    assert_eq!(trail.statements(), [1, 256, 256, 88]);

    hand_over(&batcher, 1).await.join_all().await;
    assert_eq!((trail.statements().len(), trail.written()), (5, 602), "the task comes back");
}

#[tokio::test]
async fn what_is_not_recorded_waits_for_a_commit_as_what_is() {
    let trail = Trail::new(|_| Ok(()));
    let batcher = trail.batcher(AuditMode::Sync);
    let pretend = || {
        let batcher = Arc::clone(&batcher);
        tokio::spawn(async move { batcher.pretend().await })
    };
    let alone = pretend();
    settle().await;
    let (beside, event) = (pretend(), hand_over(&batcher, 1).await);
    assert!(!alone.is_finished() && !beside.is_finished());
    trail.permits.add_permits(1);
    assert!(alone.await.unwrap().is_ok());
    assert!(!beside.is_finished(), "the commit of others is not its");
    trail.open();
    assert!(beside.await.unwrap().is_ok() && event.join_all().await[0].is_ok());
    assert_eq!((trail.statements(), trail.written()), (vec![0, 1], 1), "one write of nothing, and one for both");
}

#[tokio::test]
async fn one_bad_event_refuses_no_other() {
    let trail = Trail::new(|events| {
        let bad = events.iter().any(|event| event.user_agent == "bad");
        let refused = || RepoError::Refused { during: "audit.append", source: "no".into() };
        if bad { Err(refused()) } else { Ok(()) }
    });
    let batcher = trail.batcher(AuditMode::Sync);
    let first = hand_over(&batcher, 1).await;
    let good = hand_over(&batcher, 10).await;
    let bad = tokio::spawn({
        let batcher = Arc::clone(&batcher);
        async move { batcher.record(&event("bad")).await }
    });
    settle().await;
    trail.open();
    assert!(matches!(bad.await.unwrap(), Err(RepoError::Refused { .. })));
    assert!(first.join_all().await.into_iter().chain(good.join_all().await).all(|outcome| outcome.is_ok()));
    assert_eq!(trail.statements(), [&[1, 11][..], &[1; 11]].concat());
    assert_eq!(trail.written(), 11);
    assert_eq!(trail.lost.load(Ordering::SeqCst), 0, "who waited was told");
}

#[tokio::test]
async fn in_an_outage_all_who_wait_get_the_error_at_once() {
    let trail = Trail::new(|_| Err(outage()));
    let batcher = trail.batcher(AuditMode::Sync);
    let first = hand_over(&batcher, 1).await;
    let rest = hand_over(&batcher, 20).await;
    trail.open();
    let outcomes = first.join_all().await.into_iter().chain(rest.join_all().await);
    for outcome in outcomes {
        assert!(matches!(outcome, Err(RepoError::Unavailable { .. })), "{outcome:?}");
    }
    assert_eq!(trail.statements(), [1, 20], "not one by one");
}

#[tokio::test]
async fn a_panic_of_the_driver_leaves_nobody_waiting() {
    let trail = Trail::new(|_| panic!("as ordered"));
    let batcher = trail.batcher(AuditMode::Sync);
    trail.open();
    for _ in 0..2 {
        let outcomes = hand_over(&batcher, 3).await.join_all().await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(RepoError::Unavailable { .. }))), "{outcomes:?}");
    }
}

#[tokio::test]
async fn the_event_of_a_caller_who_went_away_is_written() {
    let trail = Trail::new(|_| Ok(()));
    let batcher = trail.batcher(AuditMode::Sync);
    let mut gone = hand_over(&batcher, 5).await;
    gone.shutdown().await;
    let stays = hand_over(&batcher, 1).await;
    trail.open();
    assert!(stays.join_all().await[0].is_ok());
    assert_eq!(trail.written(), 6);
}

#[tokio::test]
async fn a_full_queue_makes_wait_and_drops_nothing() {
    for mode in [AuditMode::Sync, AuditMode::Async] {
        let trail = Trail::new(|_| Ok(()));
        let batcher = trail.batcher(mode);
        let full = hand_over(&batcher, ROOM).await;
        let mut beyond = hand_over(&batcher, 3).await;
        assert!(beyond.try_join_next().is_none(), "{mode:?}");
        trail.open();
        assert_eq!(full.join_all().await.len(), ROOM);
        assert!(beyond.join_all().await.iter().all(Result::is_ok));
        batcher.stop().await;
        assert_eq!(trail.written(), ROOM + 3);
    }
}

#[tokio::test]
async fn async_does_not_wait_and_a_stop_writes_what_is_left() {
    let trail = Trail::new(|_| Ok(()));
    let batcher = trail.batcher(AuditMode::Async);
    assert!(hand_over(&batcher, 700).await.join_all().await.iter().all(Result::is_ok));
    assert_eq!(trail.written(), 0);
    let stop = tokio::spawn({
        let batcher = Arc::clone(&batcher);
        async move { batcher.stop().await }
    });
    settle().await;
    assert!(!stop.is_finished());
    trail.open();
    stop.await.unwrap();
    assert_eq!((trail.written(), trail.lost.load(Ordering::SeqCst)), (700, 0));
}

#[tokio::test(start_paused = true)]
async fn async_keeps_events_through_an_outage() {
    let failures = AtomicU64::new(3);
    let gone = move || failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    let trail = Trail::new(move |_| if gone() { Err(outage()) } else { Ok(()) });
    let batcher = trail.batcher(AuditMode::Async);
    trail.open();
    hand_over(&batcher, 5).await.join_all().await;
    batcher.stop().await;
    assert_eq!((trail.written(), trail.lost.load(Ordering::SeqCst)), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_cannot_write_is_counted_and_those_who_wait_are_told() {
    for (mode, expected) in [(AuditMode::Async, 300), (AuditMode::Sync, 0)] {
        // It hangs: no permit is ever given.
        let trail = Trail::new(|_| Ok(()));
        let batcher = trail.batcher(mode);
        let waiting = hand_over(&batcher, 300).await;
        batcher.stop().await;
        assert_eq!(trail.lost.load(Ordering::SeqCst), expected, "{mode:?}");
        let told = waiting.join_all().await.iter().filter(|outcome| outcome.is_err()).count() as u64;
        assert_eq!(told, 300 - expected);
        assert_eq!(batcher.record(&event("late")).await.is_err(), mode == AuditMode::Sync);
    }
}

/// An event that nobody waits for and the database refuses is lost, and counted.
#[tokio::test]
async fn a_refusal_in_async_mode_is_counted() {
    let trail = Trail::new(|_| Err(RepoError::Refused { during: "audit.append", source: "no".into() }));
    let batcher = trail.batcher(AuditMode::Async);
    trail.open();
    hand_over(&batcher, 4).await.join_all().await;
    batcher.stop().await;
    assert_eq!(trail.lost.load(Ordering::SeqCst), 4);
}
