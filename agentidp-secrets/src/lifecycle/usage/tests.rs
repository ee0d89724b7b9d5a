//! Over a ledger that counts its statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::kept::Keeper;
use super::*;
use crate::backends::Memory;
use crate::clock::ManualClock;
use crate::credential::{ClientId, CredentialId};
use crate::lifecycle::{Decision, Failure, MemoryLedger, Shown};
use crate::secret::ClientSecret;
use crate::store::SecretStore;

const MINUTE: Duration = Duration::from_secs(60);

struct Site {
    clock: Arc<ManualClock>,
    life: Lifecycle<MemoryLedger>,
    key: CredentialKey,
}

impl Site {
    async fn new() -> (Self, Shown) {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)));
        let store = SecretStore::builder(Memory::new()).clock(Arc::<ManualClock>::clone(&clock)).build().unwrap();
        let ledger = MemoryLedger::with_clock(Arc::<ManualClock>::clone(&clock));
        let key = CredentialKey::parse("client", "credential").unwrap();
        let site = Self { clock, life: process(&store, &ledger), key };
        let shown = site.life.issue(&site.key, ()).await.unwrap();
        (site, shown)
    }

    fn now(&self) -> Option<SystemTime> {
        Some(self.life.store().now())
    }

    async fn login(&self, secret: &ClientSecret) {
        let decision = self.life.authenticate(self.key.client_id(), secret).await.unwrap();
        assert!(matches!(decision, Decision::Proved(_)), "{decision:?}");
    }

    async fn usage(&self) -> Usage {
        self.life.usage(&self.key).await.unwrap()
    }
}

/// What is written.
async fn of(life: &Lifecycle<MemoryLedger>, key: &CredentialKey) -> Usage {
    life.ledger().usages(std::slice::from_ref(key)).await.unwrap()[0]
}

fn process(store: &SecretStore, ledger: &MemoryLedger) -> Lifecycle<MemoryLedger> {
    Lifecycle::new(store.clone(), ledger.clone(), |task| drop(tokio::spawn(task))).with_usage()
}

#[tokio::test]
async fn a_hundred_thousand_logins_are_one_write() {
    let (site, shown) = Site::new().await;
    for _ in 0..1000 {
        site.login(&shown.secret).await;
    }
    let usage = site.life.0.usage.as_ref().unwrap();
    for _ in 0..99_000 {
        usage.noted.note(&site.key, Generation::Current, site.life.store().now());
    }
    assert_eq!(site.life.write_uses().await, 1);
    assert_eq!(site.life.write_uses().await, 0);
}

#[tokio::test]
async fn each_secret_has_a_time_of_its_own() {
    let (site, first) = Site::new().await;
    assert_eq!(site.usage().await, Usage::default());
    site.login(&first.secret).await;
    let of_first = site.now();
    assert_eq!(site.usage().await.last_used_at, of_first, "before it is written");
    site.clock.advance(MINUTE);
    // Written after the rotation, and of before it.
    let second = site.life.rotate(&site.key, 10 * MINUTE, ()).await.unwrap();
    site.life.write_uses().await;
    assert_eq!(site.usage().await.last_used_at, None);
    assert_eq!(site.usage().await.previous_last_used_at, of_first);
    site.clock.advance(MINUTE);
    site.login(&first.secret).await;
    let again = site.now();
    site.clock.advance(MINUTE);
    site.login(&second.secret).await;
    site.life.write_uses().await;
    let usage = site.usage().await;
    assert_eq!((usage.last_used_at, usage.previous_last_used_at), (site.now(), again));
    site.clock.advance(MINUTE);
    site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    let usage_now = site.usage().await;
    assert_eq!((usage_now.last_used_at, usage_now.previous_last_used_at), (None, usage.last_used_at));
}

