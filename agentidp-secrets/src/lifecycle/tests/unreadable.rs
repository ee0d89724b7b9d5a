//! Rows and records that cannot be read, and what lies where they may point.

use std::time::Duration;

use super::{Site, clock, over, quick};
use crate::backend::{Held, SecretBackend as _};
use crate::backend_id::BackendId;
use crate::clock::Clock as _;
use crate::lifecycle::{Lifecycle, MemoryLedger, Row};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::store::{CredentialSecrets, Previous, SecretStore};

/// What is left of a damaged row: nothing that can be read, a text that no backend recognises, or a record
/// that its own backend cannot read.
fn remains() -> [Option<CredentialSecrets>; 3] {
    let record = |id, text: &str| {
        Some(CredentialSecrets { current: StoredSecret::new(id, text), selector: None, previous: None })
    };
    [None, record(BackendId::UNCLAIMED, "what was here"), record(BackendId::MEMORY, "what was here")]
}

/// A credential of which that remains, its secret in memory; and a lifecycle that keeps digests since.
async fn damaged(remains: Option<CredentialSecrets>) -> (Site, Lifecycle<MemoryLedger>, ClientSecret) {
    let site = over(&clock(), SecretStore::builder);
    let shown = site.life.issue(&site.key, ()).await.unwrap();
    site.ledger.put(Row::new(site.key.clone(), remains, shown.row.revision));
    let digests = SecretStore::builder(quick()).accepts(std::sync::Arc::clone(&site.memory));
    let digests = digests.clock(std::sync::Arc::<crate::clock::ManualClock>::clone(&site.clock)).build().unwrap();
    let digests = Lifecycle::new(digests, site.ledger.clone(), |task| drop(tokio::spawn(task)));
    (site, digests, shown.secret)
}

#[tokio::test]
async fn the_end_of_a_row_that_cannot_be_read_forgets_its_secret_wherever_it_is() {
    for remains in remains() {
        let (site, _, _) = damaged(remains.clone()).await;
        site.life.end(&site.key, ()).await.unwrap();
        assert!(site.forgotten().await, "{remains:?}");

        let (site, digests, _) = damaged(remains.clone()).await;
        digests.end(&site.key, ()).await.unwrap();
        assert!(site.forgotten().await, "at a backend that is accepted, too: {remains:?}");
    }
}

#[tokio::test]
async fn a_rotation_of_a_row_that_cannot_be_read_leaves_no_secret_behind() {
    for remains in remains() {
        let (site, digests, old) = damaged(remains).await;
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
}

/// A replica without the backend ends the overlap; one that has it pays the debts.
#[tokio::test]
async fn what_still_counts_is_not_pushed_out_where_another_replica_cannot_read_it() {
    let site = over(&clock(), SecretStore::builder);
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let second = site.life.rotate(&site.key, Duration::from_secs(3600), ()).await.unwrap();
    let poorer = SecretStore::builder(quick()).clock(std::sync::Arc::<crate::clock::ManualClock>::clone(&site.clock));
    let poorer = Lifecycle::new(poorer.build().unwrap(), site.ledger.clone(), |task| drop(tokio::spawn(task)));
    poorer.end_previous(&site.key, ()).await.unwrap();
    for _ in 0..3 {
        site.life.round().await;
        site.clock.advance(Duration::from_secs(3600));
    }
    assert!(site.works(&second.secret).await && !site.works(&first.secret).await);
}

#[tokio::test]
async fn nothing_is_pushed_out_where_a_record_that_stays_may_point() {
    let site = over(&clock(), SecretStore::builder);
    let shown = site.life.issue(&site.key, ()).await.unwrap();
    let valid_until = site.clock.now() + Duration::from_secs(3600);
    let previous =
        Previous { stored: StoredSecret::new(BackendId::UNCLAIMED, "what was here"), selector: None, valid_until };
    let current = StoredSecret::new(BackendId::MEMORY, "of a newer release");
    let secrets = CredentialSecrets { current, selector: None, previous: Some(previous) };
    site.ledger.put(Row::new(site.key.clone(), Some(secrets), shown.row.revision));
    site.life.end_previous(&site.key, ()).await.unwrap();
    site.life.round().await;
    let held = site.memory.inspect(&site.key, None).await.unwrap();
    assert!(held.secret().is_some_and(|held| held.ct_eq(&shown.secret)));
}

/// A replica that was not given the digests' backend keeps the record in mind: it cannot know that nothing lies anywhere.
#[tokio::test]
async fn a_digest_that_ended_where_its_backend_was_missing_is_forgotten_by_the_next_replica_that_has_it() {
    let site = over(&clock(), |memory| SecretStore::builder(quick()).accepts(memory));
    site.life.issue(&site.key, ()).await.unwrap();
    let lacking = SecretStore::builder(std::sync::Arc::clone(&site.memory));
    let lacking = lacking.clock(std::sync::Arc::<crate::clock::ManualClock>::clone(&site.clock)).build().unwrap();
    let lacking = Lifecycle::new(lacking, site.ledger.clone(), |task| drop(tokio::spawn(task)));
    lacking.end(&site.key, ()).await.unwrap();
    lacking.round().await;
    assert!(site.note().is_some_and(|note| !note.debts.is_empty()));
    site.clock.advance(Duration::from_secs(2 * 24 * 3600));
    site.life.round().await;
    assert_eq!(site.note(), None);
}
