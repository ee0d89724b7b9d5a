use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join;
use tokio::task::{AbortHandle, yield_now};

use super::*;
use crate::backend::{Held, SecretBackend};
use crate::backends::{Bcrypt, Instance, Memory};
use crate::clock::{Clock, ManualClock};
use crate::error::{ErrorKind, Operation};
use crate::lifecycle::tests::{Closed, clock, quick};
use crate::lifecycle::{Decision, Flaw, MemoryLedger, Row, UpgradePolicy};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::stack;
use crate::store::{ImportedSecret, SecretStore, SecretStoreBuilder};
use crate::testkit::{Fault, FaultLayer};

const MINUTE: Duration = Duration::from_secs(60);

/// Credentials in a memory that are to move to another backend, and may meet faults at both.
struct Site {
    ledger: MemoryLedger,
    clock: Arc<ManualClock>,
    memory: Arc<Memory>,
    reading: FaultLayer,
    writing: FaultLayer,
}

impl Site {
    fn new() -> Self {
        let clock = clock();
        let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { ledger, clock, memory: Arc::default(), reading: FaultLayer::new(), writing: FaultLayer::new() }
    }

    fn life(&self, store: SecretStoreBuilder) -> Lifecycle<MemoryLedger> {
        let store = store.clock(Arc::<ManualClock>::clone(&self.clock)).build().unwrap();
        Lifecycle::new(store, self.ledger.clone(), |task| drop(tokio::spawn(task))).with_upgrades(false).with_usage()
    }

    /// Where secrets are in memory.
    fn before(&self) -> Lifecycle<MemoryLedger> {
        self.life(SecretStore::builder(Arc::clone(&self.memory)).accepts(quick()).accepts(bcrypt()))
    }

    /// What moves them to `primary`.
    fn to(&self, primary: impl SecretBackend) -> SecretStoreBuilder {
        let old = stack(Arc::clone(&self.memory), &[&self.reading]);
        SecretStore::builder(stack(primary, &[&self.writing])).accepts(old).accepts(bcrypt())
    }

    fn after(&self) -> Lifecycle<MemoryLedger> {
        self.life(self.to(quick()))
    }

    /// So many credentials in memory, and their secrets.
    async fn issued(&self, count: usize) -> Vec<ClientSecret> {
        let (life, mut secrets) = (self.before(), Vec::new());
        for number in 0..count {
            secrets.push(life.issue(&key(number), ()).await.unwrap().secret);
        }
        secrets
    }

    fn row(&self, number: usize) -> Row {
        self.ledger.entry(&key(number)).state.active().unwrap().clone()
    }

    fn backend(&self, number: usize) -> BackendId {
        self.row(number).secrets.unwrap().current.backend().clone()
    }

    async fn is_in_memory(&self, number: usize) -> bool {
        self.memory.inspect(&key(number), None).await.unwrap().secret().is_some()
    }
}

fn bcrypt() -> impl SecretBackend {
    Bcrypt::builder().minimum_cost_for_tests().build().unwrap()
}

fn key(number: usize) -> CredentialKey {
    CredentialKey::parse(&format!("client-{number:02}"), "credential").unwrap()
}

async fn works(life: &Lifecycle<MemoryLedger>, number: usize, secret: &ClientSecret) -> bool {
    matches!(life.authenticate(key(number).client_id(), secret).await.unwrap(), Decision::Proved(_))
}

/// What became of each, in the order in which it was told, and how it ended.
async fn run(mut all: BulkMove<MemoryLedger>) -> (Vec<(CredentialKey, String)>, Result<(), ErrorKind>) {
    let mut told = Vec::new();
    loop {
        match all.next().await {
            Ok(Some(moved)) => {
                let outcome = match moved.outcome {
                    MoveOutcome::Failed(error) => format!("{:?}", error.kind()),
                    outcome => format!("{outcome:?}"),
                };
                told.push((moved.reported.row.key, outcome));
            }
            Ok(None) => return (told, Ok(())),
            Err(Failure::Backend(error)) => return (told, Err(error.kind())),
            Err(failure) => panic!("{failure}"),
        }
    }
}

