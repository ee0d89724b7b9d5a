use std::sync::Mutex;
use std::time::Duration;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::*;
use crate::backend::Custody;
use crate::clock::ManualClock;
use crate::layer::stack;
use crate::testkit::broken::BrokenBackend;
use crate::testkit::{Fault, FaultLayer, assert_error_redacted, assert_redacted, fresh_key};

const DOWN: Fault = Fault::Fail(ErrorKind::Unavailable);
const SECOND: Duration = Duration::from_secs(1);

/// A breaker that opens after three failures, over a backend whose calls fail as told.
struct Scene {
    faults: FaultLayer,
    clock: Arc<ManualClock>,
    changes: Arc<Mutex<Vec<BreakerChange>>>,
    layer: BreakerLayer,
    backend: SharedBackend,
}

impl Scene {
    fn new() -> Self {
        let (faults, clock) = (FaultLayer::new(), Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH)));
        let changes = Arc::<Mutex<Vec<_>>>::default();
        let heard = Arc::clone(&changes);
        let layer = BreakerLayer::new(3)
            .pauses(SECOND, 30 * SECOND)
            .random(|| u64::MAX)
            .clock(Arc::clone(&clock) as _)
            .on_change(move |change| heard.lock().unwrap().push(change));
        let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults, &layer]);
        Self { faults, clock, changes, layer, backend }
    }

    async fn opened() -> Self {
        let scene = Self::new();
        scene.fail(3).await;
        assert_eq!(scene.changes(), [BreakerChange::Opened(SECOND)]);
        scene
    }

    /// So many probes in a row that fail.
    async fn fail(&self, times: usize) {
        for _ in 0..times {
            self.faults.once(Operation::Probe, DOWN);
            assert_eq!(self.backend.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        }
    }

    /// Whether a probe gets as far as the backend.
    async fn asks(&self) -> bool {
        let before = self.faults.calls(Operation::Probe);
        let _ = self.backend.probe().await;
        self.faults.calls(Operation::Probe) > before
    }

    fn changes(&self) -> Vec<BreakerChange> {
        std::mem::take(&mut self.changes.lock().unwrap())
    }
}

#[tokio::test]
async fn failures_in_a_row_open_it_and_an_answer_between_them_starts_the_count_again() {
    let scene = Scene::new();
    scene.fail(2).await;
    scene.backend.probe().await.unwrap();
    scene.fail(2).await;
    assert!(scene.asks().await, "two and two are not three in a row");
    scene.fail(3).await;
    assert_eq!(scene.changes(), [BreakerChange::Opened(SECOND)]);
    assert!(!scene.asks().await);
}

#[tokio::test]
async fn every_operation_counts_and_every_operation_is_refused() {
    use Operation::{Pin, Probe, Reveal, Revoke, Rotate, Store, Verify};
    for operation in [Store, Verify, Pin, Reveal, Rotate, Revoke, Probe] {
        let Scene { faults, backend, .. } = Scene::new();
        let (key, secret) = (fresh_key(), ClientSecret::from("secret"));
        let stored = backend.store(&key, &secret).await.unwrap();
        let call = async || match operation {
            Store => backend.store(&key, &secret).await.map(drop),
            Verify => backend.verify(&key, &stored, &secret).await.map(|_| ()),
            Pin => backend.pin(&key, &stored).await.map(drop),
            Reveal => backend.reveal(&key, &stored).await.map(drop),
            Rotate => backend.rotate(&key, &stored, &secret).await.map(drop),
            Revoke => backend.revoke(&key, &stored).await,
            Probe => backend.probe().await,
        };
        faults.always(operation, DOWN);
        for _ in 0..3 {
            call().await.unwrap_err();
        }
        let asked = faults.calls(operation);
        let error = call().await.unwrap_err();
        assert_eq!(faults.calls(operation), asked, "{operation}");
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, Some(operation)));
        assert_eq!(error.backend(), Some(&backend.info().id));
    }
}

#[tokio::test]
async fn a_refusal_says_for_how_long_still() {
    let scene = Scene::opened().await;
    scene.clock.advance(Duration::from_millis(300));
    let text = scene.backend.probe().await.unwrap_err().to_string();
    assert!(text.contains("open for 700 ms still"), "{text}");
    scene.clock.advance(SECOND);
    scene.faults.once(Operation::Probe, Fault::Hang);
    let mut trying = scene.backend.probe();
    assert!((&mut trying).now_or_never().is_none());
    let text = scene.backend.probe().await.unwrap_err().to_string();
    assert!(text.contains("open until the call that tries it now is answered"), "{text}");
}

