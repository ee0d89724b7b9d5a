//! The sequences over two backends of one kind.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::backend::{Held, SecretBackend as _};
use crate::backends::{Instance, Memory};
use crate::clock::{Clock, ManualClock};
use crate::credential::CredentialKey;
use crate::lifecycle::compare::{self, Mode};
use crate::lifecycle::{Decision, Event, Gate, Lifecycle, MemoryLedger};
use crate::record::BackendId;
use crate::secret::ClientSecret;
use crate::store::{SecretStore, SecretStoreBuilder};

const HOUR: Duration = Duration::from_secs(3600);

/// A database over two memories, `memory` and `memory:eu`; the primary is the one or the other.
struct Site {
    ledger: MemoryLedger,
    clock: Arc<ManualClock>,
    old: Arc<Memory>,
    new: Arc<Memory>,
}

impl Site {
    fn new() -> Self {
        Self::over(Arc::default(), Arc::default())
    }

    fn over(old: Arc<Memory>, new: Arc<Memory>) -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + HOUR));
        let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        Self { ledger, clock, old, new }
    }

    fn eu(&self) -> Instance<Arc<Memory>> {
        Instance::new("eu", Arc::clone(&self.new)).unwrap()
    }

    fn before(&self) -> Lifecycle<MemoryLedger> {
        self.life(SecretStore::builder(Arc::clone(&self.old)).accepts(self.eu()))
    }

    fn after(&self) -> Lifecycle<MemoryLedger> {
        self.life(SecretStore::builder(self.eu()).accepts(Arc::clone(&self.old)))
    }

    fn life(&self, store: SecretStoreBuilder) -> Lifecycle<MemoryLedger> {
        let store = store.clock(Arc::<ManualClock>::clone(&self.clock)).build().unwrap();
        Lifecycle::new(store, self.ledger.clone(), |task| drop(tokio::spawn(task))).with_upgrades(false)
    }

    async fn holds(&self, memory: &Memory, secret: &ClientSecret) -> bool {
        let latest = memory.inspect(&key("c"), None).await.unwrap().version();
        for version in 1..=latest {
            let held = memory.inspect(&key("c"), Some(version)).await.unwrap();
            if held.secret().is_some_and(|held| held.ct_eq(secret)) {
                return true;
            }
        }
        false
    }
}

fn key(credential: &str) -> CredentialKey {
    CredentialKey::parse("client", credential).unwrap()
}

async fn works(life: &Lifecycle<MemoryLedger>, secret: &ClientSecret) -> bool {
    matches!(life.authenticate(key("c").client_id(), secret).await.unwrap(), Decision::Proved(_))
}

#[tokio::test]
async fn a_rotation_moves_a_credential_and_back() {
    let site = Site::new();
    let first = site.before().issue(&key("c"), ()).await.unwrap();
    let life = site.after();
    assert!(works(&life, &first.secret).await);
    let second = life.rotate(&key("c"), HOUR, ()).await.unwrap();
    assert_eq!(second.row.secrets.as_ref().unwrap().current.to_text(), "{memory:eu}client/c?version=1");
    assert!(works(&life, &first.secret).await && works(&life, &second.secret).await, "both within the overlap");

    site.clock.advance(HOUR);
    assert!(!works(&life, &first.secret).await && works(&life, &second.secret).await);
    assert_eq!(life.round().await.forgotten, 1);
    assert!(!site.holds(&site.old, &first.secret).await, "pushed out where it was");

    let back = site.before();
    let third = back.rotate(&key("c"), Duration::ZERO, ()).await.unwrap();
    assert!(works(&back, &third.secret).await && !works(&back, &second.secret).await);
    back.round().await;
    assert!(site.holds(&site.old, &third.secret).await && !site.holds(&site.new, &second.secret).await);

    back.end(&key("c"), ()).await.unwrap();
    for memory in [&site.old, &site.new] {
        assert!(matches!(memory.inspect(&key("c"), None).await.unwrap(), Held::Nothing));
    }
}

#[tokio::test]
async fn a_login_moves_a_credential() {
    let site = Site::new();
    let first = site.before().issue(&key("c"), ()).await.unwrap();
    let told = Arc::new(Mutex::new(0));
    let upgraded = Arc::clone(&told);
    let life = site.after().with_upgrades(true).with_observer(move |event| {
        if matches!(event, Event::Upgraded { .. }) {
            *upgraded.lock().unwrap() += 1;
        }
    });
    assert!(works(&life, &first.secret).await);
    while *told.lock().unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    let row = site.ledger.entry(&key("c")).state.active().cloned().unwrap();
    assert_eq!(row.secrets.unwrap().current.backend().as_str(), "memory:eu");
    life.round().await;
    assert!(works(&life, &first.secret).await && !site.holds(&site.old, &first.secret).await);
}

#[tokio::test]
async fn one_place_under_two_names_keeps_its_secret() {
    let shared = Arc::new(Memory::new());
    let site = Site::over(Arc::clone(&shared), shared);
    site.before().issue(&key("c"), ()).await.unwrap();
    let told = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&told);
    let life = site.after().with_observer(move |event| *log.lock().unwrap() += &event.to_string());
    let second = life.rotate(&key("c"), Duration::ZERO, ()).await.unwrap();
    for _ in 0..20 {
        life.round().await;
        site.clock.advance(HOUR);
    }
    assert!(works(&life, &second.secret).await, "it was pushed out under the other name");
    assert!(told.lock().unwrap().contains("`memory` and `memory:eu` seem to be one place"));
    let third = life.rotate(&key("c"), Duration::ZERO, ()).await.unwrap();
    assert!(works(&life, &third.secret).await);
}