#[tokio::test]
async fn a_secret_that_is_in_use_is_not_ended() {
    let (site, first) = Site::new().await;
    let second = site.life.rotate(&site.key, 60 * MINUTE, ()).await.unwrap();
    site.clock.advance(MINUTE);
    site.login(&first.secret).await;
    let used_at = site.life.store().now();
    let refused = site.life.end_previous_unless_used(&site.key, 15 * MINUTE, ()).await;
    assert!(matches!(refused, Err(Failure::PreviousInUse(at)) if at == used_at), "{refused:?}");
    site.login(&first.secret).await;
    // Another process has heard of it once it is written.
    site.life.write_uses().await;
    let other = process(site.life.store(), site.life.ledger());
    let refused = other.end_previous_unless_used(&site.key, 15 * MINUTE, ()).await;
    assert!(matches!(refused, Err(Failure::PreviousInUse(_))), "{refused:?}");
    site.clock.advance(15 * MINUTE);
    other.end_previous_unless_used(&site.key, 15 * MINUTE, ()).await.unwrap();
    let ended = other.authenticate(site.key.client_id(), &first.secret).await.unwrap();
    assert!(matches!(ended, Decision::Mismatch { .. }));
    site.login(&second.secret).await;
    let refused = other.end_previous_unless_used(&site.key, 15 * MINUTE, ()).await;
    assert!(matches!(refused, Err(Failure::NoPrevious)), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_written_stays_noted() {
    #[derive(Clone, Default)]
    struct Fails(Arc<AtomicBool>);

    #[async_trait]
    impl Keeper<MemoryLedger> for Fails {
        async fn note_uses(&self, ledger: &MemoryLedger, uses: &[Use]) -> Result<(), crate::lifecycle::MemoryError> {
            if self.0.load(Ordering::Relaxed) {
                return Err(crate::lifecycle::MemoryError::new("out of reach"));
            }
            ledger.note_uses(uses).await
        }

        async fn rotate(
            &self,
            _: &MemoryLedger,
            _: &mut crate::lifecycle::MemoryTx,
            _: &CredentialKey,
            _: SystemTime,
        ) -> Result<(), crate::lifecycle::MemoryError> {
            Ok(())
        }

        async fn usages(
            &self,
            ledger: &MemoryLedger,
            keys: &[CredentialKey],
        ) -> Result<Vec<Usage>, crate::lifecycle::MemoryError> {
            ledger.usages(keys).await
        }
    }

    let (site, shown) = Site::new().await;
    let fails = Fails::default();
    let keeper = Box::new(fails.clone());
    let life = process(site.life.store(), site.life.ledger())
        .with(|inner| inner.usage = Some(Kept { noted: Noted::default(), keeper }));
    let decision = life.authenticate(site.key.client_id(), &shown.secret).await.unwrap();
    assert!(matches!(decision, Decision::Proved(_)));
    fails.0.store(true, Ordering::Relaxed);
    assert_eq!(life.write_uses().await, 0);
    fails.0.store(false, Ordering::Relaxed);
    assert_eq!(life.write_uses().await, 1);
    assert_eq!(site.usage().await.last_used_at, site.now());
}

/// Whoever stops is heard before the minute is over.
#[tokio::test(start_paused = true)]
async fn it_is_written_once_a_minute_and_at_the_end() {
    let (site, shown) = Site::new().await;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let life = site.life.clone();
    let keeps = tokio::spawn(async move { life.work(async { drop(ended.await) }).await });
    site.login(&shown.secret).await;
    let kept = async || of(&site.life, &site.key).await.last_used_at;
    tokio::time::sleep(MINUTE - Duration::from_secs(1)).await;
    assert_eq!(kept().await, None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kept().await, site.now());
    site.clock.advance(MINUTE);
    site.login(&shown.secret).await;
    end.send(()).unwrap();
    keeps.await.unwrap();
    assert_eq!(kept().await, site.now());
}

/// Before the minute is over.
#[tokio::test]
async fn many_credentials_are_written_at_once() {
    let (site, _) = Site::new().await;
    let usage = site.life.0.usage.as_ref().unwrap();
    let client = ClientId::parse("client").unwrap();
    for number in 0..=50_000 {
        let key = CredentialKey::new(client.clone(), CredentialId::parse(&number.to_string()).unwrap());
        usage.noted.note(&key, Generation::Current, site.life.store().now());
    }
    let life = site.life.clone();
    let keeps = tokio::spawn(async move { life.keep_usage(std::future::pending()).await });
    let last = CredentialKey::parse("client", "7").unwrap();
    while of(&site.life, &last).await == Usage::default() {
        tokio::task::yield_now().await;
    }
    keeps.abort();
}
