//! The layer itself, with shuttle's locks and counters in place of the standard library's: each run takes the threads through
//! another order of their steps. A thread that waits for ever fails the run too, which prints the order to replay.
//!
//! What the layer keeps its proofs in, and the future that callers share, are taken as one step each: they have tests of
//! their own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt;
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use self::backend::Warm;
use self::proofs::{Lifetimes, Proofs};
use crate::backend::{BackendInfo, SecretBackend, Verdict};
use crate::backends::Memory;
use crate::clock::ManualClock;
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// In place of `warm/sync.rs`.
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicU32, Ordering};
    pub(super) use shuttle::sync::{Mutex, MutexGuard, PoisonError};

    /// They are made anew for each order.
    pub(super) const LEAST_EPOCHS: usize = 4;
}

#[expect(clippy::duplicate_mod, reason = "the same text over other locks is what this is about")]
#[path = "../backend.rs"]
mod backend;
#[expect(clippy::duplicate_mod, reason = "the same text over other locks is what this is about")]
#[path = "../flights.rs"]
mod flights;
#[expect(clippy::duplicate_mod, reason = "the same text over other locks is what this is about")]
#[path = "../names.rs"]
mod names;
#[expect(clippy::duplicate_mod, reason = "the same text over other locks is what this is about")]
#[path = "../proofs.rs"]
mod proofs;

/// Orders tried of each test: some seconds for all.
const ORDERS: usize = 5_000;

/// Half of them at random; half with few changes of thread, which finds what needs one thread to be held up for long.
fn in_every_order(run: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(run, ORDERS / 2);
    shuttle::check_pct(run, ORDERS / 2, 3);
}

/// A backend whose calls take time before and after they take effect: there others get their turn.
#[derive(Debug)]
struct Slow(Memory);

impl Slow {
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        shuttle::future::yield_now().await;
        let answer = call.await;
        shuttle::future::yield_now().await;
        answer
    }
}

#[async_trait]
impl SecretBackend for Slow {
    fn info(&self) -> &BackendInfo {
        self.0.info()
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.call(self.0.store(key, secret)).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.call(self.0.verify(key, stored, candidate)).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.call(self.0.rotate(key, current, secret)).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.call(self.0.revoke(key, stored)).await
    }

    async fn probe(&self) -> Result<()> {
        self.0.probe().await
    }
}

/// A credential with the secret `right` behind a layer that remembers for a minute, on a clock that stands.
#[derive(Clone)]
struct Scene {
    warm: Arc<Warm>,
    key: CredentialKey,
    stored: StoredSecret,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let lifetimes = Lifetimes { fresh: Duration::from_secs(60), stale: Duration::ZERO };
        let proofs = Arc::new(Proofs::new(4, lifetimes, clock).unwrap());
        let memory = Memory::new();
        let key = CredentialKey::parse("client", "credential").unwrap();
        let stored = block_on(memory.store(&key, &"right".into())).unwrap();
        Self { warm: Arc::new(Warm::new(Arc::new(Slow(memory)), 0, proofs)), key, stored }
    }

    fn verify(&self, candidate: &str) -> Result<Verdict, ErrorKind> {
        self.verify_record(&self.stored, candidate)
    }

    fn verify_record(&self, stored: &StoredSecret, candidate: &str) -> Result<Verdict, ErrorKind> {
        block_on(self.warm.verify(&self.key, stored, &candidate.into())).map_err(|error| error.kind())
    }

    fn rotate(&self, secret: &str) -> Result<StoredSecret> {
        block_on(self.warm.rotate(&self.key, &self.stored, &secret.into()))
    }

    fn revoke(&self) {
        block_on(self.warm.revoke(&self.key, &self.stored)).unwrap();
    }

    fn start<T: Send + 'static>(&self, work: impl FnOnce(Self) -> T + Send + 'static) -> JoinHandle<T> {
        let scene = self.clone();
        thread::spawn(move || work(scene))
    }
}

#[test]
fn after_a_revocation_nothing_is_accepted_whatever_was_under_way() {
    in_every_order(|| {
        let scene = Scene::new();
        let readers = [(); 2].map(|()| {
            scene.start(|scene| {
                // Before, during or after.
                let verdict = scene.verify("right");
                assert!(matches!(verdict, Ok(Verdict::Match) | Err(ErrorKind::NotFound)), "{verdict:?}");
                verdict
            })
        });
        let revoked = scene.start(|scene| {
            scene.revoke();
            assert_eq!(scene.verify("right"), Err(ErrorKind::NotFound), "the readers may still be under way");
        });
        revoked.join().unwrap();
        for reader in readers {
            let _before_or_after = reader.join().unwrap();
            assert_eq!(scene.verify("right"), Err(ErrorKind::NotFound), "one that was under way is over");
        }
        assert_eq!(scene.warm.under_way(), 0);
    });
}

/// The new secret of a rotation is known without a proof: a revocation that overtakes the rotation must count.
#[test]
fn a_rotation_that_a_revocation_overtakes_leaves_nothing() {
    in_every_order(|| {
        let scene = Scene::new();
        let rotation = scene.start(|scene| scene.rotate("new").ok());
        let revocation = scene.start(|scene| scene.revoke());
        let reader = scene.start(|scene| scene.verify("right"));
        revocation.join().unwrap();
        let rotated = rotation.join().unwrap();
        assert_ne!(reader.join().unwrap(), Ok(Verdict::Mismatch));
        for (stored, secret) in [(Some(scene.stored.clone()), "right"), (rotated, "new")] {
            let Some(stored) = stored else { continue };
            assert_eq!(scene.verify_record(&stored, secret), Err(ErrorKind::NotFound), "{secret}");
        }
    });
}

/// Two rotations of one record: the backend takes one of them, and no proof mixes them up.
#[test]
fn of_two_rotations_one_wins_and_its_secret_alone_counts() {
    in_every_order(|| {
        let scene = Scene::new();
        let rotations = ["one", "two"].map(|secret| scene.start(move |scene| (secret, scene.rotate(secret).ok())));
        let reader = scene.start(|scene| scene.verify("right"));
        assert_eq!(reader.join().unwrap(), Ok(Verdict::Match), "a rotation ends nothing");
        let done = rotations.map(|rotation| rotation.join().unwrap());
        let won: Vec<_> = done.iter().filter_map(|(secret, stored)| Some((*secret, stored.as_ref()?))).collect();
        let [(secret, stored)] = won.as_slice() else { panic!("{} won", won.len()) };
        for candidate in ["one", "two", "right"] {
            let expected = if candidate == *secret { Verdict::Match } else { Verdict::Mismatch };
            assert_eq!(scene.verify_record(stored, candidate), Ok(expected), "{candidate}");
        }
    });
}

/// Callers share the call that is under way: each has the answer to its own question, and none waits for ever, though the
/// one that began the call gives up.
#[test]
fn whoever_joins_or_leaves_a_shared_call_the_others_have_their_answers() {
    in_every_order(|| {
        let scene = Scene::new();
        let impatient = scene.start(|scene| {
            let _decided_or_dropped = scene.warm.verify(&scene.key, &scene.stored, &"right".into()).now_or_never();
        });
        let readers = ["right", "right", "wrong"].map(|candidate| {
            scene.start(move |scene| {
                let expected = if candidate == "right" { Verdict::Match } else { Verdict::Mismatch };
                assert_eq!(scene.verify(candidate), Ok(expected));
            })
        });
        impatient.join().unwrap();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(scene.warm.under_way(), 0);
    });
}