#[tokio::test]
async fn failed_tries_double_the_pause_up_to_the_longest_and_an_answer_closes_it() {
    let scene = Scene::opened().await;
    for seconds in [2, 4, 8, 16, 30, 30] {
        let pause = Duration::from_secs(seconds);
        scene.clock.advance(pause);
        scene.fail(1).await;
        assert_eq!(scene.changes(), [BreakerChange::StillOpen(pause)]);
        scene.clock.advance(pause - Duration::from_millis(1));
        assert!(!scene.asks().await, "{pause:?}");
        scene.clock.advance(Duration::from_millis(1));
    }
    scene.backend.probe().await.unwrap();
    assert_eq!(scene.changes(), [BreakerChange::Closed]);
    scene.fail(3).await;
    assert_eq!(scene.changes(), [BreakerChange::Opened(SECOND)], "the pause starts small again");
}

#[tokio::test]
async fn a_pause_is_shorter_by_chance_and_the_next_one_twice_the_whole() {
    let (faults, changes) = (FaultLayer::new(), Arc::<Mutex<Vec<_>>>::default());
    let (heard, clock) = (Arc::clone(&changes), Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH)));
    let layer = BreakerLayer::new(1)
        .clock(Arc::clone(&clock) as _)
        .random(|| 0)
        .on_change(move |change| heard.lock().unwrap().push(change));
    let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults, &layer]);
    faults.always(Operation::Probe, DOWN);
    for _ in 0..3 {
        backend.probe().await.unwrap_err();
        clock.advance(SECOND);
    }
    let [short, long] = [BreakerLayer::DEFAULT_FIRST_PAUSE / 2, BreakerLayer::DEFAULT_LONGEST_PAUSE / 2];
    let expected = [BreakerChange::Opened(short), BreakerChange::StillOpen(long), BreakerChange::StillOpen(long)];
    assert_eq!(*changes.lock().unwrap(), expected);
    // What cold credentials wait for after a new leader is this and one call.
    assert!(BreakerLayer::DEFAULT_LONGEST_PAUSE <= SECOND);
}

#[tokio::test]
async fn whatever_shows_the_backend_alive_closes_it() {
    use ErrorKind::{Conflict, Denied, InvalidConfig, NotFound};
    for kind in [Conflict, Denied, InvalidConfig, NotFound] {
        let scene = Scene::opened().await;
        scene.clock.advance(SECOND);
        scene.faults.once(Operation::Probe, Fault::Fail(kind));
        assert_eq!(scene.backend.probe().await.unwrap_err().kind(), kind);
        assert_eq!(scene.changes(), [BreakerChange::Closed], "{kind}");
    }
}

#[tokio::test]
async fn what_says_nothing_neither_counts_nor_ends_the_row_nor_closes_it() {
    use ErrorKind::{Internal, InvalidSecret, Malformed, Throttled, UnknownBackend};
    for kind in [Internal, InvalidSecret, Malformed, Throttled, UnknownBackend] {
        let scene = Scene::new();
        let says_nothing = async || {
            scene.faults.once(Operation::Probe, Fault::Fail(kind));
            assert_eq!(scene.backend.probe().await.unwrap_err().kind(), kind);
        };
        for _ in 0..9 {
            says_nothing().await;
        }
        scene.fail(2).await;
        says_nothing().await;
        assert_eq!(scene.changes(), [], "{kind}");
        scene.fail(1).await;
        assert_eq!(scene.changes(), [BreakerChange::Opened(SECOND)], "{kind}");
        scene.clock.advance(SECOND);
        says_nothing().await;
        assert_eq!(scene.changes(), [], "{kind}");
        assert!(scene.asks().await, "{kind}: the place is free for the next try");
    }
}

#[tokio::test]
async fn what_cannot_be_a_secret_tells_nothing() {
    let scene = Scene::new();
    let (key, secret, nonsense) = (fresh_key(), ClientSecret::from("secret"), ClientSecret::from(""));
    let stored = scene.backend.store(&key, &secret).await.unwrap();
    scene.fail(2).await;
    assert_eq!(scene.backend.verify(&key, &stored, &nonsense).await.unwrap(), Verdict::Mismatch);
    scene.fail(1).await;
    assert_eq!(scene.changes(), [BreakerChange::Opened(SECOND)]);
    scene.clock.advance(SECOND);
    assert_eq!(scene.backend.verify(&key, &stored, &nonsense).await.unwrap(), Verdict::Mismatch);
    assert_eq!(scene.changes(), []);
    assert_eq!(scene.backend.verify(&key, &stored, &"wrong".into()).await.unwrap(), Verdict::Mismatch);
    assert_eq!(scene.changes(), [BreakerChange::Closed]);
}

