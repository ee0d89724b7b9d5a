//! Random lives of credentials against a model: what a store says of a secret is what its rows and the clock say,
//! through moves between backends, outages and lost answers, with selectors beside the records and without.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::backends::{Bcrypt, KeyedDigest, Memory};
use agentidp_secrets::testkit::{Fault, FaultLayer, fresh_key};
use agentidp_secrets::{
    BackendId, ClientSecret, Clock, CredentialKey, CredentialSecrets, ErrorKind, Generation, MacKeys, ManualClock,
    Operation, SecretStore, SharedBackend, StoredSecret, VerifyError, stack,
};
use proptest::prelude::*;

/// Two credentials meet all that can happen between credentials.
const SLOTS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    Bcrypt,
    Keyed,
    Memory,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    /// The row loses the selector of its current record: as if it were older than the keys.
    Bare(usize),
    Issue(usize, On),
    Outage(bool),
    /// Drops the previous record.
    Retire(usize),
    Revoke(usize, On),
    /// With the grace period in seconds, and whether the answer of the in-memory backend is lost.
    Rotate(usize, On, u64, bool),
    Upgrade(usize, On),
    /// Every credential is asked for the same secret.
    Verify(Guess, On),
}

#[derive(Clone, Copy, Debug)]
enum Guess {
    Current(usize),
    Previous(usize),
    /// The secret that came out of a store so many before the latest.
    Earlier(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let on = || prop_oneof![Just(On::Bcrypt), Just(On::Keyed), Just(On::Memory)];
    let slot = 0..SLOTS;
    // In steps of ten seconds, so that a grace period often ends at the very moment of a question.
    let time = || (0..4_u64).prop_map(|tens| tens * 10);
    let guess = prop_oneof![
        slot.clone().prop_map(Guess::Current),
        slot.clone().prop_map(Guess::Previous),
        (0..6_usize).prop_map(Guess::Earlier),
    ];
    let step = prop_oneof![
        3 => time().prop_map(Step::Advance),
        1 => slot.clone().prop_map(Step::Bare),
        2 => (slot.clone(), on()).prop_map(|(slot, on)| Step::Issue(slot, on)),
        1 => any::<bool>().prop_map(Step::Outage),
        1 => slot.clone().prop_map(Step::Retire),
        1 => (slot.clone(), on()).prop_map(|(slot, on)| Step::Revoke(slot, on)),
        4 => (slot.clone(), on(), time(), prop::bool::weighted(0.2))
            .prop_map(|(slot, on, grace, lost)| Step::Rotate(slot, on, grace, lost)),
        1 => (slot, on()).prop_map(|(slot, on)| Step::Upgrade(slot, on)),
        8 => (guess, on()).prop_map(|(guess, on)| Step::Verify(guess, on)),
    ];
    prop::collection::vec(step, 1..80)
}

/// A row of the caller's, beside what the model knows of its records.
struct Row {
    key: CredentialKey,
    secrets: CredentialSecrets,
    current: Generated,
    previous: Option<(Generated, SystemTime)>,
    /// How many versions the in-memory backend has of the key.
    versions: usize,
}

/// What a record was made of: the number of its secret, its place, its version there.
#[derive(Clone, Copy)]
struct Generated {
    secret: usize,
    on: On,
    version: usize,
}

struct World {
    clock: Arc<ManualClock>,
    faults: FaultLayer,
    memory: SharedBackend,
    down: bool,
    stores: [SecretStore; 3],
    selecting: bool,
    rows: [Option<Row>; SLOTS],
    secrets: Vec<ClientSecret>,
}

impl World {
    fn new(selecting: bool) -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let faults = FaultLayer::new();
        let memory = stack(Memory::new(), &[&faults]);
        let bcrypt: SharedBackend = Arc::new(Bcrypt::builder().minimum_cost_for_tests().build().unwrap());
        let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
        let keyed: SharedBackend = Arc::new(KeyedDigest::new(keys.clone()));
        let store = |[primary, accepted @ ..]: [&SharedBackend; 3]| {
            let builder = SecretStore::builder(Arc::clone(primary)).clock(Arc::clone(&clock) as Arc<dyn Clock>);
            let builder = accepted.into_iter().fold(builder, |builder, other| builder.accepts(Arc::clone(other)));
            if selecting { builder.selector_keys(keys.clone()) } else { builder }.build().unwrap()
        };
        Self {
            stores: [
                store([&bcrypt, &keyed, &memory]),
                store([&keyed, &bcrypt, &memory]),
                store([&memory, &bcrypt, &keyed]),
            ],
            selecting,
            clock,
            faults,
            memory,
            down: false,
            rows: [const { None }; SLOTS],
            secrets: vec![ClientSecret::from("never issued")],
        }
    }