#[tokio::test]
async fn each_credential_gets_one_outcome_and_a_dry_run_says_which() {
    let site = Site::new();
    let (before, life) = (site.before(), site.after());
    let secrets = site.issued(7).await;
    life.rotate(&key(1), Duration::ZERO, ()).await.unwrap();
    let digest = bcrypt().store(&key(2), &secrets[2]).await.unwrap();
    site.ledger.put(Row::new(key(2), Some(digest.into()), None));
    site.ledger.put(Row::new(key(3), None, None));
    site.memory.forget(&key(4)).await.unwrap();
    let unknown = StoredSecret::new(BackendId::VAULT_KV2, "nowhere?version=1");
    site.ledger.put(Row::new(key(5), Some(unknown.into()), None));
    before.end(&key(6), ()).await.unwrap();
    let chosen = ImportedSecret::foreign(ClientSecret::from("correct horse battery staple"), 0);
    before.import(&key(7), &chosen, ()).await.unwrap();

    let expected = |first: &str| {
        let outcomes = [first, "AlreadyThere", "NeedsItsClient", "Malformed", "NotFound", "UnknownBackend"];
        let outcomes = outcomes.into_iter().zip(0..).chain([("InvalidSecret", 7)]);
        outcomes.map(|(outcome, number)| (key(number), outcome.to_owned())).collect::<Vec<_>>()
    };
    let rows: Vec<_> = (0..8).map(|number| site.ledger.entry(&key(number))).collect();
    assert_eq!(run(life.move_all().dry_run(true)).await, (expected("WouldMove"), Ok(())));
    assert_eq!((0..8).map(|number| site.ledger.entry(&key(number))).collect::<Vec<_>>(), rows);

    assert_eq!(run(life.move_all()).await, (expected("Moved"), Ok(())));
    assert_eq!((site.backend(0), site.backend(2)), (BackendId::KEYED_DIGEST, BackendId::BCRYPT));
    assert!(works(&life, 0, &secrets[0]).await && works(&life, 2, &secrets[2]).await);
    assert_eq!(run(life.move_all()).await, (expected("AlreadyThere"), Ok(())), "nothing is done twice");
    while life.round().await.forgotten > 0 {}
    assert!(!site.is_in_memory(0).await && site.is_in_memory(7).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_move_of_many_leaves_is_forgotten_without_waiting_for_the_next_look() {
    const MANY: usize = 100;
    let site = Site::new();
    site.issued(MANY).await;
    let life = site.after();
    assert_eq!(run(life.move_all()).await.0.len(), MANY);
    life.work(tokio::time::sleep(Duration::from_secs(1))).await;
    for number in 0..MANY {
        assert!(!site.is_in_memory(number).await, "{number}");
    }
}

#[tokio::test]
async fn a_previous_secret_stays_until_its_overlap_ends() {
    let site = Site::new();
    let first = site.issued(1).await.remove(0);
    let second = site.before().rotate(&key(0), MINUTE, ()).await.unwrap().secret;
    let life = site.after();
    let moved = life.move_all().next().await.unwrap().unwrap();
    assert!(matches!(moved.outcome, MoveOutcome::Moved));
    assert_eq!(moved.previous_stays(), Some((&BackendId::MEMORY, life.store().now() + MINUTE)));
    assert!(works(&life, 0, &first).await && works(&life, 0, &second).await);
    assert_eq!(life.round().await.due, 0);
    site.clock.advance(MINUTE);
    assert_eq!(life.round().await.forgotten, 1);
    assert!(!site.is_in_memory(0).await && works(&life, 0, &second).await && !works(&life, 0, &first).await);
}

/// The move has read the first secret, and is about to store it, when the second one is committed.
#[tokio::test(start_paused = true)]
async fn a_rotation_meanwhile_wins() {
    for flaw in [None, Some(Flaw::MovesOverRotations)] {
        let site = Site::new();
        let first = site.issued(1).await.remove(0);
        site.writing.once(Operation::Store, Fault::Delay(MINUTE));
        let (before, life) = (site.before(), site.after().with_flaw(flaw));
        let rotation = async {
            while site.writing.calls(Operation::Store) == 0 {
                yield_now().await;
            }
            before.rotate(&key(0), Duration::ZERO, ()).await.unwrap().secret
        };
        let (moved, second) = join(run(life.move_all()), rotation).await;
        assert_eq!(moved, (vec![(key(0), "Moved".to_owned())], Ok(())));
        assert_eq!(site.backend(0), BackendId::KEYED_DIGEST);
        assert_eq!(works(&life, 0, &second).await, flaw.is_none(), "{flaw:?}");
        assert_eq!(works(&life, 0, &first).await, flaw.is_some(), "{flaw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_ends_meanwhile_is_not_revived() {
    let site = Site::new();
    let secret = site.issued(1).await.remove(0);
    site.writing.once(Operation::Store, Fault::Delay(MINUTE));
    let (before, life) = (site.before(), site.after());
    let end = async {
        while site.writing.calls(Operation::Store) == 0 {
            yield_now().await;
        }
        before.end(&key(0), ()).await.unwrap();
    };
    let (moved, ()) = join(run(life.move_all()), end).await;
    assert_eq!(moved, (vec![(key(0), "ChangedMeanwhile".to_owned())], Ok(())));
    assert!(!works(&life, 0, &secret).await);
}

#[tokio::test]
async fn an_outage_stops_it_after_what_was_done_is_told() {
    for (at, operation) in [("old", Operation::Reveal), ("new", Operation::Store)] {
        let site = Site::new();
        let secrets = site.issued(6).await;
        let faults = if at == "old" { &site.reading } else { &site.writing };
        for _ in 0..2 {
            faults.once(operation, Fault::Delay(Duration::ZERO));
        }
        faults.once(operation, Fault::Fail(ErrorKind::NotFound));
        faults.always(operation, Fault::Fail(ErrorKind::Unavailable));
        let life = site.after();
        let (told, ended) = run(life.move_all().at_once(2)).await;
        assert_eq!(ended, Err(ErrorKind::Unavailable), "{at}");
        let count = |of: &str| told.iter().filter(|(_, outcome)| outcome == of).count();
        assert_eq!((count("Moved"), count("NotFound"), told.len()), (2, 1, 3), "{at}: one broken row stops nothing");

        faults.heal();
        let (told, ended) = run(life.move_all()).await;
        assert_eq!((told.len(), ended), (6, Ok(())));
        assert_eq!(told.iter().filter(|(_, outcome)| outcome == "AlreadyThere").count(), 2, "{at}");
        for (number, secret) in secrets.iter().enumerate() {
            assert!(works(&life, number, secret).await);
        }
    }
}

/// Killed before a secret is read, while it is written, and when it is.
#[tokio::test]
async fn a_move_that_was_killed_is_finished_by_the_next() {
    let stages = [(Operation::Reveal, false), (Operation::Store, false), (Operation::Store, true)];
    for (stage, is_written) in stages {
        let site = Site::new();
        let (secret, eu) = (site.issued(1).await.remove(0), Arc::new(Memory::new()));
        let to_eu = || site.to(Instance::new("eu", Arc::clone(&eu)).unwrap());
        let (running, tasks) = (to_eu(), Arc::new(Mutex::new(Vec::<AbortHandle>::new())));
        let running = running.clock(Arc::<ManualClock>::clone(&site.clock)).build().unwrap();
        let killed = Lifecycle::new(running, site.ledger.clone(), {
            let tasks = Arc::clone(&tasks);
            move |task| tasks.lock().unwrap().push(tokio::spawn(task).abort_handle())
        });
        let faults = if stage == Operation::Store { &site.writing } else { &site.reading };
        faults.always(stage, Fault::Hang);
        let mut all = killed.move_all();
        let kill = async {
            while faults.calls(stage) == 0 {
                yield_now().await;
            }
            tasks.lock().unwrap().iter().for_each(AbortHandle::abort);
        };
        let (ended, ()) = join(all.next(), kill).await;
        assert!(ended.is_err(), "its tasks are gone");
        if is_written {
            eu.store(&key(0), &secret).await.unwrap();
        }

        faults.heal();
        let life = site.life(to_eu());
        if stage == Operation::Store {
            let (told, ended) = run(life.move_all()).await;
            assert_eq!((&*told[0].1, ended), ("ChangedMeanwhile", Ok(())), "its open write may still be carried out");
            site.clock.advance(MINUTE);
        }
        assert!(works(&life, 0, &secret).await);
        assert_eq!(run(life.move_all()).await, (vec![(key(0), "Moved".to_owned())], Ok(())));
        assert!(works(&life, 0, &secret).await);
        while life.round().await.forgotten > 0 {}
        assert!(!site.is_in_memory(0).await);
        assert!(matches!(eu.inspect(&key(0), None).await.unwrap(), Held::Version { secret: Some(_), .. }));
        assert!(site.ledger.entry(&key(0)).note.is_none_or(|note| note.open.is_none()));
    }
}

#[tokio::test]
async fn several_move_at_a_time_and_one_client_alone() {
    let site = Site::new();
    let secrets = site.issued(40).await;
    let life = site.after();
    let one = key(7).client_id().clone();
    assert_eq!(run(life.move_all().of_client(one)).await, (vec![(key(7), "Moved".to_owned())], Ok(())));
    let (mut told, ended) = run(life.move_all().at_once(8)).await;
    told.sort();
    assert_eq!((told.len(), ended), (40, Ok(())));
    for (number, secret) in secrets.iter().enumerate() {
        let expected = if number == 7 { "AlreadyThere" } else { "Moved" };
        assert_eq!(told[number], (key(number), expected.to_owned()));
        assert!(works(&life, number, secret).await);
    }
}

/// A caller that drops `next` loses nothing.
#[tokio::test(start_paused = true)]
async fn a_move_that_was_begun_is_told_by_the_next_call() {
    let site = Site::new();
    site.issued(1).await;
    site.reading.once(Operation::Reveal, Fault::Delay(MINUTE));
    let life = site.after();
    let mut all = life.move_all();
    {
        let mut next = std::pin::pin!(all.next());
        let begun = async {
            while site.reading.calls(Operation::Reveal) == 0 {
                yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = begun => {}
            told = &mut next => panic!("{told:?}"),
        }
    }
    let moved = all.next().await.unwrap().unwrap();
    assert!(matches!(moved.outcome, MoveOutcome::Moved));
    assert!(all.next().await.unwrap().is_none());
}

#[cfg(feature = "sealed")]
#[tokio::test]
async fn a_sealed_secret_moves_to_a_backend_and_back() {
    use crate::backend::SharedBackend;
    use crate::backends::Sealed;
    use crate::keys::MacKeys;

    let site = Site::new();
    let sealed: SharedBackend =
        Arc::new(Sealed::new(MacKeys::parse(&format!("k1:{}", "0f".repeat(31) + "00")).unwrap()));
    let memory = || Arc::clone(&site.memory);
    let sealing = site.life(SecretStore::builder(Arc::clone(&sealed)).accepts(memory()));
    let opening = site.life(SecretStore::builder(memory()).accepts(Arc::clone(&sealed)));
    let secret = sealing.issue(&key(0), ()).await.unwrap().secret;
    for life in [&opening, &sealing, &opening] {
        assert_eq!(run(life.move_all()).await, (vec![(key(0), "Moved".to_owned())], Ok(())));
        assert!(works(life, 0, &secret).await);
        while life.round().await.forgotten > 0 {}
        assert_eq!(site.is_in_memory(0).await, life.store().primary().id == BackendId::MEMORY);
    }
}

#[tokio::test]
async fn what_the_policy_excepts_stays() {
    let site = Site::new();
    site.issued(2).await;
    let life = site.after().with_upgrades(UpgradePolicy::none().except(|client| *client == *key(1).client_id()));
    let (told, end) = run(life.move_all()).await;
    assert_eq!(end, Ok(()));
    assert_eq!(told, [(key(0), "Moved".to_owned()), (key(1), "Excepted".to_owned())]);
    assert!(site.is_in_memory(1).await);
}

/// A database that was cloned or restored would write over another's secrets.
#[tokio::test]
async fn in_doubt_nothing_moves_to_places_of_another_database() {
    let site = Site::new();
    site.issued(1).await;
    let other = Instance::new("eu", Memory::new()).unwrap();
    let life = site.life(site.to(other)).with_gate(Closed);
    for dry_run in [true, false] {
        let (told, end) = run(life.move_all().dry_run(dry_run)).await;
        assert_eq!((told.len(), end), (0, Err(ErrorKind::Unavailable)));
    }
    assert!(site.is_in_memory(0).await);
}
