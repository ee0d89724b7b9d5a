use std::sync::Arc;
use std::time::Duration;

use crate::backend::SharedBackend;
use crate::clock::{Clock, ManualClock};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation};
use crate::keys::MacKeys;
use crate::lifecycle::tests::clock;
use crate::lifecycle::{Decision, Failure, Lifecycle, MemoryLedger, Unmatched};
use crate::secret::ClientSecret;
use crate::store::{SecretStore, SecretStoreBuilder};
use crate::testkit::{Fault, FaultLayer};
use crate::{backends::Memory, stack};

const ONE: &str = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "k2:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";

struct Site {
    memory: SharedBackend,
    faults: FaultLayer,
    ledger: MemoryLedger,
    clock: Arc<ManualClock>,
}

fn site() -> Site {
    let (clock, faults) = (clock(), FaultLayer::new());
    let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let memory = stack(Memory::new(), &[&faults]);
    Site { memory, faults, ledger, clock }
}

impl Site {
    fn life(&self, build: impl FnOnce(SecretStoreBuilder) -> SecretStoreBuilder) -> Lifecycle<MemoryLedger> {
        let builder = SecretStore::builder(Arc::clone(&self.memory)).clock(Arc::<ManualClock>::clone(&self.clock));
        let store = build(builder).build().unwrap();
        Lifecycle::new(store, self.ledger.clone(), |task| drop(tokio::spawn(task)))
    }

    fn looking_up(&self, keys: &str) -> Lifecycle<MemoryLedger> {
        self.life(|builder| builder.selector_keys(MacKeys::parse(keys).unwrap()).look_up_by_key())
    }
}

fn key(client: &str) -> CredentialKey {
    CredentialKey::parse(client, "c1").unwrap()
}

async fn owner(life: &Lifecycle<MemoryLedger>, secret: &ClientSecret) -> Option<String> {
    match life.authenticate_key(secret).await.unwrap() {
        Decision::Proved(proof) => {
            let owner = proof.key().client_id().to_string();
            let decision = life.still_counts(proof, secret).await.unwrap();
            matches!(decision, Decision::Proved(_)).then_some(owner)
        }
        Decision::Mismatch { known: false } => None,
        decision => panic!("{decision:?}"),
    }
}

#[tokio::test]
async fn a_bare_key_finds_its_owner_for_as_long_as_it_counts() {
    let site = site();
    let life = site.looking_up(ONE).with_bare_keys(Unmatched::Wrong, 0);
    let (one, other) = (life.issue(&key("a"), ()).await.unwrap(), life.issue(&key("b"), ()).await.unwrap());
    assert_eq!(owner(&life, &one.secret).await.as_deref(), Some("a"));
    assert_eq!(owner(&life, &other.secret).await.as_deref(), Some("b"));

    let rotated = life.rotate(&key("a"), Duration::from_secs(60), ()).await.unwrap();
    for secret in [&one.secret, &rotated.secret] {
        assert_eq!(owner(&life, secret).await.as_deref(), Some("a"), "both within the overlap");
    }
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(owner(&life, &one.secret).await, None);
    life.end(&key("a"), ()).await.unwrap();
    assert_eq!(owner(&life, &rotated.secret).await, None);
}