    fn store(&self, primary: On) -> SecretStore {
        self.stores[primary as usize].clone()
    }

    /// Takes note of a secret that came out of a store.
    fn learn(&mut self, secret: ClientSecret) -> usize {
        self.secrets.push(secret);
        self.secrets.len() - 1
    }

    fn set_outage(&mut self, down: bool) {
        self.down = down;
        self.faults.heal();
        if down {
            self.faults.on_everything(Fault::Fail(ErrorKind::Unavailable));
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Advance(seconds) => self.clock.advance(Duration::from_secs(seconds)),
            Step::Bare(slot) => self.rows[slot].iter_mut().for_each(|row| row.secrets.selector = None),
            Step::Issue(slot, primary) => self.issue(slot, primary).await,
            Step::Outage(down) => self.set_outage(down),
            Step::Retire(slot) => self.retire(slot),
            Step::Revoke(slot, primary) => self.revoke(slot, primary).await,
            Step::Rotate(slot, primary, grace, lost) => self.rotate(slot, primary, grace, lost).await,
            Step::Upgrade(slot, primary) => self.upgrade(slot, primary).await,
            Step::Verify(guess, primary) => self.verify(self.meant(guess), primary).await,
        }
    }

    async fn issue(&mut self, slot: usize, primary: On) {
        if self.rows[slot].is_some() {
            return;
        }
        let key = fresh_key();
        let issued = self.store(primary).issue(&key).await;
        if primary == On::Memory && self.down {
            assert_eq!(issued.unwrap_err().kind(), ErrorKind::Unavailable);
            return;
        }
        let issued = issued.unwrap();
        let current = Generated { secret: self.learn(issued.secret), on: primary, version: 1 };
        let versions = usize::from(primary == On::Memory);
        assert_eq!(issued.selector.is_some(), self.selecting);
        let secrets = CredentialSecrets { current: issued.stored, selector: issued.selector, previous: None };
        self.rows[slot] = Some(Row { key, secrets, current, previous: None, versions });
    }

    async fn rotate(&mut self, slot: usize, primary: On, grace: u64, lost: bool) {
        let store = self.store(primary);
        let Some(mut row) = self.rows[slot].take() else { return };
        let lost = lost && primary == On::Memory && !self.down;
        if lost {
            self.faults.once(Operation::Rotate, Fault::LoseAnswer);
            self.faults.once(Operation::Store, Fault::LoseAnswer);
        }
        let grace = Duration::from_secs(grace);
        let mut outcome = store.rotate(&row.key, &row.secrets, grace).await;
        self.set_outage(self.down);
        let expected = self.write_outcome(&row, primary);
        if matches!(&outcome, Err(error) if error.kind() == ErrorKind::Conflict) {
            assert_eq!(expected, Err(ErrorKind::Conflict));
            outcome = Ok(store.rotate_over(&row.key, &row.secrets, grace).await.unwrap());
        } else if outcome.is_ok() {
            assert_eq!((expected, lost), (Ok(()), false));
        }
        match outcome {
            Ok(rotated) => {
                row.previous = (!grace.is_zero()).then(|| (row.current, self.clock.now() + grace));
                row.secrets = CredentialSecrets {
                    current: rotated.stored,
                    selector: rotated.selector,
                    previous: rotated.previous,
                };
                row.wrote(self.learn(rotated.secret), primary);
            }
            // Nothing changes in the row, whatever has become of the write.
            Err(error) if lost => {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                // The answer that was lost by a move may have been the conflict with an earlier one.
                let moves = row.current.on != On::Memory;
                row.versions += usize::from(if moves { row.versions == 0 } else { expected.is_ok() });
            }
            Err(error) => assert_eq!(Err(error.kind()), expected),
        }
        self.rows[slot] = Some(row);
    }

