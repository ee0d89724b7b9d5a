//! What is noted, and what is known of it.

mod disturbed;
mod writing;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::backends::Memory;
use crate::clock::ManualClock;
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

/// All within the minute before they are written, and the rotation by another process.
#[tokio::test]
async fn a_use_before_a_rotation_is_not_hidden_by_one_after_it() {
    let (site, first) = Site::new().await;
    let other = process(site.life.store(), site.life.ledger());
    site.login(&first.secret).await;
    let of_first = site.now();
    site.clock.advance(MINUTE / 4);
    let second = other.rotate(&site.key, 60 * MINUTE, ()).await.unwrap();
    site.clock.advance(MINUTE / 4);
    site.login(&second.secret).await;
    let of_second = site.now();
    let expected = |usage: Usage| (usage.last_used_at, usage.previous_last_used_at) == (of_second, of_first);
    assert!(expected(site.usage().await), "{:?}", site.usage().await);
    site.life.write_uses().await;
    assert!(expected(site.usage().await), "{:?}", site.usage().await);
    let refused = other.end_previous_unless_used(&site.key, MINUTE, ()).await;
    assert!(matches!(refused, Err(Failure::PreviousInUse(_))), "{refused:?}");
    // And with two.
    site.clock.advance(MINUTE / 4);
    let third = other.rotate(&site.key, 60 * MINUTE, ()).await.unwrap();
    site.login(&second.secret).await;
    let of_second = site.now();
    site.clock.advance(MINUTE / 4);
    other.rotate(&site.key, 60 * MINUTE, ()).await.unwrap();
    site.login(&third.secret).await;
    site.life.write_uses().await;
    let usage = site.usage().await;
    assert_eq!(
        (usage.last_used_at, usage.previous_last_used_at),
        (None, site.now()),
        "of the third, not {of_second:?}"
    );
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
