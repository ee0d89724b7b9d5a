//! How long a proof counts.

use super::*;

#[tokio::test]
async fn a_digest_is_good_for_ever() {
    let fixture = Fixture::of(Custody::Record).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    fixture.clock.advance(Duration::from_secs(10 * 365 * 86_400));
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    assert_eq!(fixture.asked(), 1);
}

/// camunda #44844: a lifetime that every use prolonged never ended for who was busy.
#[tokio::test]
async fn use_does_not_prolong_a_lifetime() {
    let fixture = Fixture::of(Custody::Backend).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    // By another hand, which the layer does not see.
    fixture.inner.revoke(&fixture.key, &fixture.stored).await.unwrap();
    for _ in 0..59 {
        fixture.clock.advance(Duration::from_secs(1));
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        assert_eq!(fixture.verify("wrong").await, Ok(Verdict::Mismatch));
    }
    assert_eq!(fixture.asked(), 1);
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::NotFound));
    assert_eq!(fixture.verify("wrong").await, Err(ErrorKind::NotFound));
}

#[tokio::test]
async fn a_lifetime_begins_when_the_backend_is_asked() {
    let fixture = Fixture::of(Custody::Backend).await;
    fixture.inner.close();
    let mut slow = fixture.warm.verify(&fixture.key, &fixture.stored, &fixture.secret);
    assert!((&mut slow).now_or_never().is_none());
    fixture.clock.advance(WarmLayer::DEFAULT_LIFETIME);
    fixture.inner.open();
    assert_eq!(slow.await.unwrap(), Verdict::Match);
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn after_its_lifetime_an_outage_is_an_outage() {
    let fixture = Fixture::of(Custody::Backend).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    fixture.inner.set_down(true);
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    fixture.clock.advance(WarmLayer::DEFAULT_LIFETIME);
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::Unavailable));
    assert_eq!(fixture.verify("wrong").await, Err(ErrorKind::Unavailable));
}

#[tokio::test]
async fn without_a_lifetime_only_digests_are_held() {
    for (custody, asked) in [(Custody::Backend, 2), (Custody::Record, 1)] {
        let settings = WarmLayer::builder().lifetime(Duration::ZERO);
        let fixture = Fixture::with(BrokenBackend::sound(custody), settings).await;
        for _ in 0..2 {
            assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        }
        assert_eq!(fixture.asked(), asked);
    }
}

#[tokio::test]
async fn a_digest_that_a_service_decides_on_is_held_for_its_lifetime() {
    let mut remote = MockSecretBackend::new();
    remote.expect_info().return_const(BackendInfo::new(BackendId::VAULT_TRANSIT, Custody::Record).with_remote());
    remote.expect_store().returning(|_, _| Ok(StoredSecret::new(BackendId::VAULT_TRANSIT, "hmac")));
    remote.expect_verify().returning(|_, _, _| Ok(Verdict::Match));
    let fixture = Fixture::with(remote, WarmLayer::builder()).await;
    for asked in [1, 2] {
        for _ in 0..2 {
            assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        }
        assert_eq!(fixture.asked(), asked);
        fixture.clock.advance(WarmLayer::DEFAULT_LIFETIME);
    }
}

#[tokio::test]
async fn what_names_no_version_is_not_held() {
    let mut latest = MockSecretBackend::new();
    let info = BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend).with_pin_mark("?version=");
    latest.expect_info().return_const(info);
    latest.expect_store().returning(|_, _| Ok(StoredSecret::new(BackendId::VAULT_KV2, "path")));
    latest.expect_verify().returning(|_, _, _| Ok(Verdict::Match));
    let fixture = Fixture::with(latest, WarmLayer::builder()).await;
    for _ in 0..2 {
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    }
    assert_eq!((fixture.asked(), fixture.layer.proofs.len()), (2, 0));
}

const WINDOW: Duration = Duration::from_secs(300);

async fn with_window(lifetime: Duration) -> Fixture {
    let settings = WarmLayer::builder().lifetime(lifetime).stale_window(WINDOW);
    Fixture::with(BrokenBackend::sound(Custody::Backend), settings).await
}

#[tokio::test]
async fn within_the_stale_window_an_outage_is_decided_by_what_was_proved() {
    for lifetime in [Duration::ZERO, WarmLayer::DEFAULT_LIFETIME] {
        let fixture = with_window(lifetime).await;
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        fixture.clock.advance(lifetime);
        fixture.inner.set_down(true);
        for _ in 0..2 {
            assert_eq!(fixture.verify("right").await, Ok(Verdict::MatchStale));
            assert_eq!(fixture.verify("wrong").await, Ok(Verdict::Mismatch));
        }
        assert_eq!(fixture.asked(), 5, "the backend is asked first, every time");
        fixture.inner.set_down(false);
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    }
}

#[tokio::test]
async fn a_stale_window_is_absolute() {
    let fixture = with_window(WarmLayer::DEFAULT_LIFETIME).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    fixture.inner.set_down(true);
    fixture.clock.advance(WarmLayer::DEFAULT_LIFETIME + WINDOW - Duration::from_nanos(1));
    assert_eq!(fixture.verify("right").await, Ok(Verdict::MatchStale));
    fixture.clock.advance(Duration::from_nanos(1));
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::Unavailable));
    assert_eq!(fixture.verify("wrong").await, Err(ErrorKind::Unavailable));
}

#[tokio::test]
async fn only_an_outage_opens_the_stale_window() {
    let fixture = with_window(Duration::ZERO).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    // By another hand: the backend can be asked, and says so.
    fixture.inner.revoke(&fixture.key, &fixture.stored).await.unwrap();
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::NotFound));
}

#[tokio::test]
async fn what_was_never_proved_or_was_revoked_meanwhile_has_no_stale_window() {
    let fixture = with_window(Duration::ZERO).await;
    fixture.inner.set_down(true);
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::Unavailable), "never proved");
    fixture.inner.set_down(false);
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));

    fixture.inner.set_down(true);
    fixture.inner.close();
    let mut under_way = fixture.warm.verify(&fixture.key, &fixture.stored, &fixture.secret);
    assert!((&mut under_way).now_or_never().is_none());
    fixture.warm.revoke(&fixture.key, &fixture.stored).await.unwrap();
    fixture.inner.open();
    assert_eq!(under_way.await.unwrap_err().kind(), ErrorKind::Unavailable, "revoked while the backend was asked");
    assert_eq!(fixture.verify("right").await, Err(ErrorKind::Unavailable), "revoked before");
}
