//! The timing policy of [`SecretStore::verify_decoy`], counted: which work a failed attempt does, whatever it is about.
//! Nothing here measures time.

use super::*;
use crate::backend::SharedBackend;
use crate::backends::KeyedDigest;
use crate::layer::{Layer, stack};
use crate::layers::WarmLayer;
use crate::testkit::FaultLayer;

/// A row of the caller's, and the secret of it.
struct Row {
    key: CredentialKey,
    secrets: CredentialSecrets,
    secret: ClientSecret,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Work {
    /// Digests of the slow backend, the decoy's included.
    slow: usize,
    /// Calls to the keyed backend.
    keyed: usize,
    /// Calls to the backend with custody.
    asked: usize,
}

/// A store over one backend of each kind, a slow digest first.
struct World {
    store: SecretStore,
    /// Without the layer, and so without its proofs.
    backends: [SharedBackend; 3],
    slow: Arc<AtomicUsize>,
    keyed: FaultLayer,
    asked: FaultLayer,
    keys: MacKeys,
}

const SLOW: usize = 0;
const KEYED: usize = 1;
const ASKED: usize = 2;

impl World {
    /// Behind a warm layer or not.
    async fn new(selectors: bool, layered: bool) -> Self {
        let (slow, keyed, asked) = (Arc::default(), FaultLayer::new(), FaultLayer::new());
        let layer = WarmLayer::builder().build().unwrap();
        let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
        let backends = [
            Arc::new(scripted(&slow)) as SharedBackend,
            stack(KeyedDigest::new(keys.clone()), &[&keyed]),
            stack(Memory::new(), &[&asked]),
        ];
        let layers: &[&dyn Layer] = if layered { &[&layer] } else { &[] };
        let [first, second, third] = backends.each_ref().map(|backend| stack(Arc::clone(backend), layers));
        let builder = SecretStore::builder(first).accepts(second).accepts(third);
        let store = if selectors { builder.selector_keys(keys.clone()) } else { builder }.build().unwrap();
        store.prepare().await.unwrap();
        Self { store, backends, slow, keyed, asked, keys }
    }

    /// A credential on one of the backends, cold.
    async fn row(&self, backend: usize, has_selector: bool) -> Row {
        let (fresh, secret) = (crate::testkit::fresh_key(), ClientSecret::generate().unwrap());
        let key = CredentialKey::new(key().client_id().clone(), fresh.credential_id().clone());
        let current = self.backends[backend].store(&key, &secret).await.unwrap();
        let selector = self.keys.selector(key.client_id(), &secret).filter(|_| has_selector);
        Row { key, secrets: CredentialSecrets { current, selector, previous: None }, secret }
    }

    /// What an attempt at these credentials takes, and whether it succeeds.
    async fn attempt(&self, rows: &[&Row], candidate: &ClientSecret) -> (Work, bool) {
        let credentials: Vec<_> = rows.iter().map(|row| (row.key.clone(), row.secrets.clone())).collect();
        let before = self.done();
        let proved = match self.store.verify_any(&credentials, candidate).await {
            Ok(_) => true,
            Err(VerifyError::Mismatch) => false,
            Err(VerifyError::Backend(error)) => panic!("{error}"),
        };
        let done = self.done();
        let work =
            Work { slow: done.slow - before.slow, keyed: done.keyed - before.keyed, asked: done.asked - before.asked };
        (work, proved)
    }

    async fn wrong(&self, rows: &[&Row]) -> Work {
        let (work, proved) = self.attempt(rows, &ClientSecret::generate().unwrap()).await;
        assert!(!proved);
        work
    }

