//! Rows that cannot be read, and what lies where they may point.

use std::time::Duration;

use super::{Site, clock, over, quick};
use crate::backend::{Held, SecretBackend as _};
use crate::lifecycle::{Lifecycle, MemoryLedger, Row};
use crate::secret::ClientSecret;
use crate::store::SecretStore;

/// A credential whose row somebody has damaged, of a secret in memory; and a lifecycle that keeps digests since.
async fn damaged() -> (Site, Lifecycle<MemoryLedger>, ClientSecret) {
    let site = over(&clock(), SecretStore::builder);
    let shown = site.life.issue(&site.key, ()).await.unwrap();
    site.ledger.put(Row::new(site.key.clone(), None, shown.row.revision));
    let digests = SecretStore::builder(quick()).accepts(std::sync::Arc::clone(&site.memory));
    let digests = digests.clock(std::sync::Arc::<crate::clock::ManualClock>::clone(&site.clock)).build().unwrap();
    let digests = Lifecycle::new(digests, site.ledger.clone(), |task| drop(tokio::spawn(task)));
    (site, digests, shown.secret)
}

#[tokio::test]
async fn the_end_of_a_row_that_cannot_be_read_forgets_its_secret_wherever_it_is() {
    let (site, _, _) = damaged().await;
    site.life.end(&site.key, ()).await.unwrap();
    assert!(site.forgotten().await);

    let (site, digests, _) = damaged().await;
    digests.end(&site.key, ()).await.unwrap();
    assert!(site.forgotten().await, "at a backend that is accepted, too");
}

#[tokio::test]
async fn a_rotation_of_a_row_that_cannot_be_read_leaves_no_secret_behind() {
    let (site, digests, old) = damaged().await;
    let new = digests.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert_eq!(digests.round().await.forgotten, 1);
    for version in 1..=site.versions().await {
        let held = site.memory.inspect(&site.key, Some(version)).await.unwrap();
        assert!(!held.secret().is_some_and(|held| held.ct_eq(&old)), "pushed out");
    }
    let decision = digests.authenticate(site.key.client_id(), &new.secret).await.unwrap();
    assert!(matches!(decision, crate::lifecycle::Decision::Proved(_)));
    digests.end(&site.key, ()).await.unwrap();
    assert!(matches!(site.memory.inspect(&site.key, None).await.unwrap(), Held::Nothing));
}