    /// Whether a write to `primary` in place of the row's current record goes through.
    fn write_outcome(&self, row: &Row, primary: On) -> Result<(), ErrorKind> {
        match primary {
            On::Bcrypt | On::Keyed => Ok(()),
            On::Memory if self.down => Err(ErrorKind::Unavailable),
            // A move goes over whatever is there.
            On::Memory if row.current.on == On::Memory && row.versions != row.current.version => {
                Err(ErrorKind::Conflict)
            }
            On::Memory => Ok(()),
        }
    }

    async fn upgrade(&mut self, slot: usize, primary: On) {
        let store = self.store(primary);
        let Some(mut row) = self.rows[slot].take() else { return };
        let secret = self.secrets[row.current.secret].clone();
        // What cannot be proved cannot be upgraded.
        if let Ok(proof) = store.verify(&row.key, &row.secrets, &secret).await {
            let moves = row.current.on != primary;
            assert_eq!((proof.outdated, proof.generation), (moves, Generation::Current));
            // What is due is kept, and nothing is due that is there.
            assert_eq!(proof.selector.is_some(), self.selecting && row.secrets.selector.is_none());
            row.secrets.selector = row.secrets.selector.or(proof.selector);
            match store.upgrade(&row.key, &row.secrets.current, &proof, &secret).await {
                Ok(None) => assert!(!moves),
                Ok(Some(upgraded)) => {
                    assert_eq!(self.write_outcome(&row, primary), Ok(()));
                    row.secrets.current = upgraded.stored;
                    row.secrets.selector = upgraded.selector;
                    row.wrote(row.current.secret, primary);
                }
                Err(error) => assert_eq!(Err(error.kind()), self.write_outcome(&row, primary)),
            }
        }
        self.rows[slot] = Some(row);
    }

    fn retire(&mut self, slot: usize) {
        let Some(row) = &mut self.rows[slot] else { return };
        (row.previous, row.secrets.previous) = (None, None);
    }

    async fn revoke(&mut self, slot: usize, primary: On) {
        let store = self.store(primary);
        let Some(row) = self.rows[slot].take() else { return };
        let outcome = store.revoke(&row.key, &row.secrets).await;
        // Every backend with custody is asked, whichever the records are of.
        assert_eq!(outcome.is_ok(), !self.down);
        if self.down {
            self.rows[slot] = Some(row);
            return;
        }
        assert_eq!(
            self.memory.inspect(&row.key, None).await.unwrap().version(),
            0,
            "what lost answers have left ends too"
        );
        for (generated, stored) in row.records() {
            let outcome = store.verify(&row.key, &stored.into(), &self.secrets[generated.secret]).await;
            match generated.on {
                On::Bcrypt | On::Keyed => assert!(outcome.is_ok(), "dropping the row is the revocation"),
                On::Memory => assert_eq!(kind_of(outcome), Some(ErrorKind::NotFound)),
            }
        }
    }

    /// The number of the secret that is meant; the one that was never issued where there is none such.
    fn meant(&self, guess: Guess) -> usize {
        let row = |slot: usize| self.rows[slot].as_ref();
        match guess {
            Guess::Current(slot) => row(slot).map_or(0, |row| row.current.secret),
            Guess::Previous(slot) => row(slot).and_then(|row| row.previous).map_or(0, |(previous, _)| previous.secret),
            Guess::Earlier(back) => (self.secrets.len() - 1).saturating_sub(back),
        }
    }