    fn done(&self) -> Work {
        Work {
            slow: self.slow.load(Ordering::SeqCst),
            keyed: self.keyed.calls(Operation::Verify),
            asked: self.asked.calls(Operation::Verify),
        }
    }
}

fn work(slow: usize, keyed: usize, asked: usize) -> Work {
    Work { slow, keyed, asked }
}

/// Revoked and expired credentials are left out by the caller: what remains is nobody's.
#[tokio::test]
async fn a_failed_attempt_costs_what_the_table_says() {
    struct Case {
        selectors: bool,
        has_selector: bool,
        layered: bool,
        proved: bool,
        nobody: Work,
        wrong: [Work; 3],
    }
    let case = |selectors, has_selector, layered, proved, nobody, wrong| Case {
        selectors,
        has_selector,
        layered,
        proved,
        nobody,
        wrong,
    };
    let nothing = || work(0, 0, 0);
    let one_each = || [work(1, 0, 0), work(0, 1, 0), work(0, 0, 1)];
    let cases = [
        case(false, false, false, false, work(1, 0, 0), [work(1, 0, 0), work(1, 1, 0), work(1, 0, 1)]),
        case(false, false, true, true, nothing(), [nothing(), nothing(), nothing()]),
        case(true, true, false, false, nothing(), [nothing(), nothing(), nothing()]),
        case(true, true, true, false, nothing(), [nothing(), nothing(), nothing()]),
        case(true, true, true, true, nothing(), [nothing(), nothing(), nothing()]),
        case(true, false, true, true, nothing(), [nothing(), nothing(), nothing()]),
        // The known exceptions: not proved since the start, or since the keys came.
        case(false, false, true, false, nothing(), one_each()),
        case(true, false, false, false, nothing(), one_each()),
        case(true, false, true, false, nothing(), one_each()),
    ];
    for case in cases {
        let world = World::new(case.selectors, case.layered).await;
        let Case { selectors, has_selector, layered, proved, .. } = case;
        let at = format!("selectors {selectors}, in the row {has_selector}, warm layer {layered}, proved {proved}");
        for _ in 0..2 {
            assert_eq!(world.wrong(&[]).await, case.nobody, "nobody: {at}");
            let before = world.done();
            world.store.verify_decoy(&ClientSecret::generate().unwrap()).await.unwrap();
            assert_eq!(world.done().slow - before.slow, case.nobody.slow, "the decoy: {at}");
            for (backend, expected) in case.wrong.iter().enumerate() {
                let row = world.row(backend, has_selector).await;
                if proved {
                    assert!(world.attempt(&[&row], &row.secret).await.1);
                }
                assert_eq!(&world.wrong(&[&row]).await, expected, "backend {backend}: {at}");
                let single = world.done();
                let candidate = ClientSecret::generate().unwrap();
                world.store.verify(&row.key, &row.secrets, &candidate).await.unwrap_err();
                assert_eq!(world.done().slow - single.slow, expected.slow, "by itself, backend {backend}: {at}");
            }
        }
    }
}

#[tokio::test]
async fn candidates_of_any_form_cost_the_same_digest() {
    for selectors in [false, true] {
        let world = World::new(selectors, false).await;
        for candidate in ["", "guess", "nul\0", &"a".repeat(72), &"a".repeat(73)] {
            let candidate = ClientSecret::from(candidate);
            let (nobody, _) = world.attempt(&[], &candidate).await;
            assert_eq!(nobody.slow, usize::from(!selectors));
            for backend in [SLOW, KEYED, ASKED] {
                let row = world.row(backend, selectors).await;
                let (wrong, _) = world.attempt(&[&row], &candidate).await;
                assert_eq!(wrong.slow, nobody.slow, "{candidate:?} on backend {backend}");
            }
        }
    }
}

#[tokio::test]
async fn with_a_selector_in_each_row_the_number_of_credentials_costs_nothing() {
    for (has_selector, right, wrong) in [(true, work(1, 0, 0), work(0, 0, 0)), (false, work(20, 0, 0), work(20, 0, 0))]
    {
        let world = World::new(true, false).await;
        let mut rows = Vec::new();
        for _ in 0..20 {
            rows.push(world.row(SLOW, has_selector).await);
        }
        let all: Vec<&Row> = rows.iter().collect();
        assert_eq!(world.wrong(&all).await, wrong);
        assert_eq!(world.attempt(&all, &rows[19].secret).await, (right, true));
    }
}

#[tokio::test]
async fn one_credential_of_each_kind_costs_the_digest_once() {
    for (selectors, expected) in [(false, work(1, 1, 1)), (true, work(0, 0, 0))] {
        let world = World::new(selectors, false).await;
        let rows = [world.row(SLOW, true).await, world.row(KEYED, true).await, world.row(ASKED, true).await];
        assert_eq!(world.wrong(&rows.each_ref()).await, expected);
    }
}

/// Where no digest is slow the decoy is a quick one too.
#[tokio::test]
async fn over_keyed_digests_only_an_unknown_client_costs_one() {
    let keyed = FaultLayer::new();
    let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
    let store = SecretStore::builder(stack(KeyedDigest::new(keys), &[&keyed])).build().unwrap();
    let issued = store.issue(&key()).await.unwrap();
    for candidate in [ClientSecret::generate().unwrap(), "guess".into()] {
        for credentials in [vec![], vec![(key(), issued.stored.clone().into())]] {
            let before = keyed.calls(Operation::Verify);
            store.verify_any(&credentials, &candidate).await.unwrap_err();
            // A guess is refused by its form, and levelled.
            let expected = if candidate.has_generated_form() || credentials.is_empty() { 1 } else { 2 };
            assert_eq!(keyed.calls(Operation::Verify) - before, expected);
        }
    }
}
