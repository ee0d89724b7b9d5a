//! Which records a login puts into today's form, and how fast.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::backend::SharedBackend;
use crate::backends::Memory;
use crate::clock::{Clock, ManualClock};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation};
use crate::layer::stack;
use crate::lifecycle::tests::{clock, quick};
use crate::lifecycle::{Decision, Event, Gate, Lifecycle, MemoryLedger, Task, UpgradePolicy};
use crate::record::BackendId;
use crate::secret::ClientSecret;
use crate::store::SecretStore;
use crate::testkit::{Fault, FaultLayer};

const SECOND: Duration = Duration::from_secs(1);

/// Clients whose digests are to move to a memory.
struct Fleet {
    clock: Arc<ManualClock>,
    ledger: MemoryLedger,
    store: SecretStore,
    faults: FaultLayer,
    secrets: Vec<(CredentialKey, ClientSecret)>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Fleet {
    async fn of(clients: usize) -> Self {
        let (clock, faults) = (clock(), FaultLayer::new());
        let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let digests: SharedBackend = Arc::new(quick());
        let old = SecretStore::builder(Arc::clone(&digests)).clock(Arc::<ManualClock>::clone(&clock)).build().unwrap();
        let old = Lifecycle::new(old, ledger.clone(), |task| drop(tokio::spawn(task)));
        let mut secrets = Vec::new();
        for client in 0..clients {
            let key = CredentialKey::parse(&format!("client-{client}"), "credential").unwrap();
            let shown = old.issue(&key, ()).await.unwrap();
            secrets.push((key, shown.secret));
        }
        let store = SecretStore::builder(stack(Memory::new(), &[&faults])).accepts(digests);
        let store = store.clock(Arc::<ManualClock>::clone(&clock)).build().unwrap();
        Self { clock, ledger, store, faults, secrets, tasks: Arc::default(), told: Arc::default() }
    }

    fn life(&self, policy: impl Into<UpgradePolicy>) -> Lifecycle<MemoryLedger> {
        let (tasks, told) = (Arc::clone(&self.tasks), Arc::clone(&self.told));
        let spawn = move |task| tasks.lock().unwrap().push(tokio::spawn(task));
        Lifecycle::new(self.store.clone(), self.ledger.clone(), spawn).with_upgrades(policy).with_observer(
            move |event| {
                if let Event::Upgraded { from, to, .. } | Event::NotUpgraded { from, to, .. } = event {
                    let outcome = if event.is_warning() { "fails" } else { "moves" };
                    told.lock().unwrap().push(format!("{outcome} from {from} to {to}"));
                }
            },
        )
    }

    /// All log in, and what that begins comes to its end; how many have moved by then.
    async fn logins(&self, life: &Lifecycle<MemoryLedger>) -> usize {
        for (key, secret) in &self.secrets {
            let decision = life.authenticate(key.client_id(), secret).await.unwrap();
            assert!(matches!(decision, Decision::Proved(_)), "{decision:?}");
        }
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        for task in tasks {
            task.await.unwrap();
        }
        self.moved().len()
    }

    fn moved(&self) -> Vec<&CredentialKey> {
        let backend = |key| self.ledger.entry(key).state.active().unwrap().secrets.clone().unwrap().current;
        self.secrets.iter().map(|(key, _)| key).filter(|key| *backend(key).backend() == BackendId::MEMORY).collect()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

#[tokio::test]
async fn at_most_as_many_as_the_rate_says_begin_in_a_second() {
    let fleet = Fleet::of(9).await;
    let life = fleet.life(UpgradePolicy::new().rate(2));
    assert_eq!(fleet.logins(&life).await, 2, "a login over the rate is answered all the same");
    assert_eq!(fleet.logins(&life).await, 2, "the clock stands still");
    fleet.clock.advance(SECOND / 2);
    assert_eq!(fleet.logins(&life).await, 3);
    fleet.clock.advance(100 * SECOND);
    assert_eq!(fleet.logins(&life).await, 5, "what was not used is not saved up");
    fleet.clock.advance(SECOND);
    assert_eq!(fleet.logins(&life).await, 7);
    fleet.clock.advance(SECOND);
    assert_eq!(fleet.logins(&life).await, 9);
    assert_eq!(fleet.told(), vec!["moves from keyed-digest to memory"; 9]);
    let life = fleet.life(UpgradePolicy::new().rate(0));
    assert_eq!(fleet.logins(&life).await, 9, "none is left");
}

#[tokio::test]
async fn after_a_failure_of_the_backend_none_begins_until_the_pause_is_over() {
    let fleet = Fleet::of(3).await;
    let life = fleet.life(UpgradePolicy::new().pause(60 * SECOND));
    fleet.faults.always(Operation::Store, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(fleet.logins(&life).await, 0);
    let tried = fleet.faults.calls(Operation::Store);
    fleet.clock.advance(59 * SECOND);
    assert_eq!(fleet.logins(&life).await, 0);
    assert_eq!(fleet.faults.calls(Operation::Store), tried, "it is left alone");
    assert_eq!(fleet.told(), vec!["fails from keyed-digest to memory"; tried]);
    fleet.faults.heal();
    assert_eq!(fleet.logins(&life).await, 0, "the pause lasts");
    fleet.clock.advance(SECOND);
    assert_eq!(fleet.logins(&life).await, 3);
}

#[tokio::test]
async fn a_failure_of_one_credential_holds_nobody_else_up() {
    let fleet = Fleet::of(3).await;
    fleet.faults.once(Operation::Store, Fault::Fail(ErrorKind::Malformed));
    let life = fleet.life(true);
    assert_eq!(fleet.logins(&life).await, 2);
    assert_eq!(fleet.logins(&life).await, 3, "at its next login");
}

#[tokio::test]
async fn excepted_clients_stay_where_they_are() {
    let fleet = Fleet::of(3).await;
    let policy = UpgradePolicy::new().except(|client| client.as_str() == "client-1");
    assert_eq!(format!("{policy:?}").matches("has_exceptions: true").count(), 1);
    let life = fleet.life(policy);
    assert_eq!(fleet.logins(&life).await, 2);
    assert!(fleet.moved().iter().all(|key| key.client_id().as_str() != "client-1"));
    assert_eq!(fleet.logins(&fleet.life(false)).await, 2);
    assert_eq!(fleet.logins(&fleet.life(UpgradePolicy::none())).await, 2);
    assert_eq!(fleet.logins(&fleet.life(UpgradePolicy::default())).await, 3);
}

/// A database that was cloned or restored, as far as it knows.
struct Closed;

impl Gate for Closed {
    fn may_delete(&self, _: &BackendId) -> bool {
        false
    }

    fn may_adopt(&self, at: &BackendId) -> bool {
        *at != BackendId::MEMORY
    }

    fn may_push_out(&self, at: &BackendId) -> bool {
        *at != BackendId::MEMORY
    }
}

#[tokio::test]
async fn a_database_whose_places_may_be_anothers_moves_nothing_there() {
    let fleet = Fleet::of(2).await;
    let life = fleet.life(true).with_gate(Closed);
    assert_eq!(fleet.logins(&life).await, 0);
    assert_eq!(fleet.faults.calls(Operation::Store), 0);
    assert_eq!(fleet.logins(&fleet.life(true)).await, 2);
}

#[tokio::test]
async fn an_upgrade_never_undoes_a_rotation_that_came_first() {
    let fleet = Fleet::of(1).await;
    let (key, secret) = &fleet.secrets[0];
    let (held, release) = (Arc::new(Mutex::new(Vec::new())), Arc::new(tokio::sync::Notify::new()));
    let (waits, late) = (Arc::clone(&release), Arc::clone(&held));
    let spawn = move |task: Task| {
        let waits = Arc::clone(&waits);
        late.lock().unwrap().push(tokio::spawn(async move {
            waits.notified().await;
            task.await;
        }));
    };
    let slow = Lifecycle::new(fleet.store.clone(), fleet.ledger.clone(), spawn);
    assert!(matches!(slow.authenticate(key.client_id(), secret).await.unwrap(), Decision::Proved(_)));
    let life = fleet.life(false);
    let rotated = life.rotate(key, Duration::ZERO, ()).await.unwrap();
    release.notify_one();
    let task = held.lock().unwrap().pop().unwrap();
    task.await.unwrap();
    let proved = life.authenticate(key.client_id(), &rotated.secret).await.unwrap();
    assert!(matches!(proved, Decision::Proved(_)), "{proved:?}");
    let old = life.authenticate(key.client_id(), secret).await.unwrap();
    assert!(matches!(old, Decision::Mismatch { .. }), "{old:?}");
    assert!(fleet.ledger.entry(key).note.is_none());
}

/// Weaker parameters are another form of the same backend.
#[tokio::test]
async fn an_upgrade_within_a_backend_is_told_as_one() {
    let fleet = Fleet::of(1).await;
    let keys = |text: &str| crate::keys::MacKeys::parse(text).unwrap();
    let (one, two) = ("0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4));
    let newer = crate::backends::KeyedDigest::new(keys(&format!("k2:{two},k1:{one}")));
    let store = SecretStore::builder(newer).clock(Arc::<ManualClock>::clone(&fleet.clock)).build().unwrap();
    let fleet = Fleet { store, ..fleet };
    fleet.logins(&fleet.life(true)).await;
    assert_eq!(fleet.told(), ["moves from keyed-digest to keyed-digest"]);
    fleet.logins(&fleet.life(true)).await;
    assert!(fleet.told().is_empty(), "once");
}