#[tokio::test]
async fn a_dropped_try_frees_its_place() {
    let scene = Scene::opened().await;
    scene.clock.advance(SECOND);
    scene.faults.once(Operation::Probe, Fault::Hang);
    {
        let mut trying = scene.backend.probe();
        assert!((&mut trying).now_or_never().is_none());
        assert!(!scene.asks().await);
    }
    scene.backend.probe().await.unwrap();
    assert_eq!(scene.changes(), [BreakerChange::Closed]);
}

#[tokio::test]
async fn what_hung_through_the_outage_does_not_open_it_again() {
    let scene = Scene::new();
    let (key, secret) = (fresh_key(), ClientSecret::from("secret"));
    let stored = scene.backend.store(&key, &secret).await.unwrap();
    let slow = stack(Gate(Arc::clone(&scene.backend)), &[&scene.layer]);
    // Begun while closed; they end as failures after it has been open and closed again.
    let mut hanging: Vec<_> = (0..3).map(|_| slow.revoke(&key, &stored)).collect();
    for call in &mut hanging {
        assert!(call.now_or_never().is_none());
    }
    for _ in 0..3 {
        slow.rotate(&key, &stored, &secret).await.unwrap_err();
    }
    assert_eq!(scene.changes(), [BreakerChange::Opened(SECOND)]);
    scene.clock.advance(SECOND);
    slow.probe().await.unwrap();
    assert_eq!(scene.changes(), [BreakerChange::Closed]);
    for call in join_all(hanging).await {
        call.unwrap_err();
    }
    assert_eq!(scene.changes(), []);
}

/// Revocations fail, but only at the second look; rotations fail at once.
#[derive(Debug)]
struct Gate(SharedBackend);

#[async_trait]
impl SecretBackend for Gate {
    fn info(&self) -> &BackendInfo {
        self.0.info()
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.0.store(key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.0.verify(key, stored, candidate).await
    }

    async fn rotate(&self, _: &CredentialKey, _: &StoredSecret, _: &ClientSecret) -> Result<StoredSecret> {
        Err(Error::new(ErrorKind::Unavailable, "down"))
    }

    async fn revoke(&self, _: &CredentialKey, _: &StoredSecret) -> Result<()> {
        tokio::task::yield_now().await;
        Err(Error::new(ErrorKind::Unavailable, "down"))
    }

    async fn probe(&self) -> Result<()> {
        self.0.probe().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_tries() {
    for _ in 0..50 {
        let scene = Scene::opened().await;
        scene.clock.advance(SECOND);
        scene.faults.always(Operation::Probe, Fault::Hang);
        let before = scene.faults.calls(Operation::Probe);
        let probe = |backend: SharedBackend| tokio::spawn(async move { backend.probe().await });
        let mut trying: Vec<_> = (0..16).map(|_| probe(Arc::clone(&scene.backend))).collect();
        let mut refused = 0;
        while refused < 15 {
            let (outcome, _, rest) = futures_util::future::select_all(trying).await;
            assert_eq!(outcome.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
            (refused, trying) = (refused + 1, rest);
        }
        assert_eq!(scene.faults.calls(Operation::Probe), before + 1);
        trying[0].abort();
    }
}

#[tokio::test]
async fn each_backend_has_its_own_and_zero_failures_count_as_one() {
    let (faults, layer) = (FaultLayer::new(), BreakerLayer::new(0));
    let broken = stack(BrokenBackend::sound(Custody::Backend), &[&faults, &layer]);
    let sound = stack(BrokenBackend::sound(Custody::Backend), &[&layer]);
    faults.once(Operation::Probe, DOWN);
    broken.probe().await.unwrap_err();
    sound.probe().await.unwrap();
    assert!(broken.probe().await.unwrap_err().to_string().contains("breaker is open"));
}

#[tokio::test]
async fn nothing_shows_what_it_passes_on() {
    let scene = Scene::new();
    let (key, canary) = (fresh_key(), ClientSecret::from("canary-secret"));
    let stored = scene.backend.store(&key, &canary).await.unwrap();
    scene.fail(3).await;
    let error = scene.backend.verify(&key, &stored, &canary).await.unwrap_err();
    for hidden in ["canary-secret", stored.payload()] {
        assert_error_redacted(&error, hidden);
        assert_redacted(&scene.layer, hidden);
        // The scene's backend keeps secrets in the open, so its own text is not what is looked at.
        assert_redacted(&scene.layer.layer(Arc::new(crate::backends::Memory::new())), hidden);
    }
}
