//! What is decided without the backend.

use super::*;

#[tokio::test]
async fn one_proof_decides_every_later_candidate() {
    for custody in CUSTODIES {
        let fixture = Fixture::of(custody).await;
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        fixture.inner.set_down(true);
        for _ in 0..3 {
            assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
            for wrong in ["wrong", "", "Right", "right\0", "rightright", "righ"] {
                assert_eq!(fixture.verify(wrong).await, Ok(Verdict::Mismatch), "{wrong:?}");
            }
        }
        assert_eq!(fixture.asked(), 1);
    }
}

#[tokio::test]
async fn an_outdated_match_stays_one() {
    let fixture = Fixture::of(Custody::Record).await;
    fixture.inner.outdated.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(fixture.verify("right").await, Ok(Verdict::MatchOutdated));
    }
    assert_eq!(fixture.verify("wrong").await, Ok(Verdict::Mismatch));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn nothing_is_learned_from_a_mismatch_or_an_error() {
    for custody in CUSTODIES {
        let fixture = Fixture::of(custody).await;
        for asked in 1..=3 {
            assert_eq!(fixture.verify("wrong").await, Ok(Verdict::Mismatch));
            assert_eq!(fixture.asked(), asked);
        }
        fixture.inner.set_down(true);
        assert_eq!(fixture.verify("right").await, Err(ErrorKind::Unavailable));
        fixture.inner.set_down(false);
        assert_eq!(fixture.layer.proofs.len(), 0);
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        assert_eq!(fixture.asked(), 5);
    }
}

#[tokio::test]
async fn wrong_candidates_push_nobody_out() {
    let fixture = Fixture::with(BrokenBackend::sound(Custody::Record), WarmLayer::builder().capacity(1)).await;
    let cold = key("client", "cold");
    let record = fixture.warm.store(&cold, &"other".into()).await.unwrap();
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    for guess in 0..100 {
        let guess = ClientSecret::from(guess.to_string());
        assert_eq!(fixture.warm.verify(&fixture.key, &fixture.stored, &guess).await.unwrap(), Verdict::Mismatch);
        assert_eq!(fixture.warm.verify(&cold, &record, &guess).await.unwrap(), Verdict::Mismatch);
    }
    let before = fixture.asked();
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    assert_eq!((fixture.asked(), fixture.layer.proofs.len()), (before, 1));
}

#[tokio::test]
async fn entries_are_bounded() {
    let fixture = Fixture::with(BrokenBackend::sound(Custody::Record), WarmLayer::builder().capacity(10)).await;
    for number in 0..100 {
        let key = key("client", &format!("credential-{number}"));
        let record = fixture.warm.store(&key, &fixture.secret).await.unwrap();
        assert_eq!(fixture.warm.verify(&key, &record, &fixture.secret).await.unwrap(), Verdict::Match);
        assert!(fixture.layer.proofs.len() <= 10);
    }
}

#[test]
fn a_capacity_is_at_least_one() {
    for capacity in [0, WarmLayerBuilder::MAX_CAPACITY + 1] {
        let error = WarmLayer::builder().capacity(capacity).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}
