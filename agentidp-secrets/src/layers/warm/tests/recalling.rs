//! What is said without asking: as much as `verify` would say without the backend, through every layer.

use super::*;
use crate::layers::{BreakerLayer, LimitLayer, ObserveLayer, RetryLayer, TimeoutLayer};

#[tokio::test]
async fn a_proof_is_recalled_for_right_and_wrong_and_asks_nobody() {
    for custody in CUSTODIES {
        let fixture = Fixture::of(custody).await;
        let recall = |candidate: &str| fixture.warm.recall(&fixture.key, &fixture.stored, &candidate.into());
        assert_eq!(recall("right"), None, "nothing was proved yet");
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        assert_eq!((recall("right"), recall("wrong")), (Some(Verdict::Match), Some(Verdict::Mismatch)));
        assert_eq!(fixture.asked(), 1);
        fixture.warm.revoke(&fixture.key, &fixture.stored).await.unwrap();
        assert_eq!(recall("right"), None);
    }
}

#[tokio::test]
async fn a_proof_that_is_over_is_not_recalled() {
    let settings = WarmLayer::builder().lifetime(Duration::from_secs(60)).stale_window(Duration::from_secs(60));
    let fixture = Fixture::with(BrokenBackend::sound(Custody::Backend), settings).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    fixture.clock.advance(Duration::from_secs(60));
    // Whether it may be stale is known once the backend was asked.
    assert_eq!(fixture.warm.recall(&fixture.key, &fixture.stored, &"right".into()), None);
}

#[tokio::test]
async fn every_layer_lets_a_memory_through() {
    let fixture = Fixture::of(Custody::Record).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    #[derive(Debug)]
    struct Nobody;
    impl crate::layers::Observer for Nobody {
        fn record(&self, _: &crate::layers::Event) {}
    }
    let outer = [
        &LimitLayer::new(1) as &dyn Layer,
        &RetryLayer::default(),
        &TimeoutLayer::new(Duration::from_secs(1)),
        &BreakerLayer::default(),
        &WarmLayer::builder().build().unwrap(),
        &ObserveLayer::new(Arc::new(Nobody)),
    ];
    let shared: SharedBackend = Arc::new(stack(Arc::clone(&fixture.warm), &outer));
    assert_eq!(shared.recall(&fixture.key, &fixture.stored, &"right".into()), Some(Verdict::Match));
}