/// The backend is down: whatever asks it fails.
#[tokio::test]
async fn a_wrong_key_asks_no_backend() {
    let site = site();
    let life = site.looking_up(ONE).with_bare_keys(Unmatched::Undecided, 3);
    let shown = life.issue(&key("a"), ()).await.unwrap();
    site.faults.on_everything(Fault::Fail(ErrorKind::Unavailable));
    for wrong in [ClientSecret::generate().unwrap(), ClientSecret::from("correct horse"), ClientSecret::from("")] {
        assert_eq!(owner(&life, &wrong).await, None);
    }
    let Err(Failure::Backend(error)) = life.authenticate_key(&shown.secret).await else { panic!("the right one asks") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_row_from_before_is_found_once_it_was_proved_with_its_client_id() {
    let site = site();
    // Selectors that are bound to the client, and none at all.
    let before = site.life(|builder| builder.selector_keys(MacKeys::parse(ONE).unwrap()));
    let bound = before.issue(&key("a"), ()).await.unwrap();
    let none = site.life(|builder| builder).issue(&key("b"), ()).await.unwrap();

    let wrong = site.looking_up(ONE).with_bare_keys(Unmatched::Wrong, 0);
    let undecided = site.looking_up(ONE).with_bare_keys(Unmatched::Undecided, 0);
    for secret in [&bound.secret, &none.secret, &ClientSecret::generate().unwrap()] {
        assert_eq!(owner(&wrong, secret).await, None);
        let Err(Failure::Backend(error)) = undecided.authenticate_key(secret).await else { panic!("it may be theirs") };
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
    // A scan of one reaches the first, and proves it.
    let scanning = site.looking_up(ONE).with_bare_keys(Unmatched::Wrong, 1);
    assert_eq!(owner(&scanning, &none.secret).await, None);
    assert_eq!(owner(&scanning, &bound.secret).await.as_deref(), Some("a"));
    let proved = undecided.authenticate(key("b").client_id(), &none.secret).await.unwrap();
    assert!(matches!(proved, Decision::Proved(_)));
    // What a proof is worth is written in the background.
    while site.ledger.entry(&key("b")).state.active().unwrap().secrets.as_ref().unwrap().selector.is_none()
        || owner(&wrong, &bound.secret).await.is_none()
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(owner(&undecided, &none.secret).await.as_deref(), Some("b"));
    assert_eq!(owner(&undecided, &ClientSecret::generate().unwrap()).await, None, "now every row can be found");
}

#[tokio::test]
async fn a_key_is_found_under_each_key_of_the_ring() {
    let site = site();
    let shown = site.looking_up(ONE).issue(&key("a"), ()).await.unwrap();
    let life = site.looking_up(&format!("{TWO} {ONE}")).with_bare_keys(Unmatched::Wrong, 0);
    assert_eq!(owner(&life, &shown.secret).await.as_deref(), Some("a"));
    let rekeyed = site.looking_up(TWO).with_bare_keys(Unmatched::Wrong, 0);
    while owner(&rekeyed, &shown.secret).await.is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_missing_for_a_look_up_is_named() {
    let site = site();
    let secret = ClientSecret::generate().unwrap();
    let says = async |life: Lifecycle<MemoryLedger>, method: &str| match life.authenticate_key(&secret).await {
        Err(Failure::Backend(error)) => assert!(error.to_string().contains(method), "{error}"),
        outcome => panic!("{outcome:?}"),
    };
    says(site.looking_up(ONE), "`Lifecycle::with_bare_keys`").await;
    let bound = site.life(|builder| builder.selector_keys(MacKeys::parse(ONE).unwrap()));
    says(bound.with_bare_keys(Unmatched::Wrong, 0), "`SecretStoreBuilder::look_up_by_key`").await;
    let error = SecretStore::builder(Memory::new()).look_up_by_key().build().unwrap_err();
    assert!(error.to_string().contains("`selector_keys`"), "{error}");
}

/// A row that no key finds ever will: it has expired, or only its previous secret has no selector, and the overlap is over.
#[tokio::test]
async fn what_can_never_prove_itself_leaves_nothing_undecided() {
    let site = site();
    let (before, hour) = (site.life(|builder| builder), Duration::from_secs(3600));
    before.issue(&key("expired"), ()).await.unwrap();
    let expired = site.ledger.entry(&key("expired")).state.active().unwrap().clone();
    site.ledger.put(expired.expiring(Some(site.clock.now() + hour)));
    before.issue(&key("rotated"), ()).await.unwrap();
    let life = site.looking_up(ONE).with_bare_keys(Unmatched::Undecided, 0);
    life.rotate(&key("rotated"), hour, ()).await.unwrap();
    let unknown = ClientSecret::generate().unwrap();
    assert!(matches!(life.authenticate_key(&unknown).await, Err(Failure::Backend(_))), "one may be theirs");
    site.clock.advance(hour);
    assert_eq!(owner(&life, &unknown).await, None);
}

#[tokio::test]
async fn a_row_that_cannot_be_decided_hides_no_other() {
    let site = site();
    let before = site.life(|builder| builder);
    before.issue(&key("a"), ()).await.unwrap();
    let theirs = before.issue(&key("b"), ()).await.unwrap().secret;
    let life = site.looking_up(ONE).with_bare_keys(Unmatched::Wrong, 2);
    let first_fails = || site.faults.once(Operation::Verify, Fault::Fail(ErrorKind::Unavailable));
    first_fails();
    let unknown = ClientSecret::generate().unwrap();
    assert!(matches!(life.authenticate_key(&unknown).await, Err(Failure::Backend(_))), "it may be that of the first");
    first_fails();
    assert_eq!(owner(&life, &theirs).await.as_deref(), Some("b"));
}
