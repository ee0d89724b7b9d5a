use std::sync::Mutex;
use std::time::SystemTime;

use futures_util::FutureExt;

use super::*;
use crate::backend::Custody;
use crate::clock::ManualClock;
use crate::layer::stack;
use crate::layers::WarmLayer;
use crate::testkit::broken::BrokenBackend;
use crate::testkit::{Fault, FaultLayer};

#[derive(Debug, Default)]
struct Journal(Mutex<Vec<Event>>);

impl Observer for Journal {
    fn record(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Journal {
    fn take(&self) -> Vec<(Operation, Outcome)> {
        self.0.lock().unwrap().drain(..).map(|event| (event.operation, event.outcome)).collect()
    }
}

fn observed() -> (Arc<Journal>, Arc<ManualClock>, FaultLayer, SharedBackend) {
    let (journal, faults) = (Arc::<Journal>::default(), FaultLayer::new());
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
    let layer = ObserveLayer::new(Arc::clone(&journal) as Arc<dyn Observer>).clock(Arc::clone(&clock) as _);
    let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults, &layer]);
    (journal, clock, faults, backend)
}

#[tokio::test]
async fn every_operation_is_reported_once_with_its_outcome() {
    let (journal, _, faults, backend) = observed();
    let key = CredentialKey::parse("a", "c").unwrap();
    let (secret, wrong) = (ClientSecret::from("right"), ClientSecret::from("wrong"));
    let stored = backend.store(&key, &secret).await.unwrap();
    let _ = backend.verify(&key, &stored, &secret).await.unwrap();
    let _ = backend.verify(&key, &stored, &wrong).await.unwrap();
    faults.once(Operation::Verify, Fault::Fail(ErrorKind::Unavailable));
    backend.verify(&key, &stored, &secret).await.unwrap_err();
    backend.rotate(&key, &stored, &wrong).await.unwrap();
    backend.revoke(&key, &stored).await.unwrap();
    backend.probe().await.unwrap();
    assert_eq!(
        journal.take(),
        [
            (Operation::Store, Outcome::Done),
            (Operation::Verify, Outcome::Match),
            (Operation::Verify, Outcome::Mismatch),
            (Operation::Verify, Outcome::Failed(ErrorKind::Unavailable)),
            (Operation::Rotate, Outcome::Done),
            (Operation::Revoke, Outcome::Done),
            (Operation::Probe, Outcome::Done),
        ]
    );
}

#[tokio::test]
async fn what_is_recalled_is_reported_as_a_verification() {
    let (journal, warm) = (Arc::<Journal>::default(), WarmLayer::builder().build().unwrap());
    let layer = ObserveLayer::new(Arc::clone(&journal) as Arc<dyn Observer>);
    let backend = stack(BrokenBackend::sound(Custody::Record), &[&warm, &layer]);
    let key = CredentialKey::parse("a", "c").unwrap();
    let stored = backend.store(&key, &"right".into()).await.unwrap();
    journal.take();
    assert_eq!(backend.recall(&key, &stored, &"right".into()), Some(Verdict::Match));
    assert_eq!(backend.recall(&key, &StoredSecret::new(BackendId::MEMORY, "other"), &"right".into()), None);
    assert_eq!(journal.take(), [(Operation::Verify, Outcome::Match)]);
}

#[tokio::test]
async fn a_dropped_call_is_reported_as_cancelled_with_its_time() {
    let (journal, clock, faults, backend) = observed();
    faults.once(Operation::Probe, Fault::Hang);
    let mut call = backend.probe();
    assert!((&mut call).now_or_never().is_none());
    clock.advance(Duration::from_secs(7));
    drop(call);
    let event = journal.0.lock().unwrap().pop().unwrap();
    assert_eq!((event.outcome, event.elapsed), (Outcome::Cancelled, Duration::from_secs(7)));
    assert_eq!(event.backend, backend.info().id);
}

#[test]
fn outcomes_are_words_for_labels() {
    assert_eq!(Outcome::Done.to_string(), "ok");
    assert_eq!(Outcome::Failed(ErrorKind::NotFound).to_string(), "not_found");
    assert_eq!(Outcome::from(Verdict::MatchOutdated).to_string(), "match_outdated");
    assert_eq!(Outcome::from(Verdict::MatchStale).to_string(), "match_stale");
}
