//! Two secrets of one credential, for a while.

use std::sync::Arc;
use std::time::Duration;

use super::*;

#[tokio::test]
async fn both_secrets_work_within_an_overlap_and_it_ends_by_itself() {
    let site = site();
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let second = site.life.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    assert!(site.works(&first.secret).await && site.works(&second.secret).await);
    site.clock.advance(Duration::from_secs(60));
    assert!(!site.works(&first.secret).await && site.works(&second.secret).await);
    assert!(matches!(site.life.end_previous(&site.key, ()).await, Err(Failure::NoPrevious)));
}

#[tokio::test]
async fn an_overlap_ends_early_and_by_the_next_rotation() {
    let (site, hour) = (site(), Duration::from_secs(3600));
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let second = site.life.rotate(&site.key, hour, ()).await.unwrap();
    site.life.end_previous(&site.key, ()).await.unwrap();
    assert!(!site.works(&first.secret).await && site.works(&second.secret).await);
    let third = site.life.rotate(&site.key, hour, ()).await.unwrap();
    let fourth = site.life.rotate(&site.key, hour, ()).await.unwrap();
    assert!(!site.works(&second.secret).await && site.works(&third.secret).await && site.works(&fourth.secret).await);
}

#[tokio::test]
async fn a_login_that_outlasts_the_overlap_gets_no_token() {
    let site = site();
    let first = site.life.issue(&site.key, ()).await.unwrap();
    site.life.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    let decision = site.life.authenticate(site.key.client_id(), &first.secret).await.unwrap();
    let Decision::Proved(proof) = decision else { panic!("it works within the overlap") };
    site.clock.advance(Duration::from_secs(60));
    let decision = site.life.still_counts(proof, &first.secret).await.unwrap();
    assert!(matches!(decision, Decision::Mismatch { known: true }));
}

#[tokio::test]
async fn a_move_back_never_evicts_the_previous_secret() {
    let clock = clock();
    let (memory, digests): (SharedBackend, SharedBackend) = (Arc::new(Memory::keeping(3)), Arc::new(quick()));
    let site = over(&clock, |_| SecretStore::builder(Arc::clone(&memory)).accepts(Arc::clone(&digests)));
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let back = SecretStore::builder(digests).accepts(memory).clock(clock).build().unwrap();
    let back = Lifecycle::new(back, site.ledger.clone(), |task| drop(tokio::spawn(task)));
    back.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    for _ in 0..5 {
        assert!(site.life.rotate(&site.key, Duration::from_secs(60), Refuses).await.is_err());
        assert!(site.works(&first.secret).await, "its overlap lasts");
    }
}
