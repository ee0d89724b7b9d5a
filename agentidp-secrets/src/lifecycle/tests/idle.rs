//! Overlaps that end because no client uses the previous secret.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Logs, clock};
use crate::backends::Memory;
use crate::clock::{Clock, ManualClock};
use crate::credential::CredentialKey;
use crate::lifecycle::{Decision, Event, Failure, Lifecycle, MemoryLedger};
use crate::secret::ClientSecret;
use crate::store::SecretStore;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

struct Site {
    clock: Arc<ManualClock>,
    ledger: MemoryLedger,
    store: SecretStore,
    key: CredentialKey,
}

impl Site {
    fn new() -> Self {
        let clock = clock();
        let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let store = SecretStore::builder(Memory::new()).clock(Arc::<ManualClock>::clone(&clock)).build().unwrap();
        Self { clock, ledger, store, key: CredentialKey::parse("client", "credential").unwrap() }
    }

    /// A process, which has nothing of another's in memory.
    fn process(&self) -> Lifecycle<MemoryLedger> {
        self.without_usage().with_usage()
    }

    fn without_usage(&self) -> Lifecycle<MemoryLedger> {
        Lifecycle::new(self.store.clone(), self.ledger.clone(), |task| drop(tokio::spawn(task)))
    }

    /// Both secrets of a rotation with an overlap of ten weeks.
    async fn rotated(&self, life: &Lifecycle<MemoryLedger>) -> [ClientSecret; 2] {
        let old = life.issue(&self.key, ()).await.unwrap().secret;
        [old, life.rotate(&self.key, 10 * WEEK, ()).await.unwrap().secret]
    }

    async fn works(&self, life: &Lifecycle<MemoryLedger>, secret: &ClientSecret) -> bool {
        matches!(life.authenticate(self.key.client_id(), secret).await.unwrap(), Decision::Proved(_))
    }
}

async fn sweep(life: &Lifecycle<MemoryLedger>) -> u64 {
    life.end_idle_overlaps(WEEK, |_| Logs("idle")).await.unwrap()
}

#[tokio::test]
async fn an_overlap_ends_when_its_previous_secret_was_never_used_since_the_rotation() {
    let site = Site::new();
    let life = site.process();
    let [old, new] = site.rotated(&life).await;
    site.clock.advance(WEEK + 2 * MINUTE - SECOND);
    assert_eq!(sweep(&life).await, 0);
    assert!(site.ledger.log().is_empty());
    site.clock.advance(SECOND);
    // After a restart.
    let life = site.process();
    assert_eq!(sweep(&life).await, 1);
    assert_eq!(site.ledger.log(), ["idle"]);
    assert!(!site.works(&life, &old).await && site.works(&life, &new).await);
    assert_eq!(sweep(&life).await, 0, "once");
}

#[tokio::test]
async fn a_use_that_another_process_writes_a_minute_later_is_not_missed() {
    let site = Site::new();
    let (life, other) = (site.process(), site.process());
    let [old, _] = site.rotated(&life).await;
    site.clock.advance(WEEK - SECOND);
    assert!(site.works(&other, &old).await);
    let used_at = site.store.now();
    for _ in 0..60 {
        site.clock.advance(SECOND);
        assert_eq!(sweep(&life).await, 0, "nobody has told of the use");
    }
    other.write_uses().await;
    site.clock.advance(2 * MINUTE);
    assert_eq!(sweep(&life).await, 0);
    assert_eq!(life.usage(&site.key).await.unwrap().previous_last_used_at, Some(used_at));
    site.clock.advance(WEEK - MINUTE - SECOND);
    assert_eq!(sweep(&life).await, 0, "a second before");
    site.clock.advance(SECOND);
    assert_eq!(sweep(&life).await, 1);
    assert!(!site.works(&life, &old).await);
}

#[tokio::test]
async fn an_overlap_lasts_as_promised_where_nothing_is_known_of_its_use() {
    let site = Site::new();
    let [old, _] = site.rotated(&site.without_usage()).await;
    let life = site.process();
    site.clock.advance(10 * WEEK - SECOND);
    assert_eq!(sweep(&life).await, 0, "no process noted the rotation");
    assert_eq!(sweep(&site.without_usage()).await, 0);
    assert!(site.works(&life, &old).await);
    site.clock.advance(SECOND);
    assert!(!site.works(&life, &old).await, "at the latest");
    assert_eq!(sweep(&life).await, 0);
}

#[tokio::test]
async fn a_rotation_begins_the_time_anew() {
    let site = Site::new();
    let life = site.process();
    let [_, second] = site.rotated(&life).await;
    site.clock.advance(WEEK);
    let third = life.rotate(&site.key, 10 * WEEK, ()).await.unwrap().secret;
    site.clock.advance(WEEK);
    assert_eq!(sweep(&life).await, 0);
    assert!(site.works(&life, &second).await && site.works(&life, &third).await);
}

#[tokio::test]
async fn a_refused_change_keeps_the_overlap() {
    let site = Site::new();
    let life = site.process();
    let [old, _] = site.rotated(&life).await;
    site.clock.advance(2 * WEEK);
    let refused = life.end_idle_overlaps(WEEK, |_| super::Refuses).await;
    assert!(matches!(refused, Err(Failure::Ledger(_))), "{refused:?}");
    assert!(site.works(&life, &old).await);
}

#[tokio::test(start_paused = true)]
async fn work_ends_them_and_tells_of_it() {
    let site = Site::new();
    let told = Arc::new(Mutex::new(0));
    let ended = Arc::clone(&told);
    let life = site.process().with_idle_overlaps(WEEK).with_observer(move |event| {
        *ended.lock().unwrap() += usize::from(matches!(event, Event::OverlapEnded(_)) && !event.is_warning());
    });
    let [old, _] = site.rotated(&life).await;
    site.clock.advance(WEEK + 2 * MINUTE);
    life.work(tokio::time::sleep(SECOND)).await;
    assert_eq!(*told.lock().unwrap(), 1);
    assert!(!site.works(&life, &old).await);
}
