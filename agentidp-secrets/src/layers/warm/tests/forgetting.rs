//! What a write leaves of a proof.

use super::*;
use crate::error::Operation;
use crate::testkit::{Fault, FaultLayer};

#[tokio::test]
async fn every_write_forgets_the_credential_whichever_record_it_names() {
    let fixture = Fixture::of(Custody::Backend).await;
    let Fixture { warm, key, secret, stored, .. } = &fixture;
    let prove = async |record: &StoredSecret, secret: &ClientSecret| {
        assert_eq!(warm.verify(key, record, secret).await.unwrap(), Verdict::Match);
    };
    prove(stored, secret).await;
    let new: ClientSecret = "new".into();
    let rotated = warm.rotate(key, stored, &new).await.unwrap();
    prove(stored, secret).await;
    assert_eq!(fixture.asked(), 2, "the rotation has forgotten the old record too");
    prove(&rotated, &new).await;
    assert_eq!(fixture.asked(), 2, "what was just stored is known");

    warm.store(key, &new).await.unwrap_err();
    prove(stored, secret).await;
    prove(&rotated, &new).await;
    assert_eq!(fixture.asked(), 4);

    warm.revoke(key, &rotated).await.unwrap();
    for record in [stored, &rotated] {
        for candidate in [secret, &new] {
            assert_eq!(warm.verify(key, record, candidate).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}

#[tokio::test]
async fn what_was_just_stored_is_decided_at_once_right_or_wrong() {
    for custody in CUSTODIES {
        let Fixture { inner, warm, .. } = Fixture::of(custody).await;
        let (key, new) = (key("client", "new"), ClientSecret::from("new"));
        let stored = warm.store(&key, &new).await.unwrap();
        assert_eq!(warm.verify(&key, &stored, &new).await.unwrap(), Verdict::Match);
        assert_eq!(warm.verify(&key, &stored, &"wrong".into()).await.unwrap(), Verdict::Mismatch);
        assert_eq!(inner.asked.load(Ordering::SeqCst), 0);
        warm.revoke(&key, &stored).await.unwrap();
        let _ = warm.verify(&key, &stored, &new).await;
        assert_eq!(inner.asked.load(Ordering::SeqCst), 1, "revoked: the backend is asked");
    }
}

#[tokio::test]
async fn another_credential_stays_warm() {
    let fixture = Fixture::of(Custody::Backend).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    // Credentials share counters by chance, one in a hundred thousand.
    let other = key("client", "other");
    let stored = fixture.warm.store(&other, &"other".into()).await.unwrap();
    fixture.warm.revoke(&other, &stored).await.unwrap();
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    assert_eq!(fixture.asked(), 1);
}

/// ente PR #12071: a read that had begun before a revocation put back what the revocation had removed.
#[tokio::test]
async fn a_read_that_began_before_a_revocation_brings_nothing_back() {
    let fixture = Fixture::of(Custody::Backend).await;
    let Fixture { inner, warm, key, secret, stored, .. } = &fixture;
    inner.close();
    let mut reading = warm.verify(key, stored, secret);
    assert!((&mut reading).now_or_never().is_none());
    warm.revoke(key, stored).await.unwrap();
    inner.open();
    assert_eq!(reading.await.unwrap(), Verdict::Match, "it was asked before the revocation");
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::NotFound));
}

/// The same of a rotation, whose new secret is known to the layer without being proved.
#[tokio::test]
async fn a_rotation_that_began_before_a_revocation_brings_nothing_back() {
    let fixture = Fixture::of(Custody::Backend).await;
    let Fixture { inner, warm, key, stored, .. } = &fixture;
    let new = ClientSecret::from("new");
    inner.close();
    let mut rotating = warm.rotate(key, stored, &new);
    assert!((&mut rotating).now_or_never().is_none());
    warm.revoke(key, stored).await.unwrap();
    inner.open();
    let rotated = rotating.await.unwrap();
    assert_eq!(warm.verify(key, &rotated, &new).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_call_after_a_revocation_does_not_join_a_read_from_before() {
    let fixture = Fixture::of(Custody::Backend).await;
    let Fixture { inner, warm, key, secret, stored, .. } = &fixture;
    inner.close();
    let mut reading = warm.verify(key, stored, secret);
    assert!((&mut reading).now_or_never().is_none());
    warm.revoke(key, stored).await.unwrap();
    let mut after = warm.verify(key, stored, secret);
    assert!((&mut after).now_or_never().is_none());
    inner.open();
    assert_eq!(after.await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(reading.await.unwrap(), Verdict::Match);
}

/// Between the start of a write and its end the backend may answer from before or after it.
#[tokio::test]
async fn a_read_during_a_revocation_brings_nothing_back() {
    let fixture = Fixture::of(Custody::Backend).await;
    let forgetting = fixture.layer.proofs.forgetting(&fixture.key);
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    drop(forgetting);
    fixture.inner.revoke(&fixture.key, &fixture.stored).await.unwrap();
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::NotFound));
}

#[tokio::test]
async fn a_rotation_that_meets_an_outage_takes_no_proof_away() {
    for (kind, kept) in [(ErrorKind::Unavailable, true), (ErrorKind::Throttled, true), (ErrorKind::Conflict, false)] {
        let faults = FaultLayer::new();
        let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults]);
        let fixture = Fixture::with(backend, WarmLayer::builder()).await;
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        faults.once(Operation::Rotate, Fault::Fail(kind));
        let refused = fixture.warm.rotate(&fixture.key, &fixture.stored, &"new".into()).await.unwrap_err();
        assert_eq!(refused.kind(), kind);
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        assert_eq!(fixture.asked(), if kept { 1 } else { 2 }, "{kind}");
    }
}
