//! The order of layers: what the documented order gives, and what each page of a layer says of another order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentidp_secrets::backends::Memory;
use agentidp_secrets::layers::{
    BreakerLayer, Event, LimitLayer, ObserveLayer, Observer, Outcome, RetryLayer, TimeoutLayer, WarmLayer,
};
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{
    ClientSecret, CredentialKey, ErrorKind, Layer, Operation, SecretBackend, SharedBackend, Verdict, stack,
};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Journal(Mutex<Vec<Outcome>>);

impl Observer for Journal {
    fn record(&self, event: &Event) {
        self.0.lock().unwrap().push(event.outcome);
    }
}

impl Journal {
    fn layer(self: &Arc<Self>) -> ObserveLayer {
        ObserveLayer::new(Arc::clone(self) as Arc<dyn Observer>)
    }

    fn take(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Three attempts with a pause of exactly one second between them.
fn retry() -> RetryLayer {
    RetryLayer::new(3).pauses(PAUSE, PAUSE).random(|| u64::MAX)
}

fn faulty(layers: &[&dyn Layer]) -> (FaultLayer, SharedBackend) {
    let faults = FaultLayer::new();
    let backend = stack(stack(Memory::new(), &[&faults]), layers);
    (faults, backend)
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_every_attempt() {
    for (layers, expected) in [
        ([&retry() as &dyn Layer, &TimeoutLayer::new(DEADLINE)], DEADLINE),
        ([&TimeoutLayer::new(DEADLINE), &retry()], DEADLINE * 3 + PAUSE * 2),
    ] {
        let (faults, backend) = faulty(&layers);
        faults.always(Operation::Probe, Fault::Hang);
        let started = Instant::now();
        assert_eq!(backend.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(started.elapsed(), expected, "{layers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_no_permit() {
    for (layers, waited) in
        [([&LimitLayer::new(1) as &dyn Layer, &retry()], Duration::ZERO), ([&retry(), &LimitLayer::new(1)], PAUSE)]
    {
        let (faults, backend) = faulty(&layers);
        faults.once(Operation::Probe, Fault::Fail(ErrorKind::Unavailable));
        let second = async {
            let started = Instant::now();
            backend.probe().await.unwrap();
            started.elapsed()
        };
        let (first, elapsed) = tokio::join!(backend.probe(), second);
        first.unwrap();
        assert_eq!(elapsed, waited, "{layers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_permit_has_a_deadline() {
    let long = DEADLINE * 100;
    for (layers, waited) in [
        ([&LimitLayer::new(1) as &dyn Layer, &TimeoutLayer::new(DEADLINE)], DEADLINE),
        ([&TimeoutLayer::new(long), &LimitLayer::new(1)], long),
    ] {
        let (faults, backend) = faulty(&layers);
        faults.once(Operation::Probe, Fault::Hang);
        let second = async {
            let started = Instant::now();
            let outcome = backend.probe().await;
            (outcome.is_err(), started.elapsed())
        };
        let (first, (failed, elapsed)) = tokio::join!(backend.probe(), second);
        assert!(first.is_err());
        assert_eq!((failed, elapsed), (waited == DEADLINE, waited), "{layers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_sees_what_callers_see() {
    let (retry, timeout, journal) = (retry(), TimeoutLayer::new(DEADLINE), Arc::<Journal>::default());
    let observe = journal.layer();

    let (faults, outermost) = faulty(&[&retry, &timeout, &observe]);
    faults.once(Operation::Probe, Fault::Fail(ErrorKind::Unavailable));
    outermost.probe().await.unwrap();
    assert_eq!(journal.take(), [Outcome::Done]);
    faults.always(Operation::Probe, Fault::Hang);
    outermost.probe().await.unwrap_err();
    assert_eq!(journal.take(), [Outcome::Failed(ErrorKind::Unavailable)]);

    let (faults, innermost) = faulty(&[&observe, &retry, &timeout]);
    faults.once(Operation::Probe, Fault::Fail(ErrorKind::Unavailable));
    innermost.probe().await.unwrap();
    assert_eq!(journal.take(), [Outcome::Failed(ErrorKind::Unavailable), Outcome::Done]);
    faults.always(Operation::Probe, Fault::Hang);
    innermost.probe().await.unwrap_err();
    assert_eq!(journal.take(), [Outcome::Cancelled]);
}

#[tokio::test(start_paused = true)]
async fn a_shed_call_is_not_repeated() {
    let (faults, backend) = faulty(&[&LimitLayer::new(1).shed(), &retry()]);
    faults.once(Operation::Probe, Fault::Delay(PAUSE));
    let second = async {
        let started = Instant::now();
        (backend.probe().await.unwrap_err().kind(), started.elapsed())
    };
    let (first, shed) = tokio::join!(backend.probe(), second);
    first.unwrap();
    assert_eq!(shed, (ErrorKind::Throttled, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_is_warm_waits_for_nothing() {
    let key = CredentialKey::parse("client", "credential").unwrap();
    let (limit, timeout) = (LimitLayer::new(1), TimeoutLayer::new(DEADLINE));
    let warm = WarmLayer::builder().build().unwrap();
    for (layers, waited) in
        [([&limit as &dyn Layer, &timeout, &warm], Duration::ZERO), ([&warm, &limit, &timeout], DEADLINE)]
    {
        let (faults, backend) = faulty(&layers);
        let secret = ClientSecret::from("right");
        let stored = backend.store(&key, &secret).await.unwrap();
        let proof = backend.verify(&key, &stored, &secret).await.unwrap();
        assert!(proof.is_match());
        faults.always(Operation::Probe, Fault::Hang);
        let second = async {
            let started = Instant::now();
            assert_eq!(backend.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
            started.elapsed()
        };
        let (hanging, elapsed) = tokio::join!(biased; backend.probe(), second);
        hanging.unwrap_err();
        assert_eq!(elapsed, waited, "{layers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_counts_operations_and_those_that_timed_out() {
    let (breaker, timeout) = (BreakerLayer::new(2), TimeoutLayer::new(DEADLINE));
    for (layers, after_two) in [([&timeout as &dyn Layer, &breaker], Duration::ZERO), ([&breaker, &timeout], DEADLINE)]
    {
        let (faults, backend) = faulty(&layers);
        faults.always(Operation::Probe, Fault::Hang);
        for _ in 0..2 {
            backend.probe().await.unwrap_err();
        }
        let started = Instant::now();
        assert_eq!(backend.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(started.elapsed(), after_two, "{layers:?}");
    }
    for (layers, asked) in [([&retry() as &dyn Layer, &breaker], 6), ([&breaker, &retry()], 2)] {
        let (faults, backend) = faulty(&layers);
        faults.always(Operation::Probe, Fault::Fail(ErrorKind::Unavailable));
        for _ in 0..3 {
            backend.probe().await.unwrap_err();
        }
        assert_eq!(faults.calls(Operation::Probe), asked, "{layers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_an_open_breaker_what_was_proved_before_needs_no_deadline() {
    let (key, secret) = (CredentialKey::parse("client", "credential").unwrap(), ClientSecret::from("right"));
    let warm = WarmLayer::builder().lifetime(Duration::ZERO).stale_window(DEADLINE * 100).build().unwrap();
    let (faults, backend) = faulty(&[&TimeoutLayer::new(DEADLINE), &BreakerLayer::new(1), &warm]);
    let stored = backend.store(&key, &secret).await.unwrap();
    assert_eq!(backend.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
    faults.on_everything(Fault::Hang);
    for waited in [DEADLINE, Duration::ZERO] {
        let started = Instant::now();
        assert_eq!(backend.verify(&key, &stored, &secret).await.unwrap(), Verdict::MatchStale);
        assert_eq!(started.elapsed(), waited);
    }
}

#[tokio::test]
async fn an_observer_inside_sees_what_was_cold() {
    let (outer, inner) = (Arc::<Journal>::default(), Arc::<Journal>::default());
    let warm = WarmLayer::builder().build().unwrap();
    let (_, backend) = faulty(&[&inner.layer(), &warm, &outer.layer()]);
    let (key, secret) = (CredentialKey::parse("client", "credential").unwrap(), ClientSecret::from("right"));
    let stored = backend.store(&key, &secret).await.unwrap();
    // A rotation leaves the old record valid and forgotten.
    backend.rotate(&key, &stored, &"new".into()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(backend.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
    }
    assert_eq!(inner.take(), [Outcome::Done, Outcome::Done, Outcome::Match]);
    assert_eq!(outer.take(), [Outcome::Done, Outcome::Done, Outcome::Match, Outcome::Match, Outcome::Match]);
}