    async fn verify(&self, guess: usize, primary: On) {
        let (store, candidate) = (self.store(primary), &self.secrets[guess]);
        let rows: Vec<&Row> = self.rows.iter().flatten().collect();
        let mut expected_of_any = Err(None);
        for (index, row) in rows.iter().enumerate() {
            let expected = self.expected(row, guess, primary);
            let found = store.verify(&row.key, &row.secrets, candidate).await;
            let found = found.map(|verified| (verified.generation, verified.outdated)).map_err(kind);
            assert_eq!(found, expected, "slot {index}, secret {guess}");
            expected_of_any = match (expected_of_any, expected) {
                (Ok(earlier), _) => Ok(earlier),
                (Err(_), Ok(verified)) => Ok((index, verified)),
                (Err(earlier), Err(later)) => Err(earlier.or(later)),
            };
        }
        let credentials: Vec<_> = rows.iter().map(|row| (row.key.clone(), row.secrets.clone())).collect();
        let found = store.verify_any(&credentials, candidate).await;
        let found = found.map(|any| (any.index, (any.verified.generation, any.verified.outdated))).map_err(kind);
        assert_eq!(found, expected_of_any, "any, secret {guess}");
    }

    /// What the row and the clock say: which generation and whether it is outdated, or the kind of error, or `None` for
    /// a mismatch.
    fn expected(&self, row: &Row, guess: usize, primary: On) -> Result<(Generation, bool), Option<ErrorKind>> {
        let previous = row.previous.filter(|(_, until)| self.clock.now() < *until).map(|(previous, _)| previous);
        let selector = (row.secrets.selector, row.secrets.previous.as_ref().and_then(|previous| previous.selector));
        let current = Some((Generation::Current, row.current, self.selecting && selector.0.is_some()));
        let previous =
            previous.map(|previous| (Generation::Previous, previous, self.selecting && selector.1.is_some()));
        // One with another selector is not asked, one whose selector fits goes first.
        let mut records: Vec<_> = current.into_iter().chain(previous).collect();
        records.retain(|(_, generated, has_selector)| !has_selector || generated.secret == guess);
        records.sort_by_key(|(_, _, has_selector)| !has_selector);
        for (generation, generated, _) in records {
            match generated {
                Generated { on: On::Memory, .. } if self.down => return Err(Some(ErrorKind::Unavailable)),
                Generated { secret, on, .. } if secret == guess => return Ok((generation, on != primary)),
                _ => {}
            }
        }
        Err(None)
    }
}

impl Row {
    /// The current record was replaced by one of `secret` on `on`.
    fn wrote(&mut self, secret: usize, on: On) {
        self.versions += usize::from(on == On::Memory);
        self.current = Generated { secret, on, version: self.versions };
    }

    fn records(&self) -> Vec<(Generated, StoredSecret)> {
        let current = (self.current, self.secrets.current.clone());
        let previous = self.previous.iter().zip(&self.secrets.previous);
        let previous = previous.map(|((generated, _), previous)| (*generated, previous.stored.clone()));
        std::iter::once(current).chain(previous).collect()
    }
}

/// The kind of error, or `None` for a mismatch.
fn kind(error: VerifyError) -> Option<ErrorKind> {
    match error {
        VerifyError::Backend(error) => {
            assert_eq!(error.backend(), Some(&BackendId::MEMORY), "digests never fail");
            Some(error.kind())
        }
        _ => None,
    }
}

fn kind_of<T>(outcome: Result<T, VerifyError>) -> Option<ErrorKind> {
    outcome.err().and_then(kind)
}

proptest! {
    // A failure prints its shortest form: that is kept as a test of its own, not as a file of seeds.
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_says_what_rows_and_clock_say(steps in steps(), selecting: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(selecting);
            for step in steps {
                world.take(step).await;
            }
        });
    }
}