/// Blank versions at the current place, as another life of the database may have left, are no sign of a second name.
#[tokio::test]
async fn a_place_is_pushed_out_though_the_current_secret_is_gone() {
    let site = Site::over(Arc::default(), Arc::new(Memory::keeping(2)));
    site.before().issue(&key("c"), ()).await.unwrap();
    let left = site.before().rotate(&key("c"), Duration::ZERO, ()).await.unwrap();
    let life = site.after();
    life.rotate(&key("c"), HOUR, ()).await.unwrap();
    for latest in [1, 2] {
        site.new.overwrite(&key("c"), latest, None).await.unwrap();
    }
    site.clock.advance(HOUR);
    assert_eq!(life.round().await.forgotten, 1);
    assert!(!site.holds(&site.old, &left.secret).await);
}

/// The same where it is there.
#[tokio::test]
async fn a_place_is_pushed_out_though_blank_versions_lie_over_the_current_secret() {
    for (left, blank) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let site = Site::new();
        let mut old = site.before().issue(&key("c"), ()).await.unwrap();
        for _ in 1..left {
            old = site.before().rotate(&key("c"), Duration::ZERO, ()).await.unwrap();
        }
        let life = site.after();
        let present = life.rotate(&key("c"), HOUR, ()).await.unwrap();
        for latest in 1..=blank {
            site.new.overwrite(&key("c"), latest, None).await.unwrap();
        }
        site.clock.advance(HOUR);
        assert_eq!(life.round().await.forgotten, 1, "{left} there, and {blank} blank ones here");
        assert!(!site.holds(&site.old, &old.secret).await && works(&life, &present.secret).await);
    }
}

/// Open for one of the backends.
struct OpenFor(&'static str);

impl Gate for OpenFor {
    fn may_delete(&self, at: &BackendId) -> bool {
        at.as_str() == self.0
    }

    fn may_adopt(&self, at: &BackendId) -> bool {
        at.as_str() == self.0
    }

    fn may_push_out(&self, at: &BackendId) -> bool {
        at.as_str() == self.0
    }
}

#[tokio::test]
async fn a_gate_that_is_closed_for_one_backend_holds_nothing_up_at_the_other() {
    let site = Site::new();
    let (before, closed) = (site.before(), site.before().with_gate(OpenFor("memory:eu")));
    let ended: Vec<_> = (0..40).map(|n| key(&format!("c{n}"))).collect();
    for key in &ended {
        before.issue(key, ()).await.unwrap();
        closed.end(key, ()).await.unwrap();
    }
    let life = site.after().with_gate(OpenFor("memory:eu"));
    life.issue(&key("c"), ()).await.unwrap();
    site.clock.advance(HOUR);
    life.end(&key("c"), ()).await.unwrap();
    let is_there =
        async |memory: &Memory, key: &CredentialKey| !matches!(memory.inspect(key, None).await.unwrap(), Held::Nothing);
    assert!(!is_there(&site.new, &key("c")).await);

    // Its deletion comes again, behind forty that have to wait.
    site.clock.advance(Duration::from_secs(90));
    let mut forgotten = 0;
    for _ in 0..3 {
        forgotten += life.round().await.forgotten;
        site.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(forgotten, 1);
    for key in &ended {
        assert!(is_there(&site.old, key).await, "the gate is closed there");
    }
}

#[tokio::test(start_paused = true)]
async fn each_backend_is_compared_for_itself() {
    let site = Site::new();
    site.before().issue(&key("c"), ()).await.unwrap();
    site.after().rotate(&key("c"), Duration::ZERO, ()).await.unwrap();
    site.old.store(&key("orphan"), &"another's".into()).await.unwrap();
    site.new.forget(&key("c")).await.unwrap();
    let (told, eu) = (Arc::new(Mutex::new(Vec::new())), site.eu());
    let log = Arc::clone(&told);
    let life =
        site.after().with_comparison(Arc::clone(&site.old), HOUR).with_comparison(site.eu(), HOUR).with_observer(
            move |event| {
                if let Event::Differs(difference) = event {
                    log.lock().unwrap().push(difference.clone());
                }
            },
        );
    life.work(tokio::time::sleep(Duration::from_secs(1))).await;
    let mut lines: Vec<_> = told.lock().unwrap().iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("path_without_row: credential orphan of client client: "), "{lines:?}");
    assert!(lines[1].starts_with("row_without_path: credential c of client client at memory:eu: "), "{lines:?}");

    let lost = told.lock().unwrap().iter().find(|found| found.key() == Some(key("c"))).cloned().unwrap();
    let settled = life.settle(&site.old, &lost, compare::Settlement::Row, ()).await.unwrap();
    assert!(!settled, "it was told of another backend");
    let mut none = |_: &compare::Difference| {};
    assert_eq!(life.compare(&eu, Mode::DryRun, &mut none).await.unwrap().found.total(), 1);
}
