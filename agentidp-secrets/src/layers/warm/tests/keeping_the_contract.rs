//! The layer against the bare backend.

use proptest::prelude::*;

use super::*;

crate::conformance!(around_record, around(Custody::Record));
crate::conformance!(around_backend, around(Custody::Backend));

fn around(custody: Custody) -> BackendHarness {
    let layer = WarmLayer::builder().build().unwrap();
    let unreachable = stack(BrokenBackend::sound(custody).unreachable(), &[&layer]);
    BackendHarness::new(stack(BrokenBackend::sound(custody), &[&layer])).with_unreachable(unreachable)
}

#[derive(Clone, Debug)]
enum Step {
    Verify { record: usize, candidate: usize },
    Rotate { record: usize, secret: usize },
    Revoke { record: usize },
    Store { secret: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0_usize..4;
    prop_oneof![
        6 => (number.clone(), number.clone()).prop_map(|(record, candidate)| Step::Verify { record, candidate }),
        2 => (number.clone(), number.clone()).prop_map(|(record, secret)| Step::Rotate { record, secret }),
        1 => number.clone().prop_map(|record| Step::Revoke { record }),
        1 => number.prop_map(|secret| Step::Store { secret }),
        1 => (1_u64..100).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A backend and the records that it gave, newest first.
struct Side {
    backend: SharedBackend,
    records: Vec<StoredSecret>,
}

impl Side {
    /// What came of the step, without what differs by chance, such as the salt of a digest.
    async fn take(&mut self, step: &Step) -> Option<Result<Option<Verdict>, ErrorKind>> {
        let key = key("client", "credential");
        let secret = |number: usize| ClientSecret::from(format!("secret-{number}"));
        let outcome = match *step {
            Step::Verify { record, candidate } => {
                let record = self.records.get(record)?;
                self.backend.verify(&key, record, &secret(candidate)).await.map(Some)
            }
            Step::Rotate { record, secret: new } => {
                let rotated = self.backend.rotate(&key, self.records.get(record)?, &secret(new)).await;
                rotated.map(|record| self.records.insert(0, record)).map(|()| None)
            }
            Step::Revoke { record } => self.backend.revoke(&key, self.records.get(record)?).await.map(|()| None),
            Step::Store { secret: new } => {
                let stored = self.backend.store(&key, &secret(new)).await;
                stored.map(|record| self.records.insert(0, record)).map(|()| None)
            }
            Step::Wait { .. } => return None,
        };
        Some(outcome.map_err(|error| error.kind()))
    }
}

proptest! {
    #[test]
    fn no_sequence_of_calls_tells_it_from_the_bare_backend(
        backend_has_custody: bool,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let custody = if backend_has_custody { Custody::Backend } else { Custody::Record };
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let layer = WarmLayer::builder().capacity(3).clock(Arc::clone(&clock) as _).build().unwrap();
        let mut bare = Side { backend: Arc::new(BrokenBackend::sound(custody)), records: Vec::new() };
        let mut warm = Side { backend: stack(BrokenBackend::sound(custody), &[&layer]), records: Vec::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for step in steps {
                if let Step::Wait { seconds } = step {
                    clock.advance(Duration::from_secs(seconds));
                }
                assert_eq!(warm.take(&step).await, bare.take(&step).await, "{step:?}");
            }
        });
    }
}
