//! The clock of a replica's machine is off. Overlaps end by the ledger's time all the same.

use super::*;
use crate::clock::Clock;

const HOUR: Duration = Duration::from_secs(3600);

/// Two replicas over one ledger: the first one's clock is right, the second one's begins at another time.
fn replicas(second_starts_at: SystemTime) -> (Site, Lifecycle<MemoryLedger>, Arc<ManualClock>) {
    let site = site();
    let off = Arc::new(ManualClock::at(second_starts_at));
    let store = SecretStore::builder(Arc::clone(&site.memory))
        .machine_clock(Arc::clone(&off) as Arc<dyn Clock>)
        .build()
        .unwrap();
    let second = Lifecycle::new(store, site.ledger.clone(), |task| drop(tokio::spawn(task)));
    (site, second, off)
}

async fn proves(life: &Lifecycle<MemoryLedger>, key: &CredentialKey, secret: &ClientSecret) -> bool {
    matches!(life.authenticate(key.client_id(), secret).await.unwrap(), Decision::Proved(_))
}

#[tokio::test]
async fn an_overlap_ends_by_the_ledgers_time_whatever_the_machines_says() {
    let now = clock().now();
    for skewed in [now + 3 * HOUR, now - HOUR / 2] {
        let (site, second, off) = replicas(skewed);
        let old = site.life.issue(&site.key, ()).await.unwrap().secret;
        let rotated = site.life.rotate(&site.key, HOUR, ()).await.unwrap();
        second.round().await;
        assert!(proves(&second, &site.key, &old).await, "it counts");
        for clock in [&site.clock, &off] {
            clock.advance(HOUR);
        }
        assert!(!proves(&second, &site.key, &old).await, "its time is over");
        assert!(proves(&second, &site.key, &rotated.secret).await);
    }
}

#[tokio::test]
async fn a_jump_of_the_machines_clock_lasts_until_the_next_round() {
    let (site, second, off) = replicas(clock().now());
    let old = site.life.issue(&site.key, ()).await.unwrap().secret;
    site.life.rotate(&site.key, HOUR, ()).await.unwrap();
    second.round().await;
    off.advance(2 * HOUR);
    assert!(!proves(&second, &site.key, &old).await, "nobody has looked yet");
    second.round().await;
    assert!(proves(&second, &site.key, &old).await);
}
