//! Calls that meet before there is a proof.

use super::*;

#[tokio::test]
async fn a_thousand_callers_with_the_same_secret_cost_one_check() {
    for custody in CUSTODIES {
        let fixture = Fixture::of(custody).await;
        fixture.inner.close();
        let mut callers = join_all((0..1_000).map(|_| fixture.verify("right")));
        assert!((&mut callers).now_or_never().is_none());
        fixture.inner.open();
        assert!(callers.await.iter().all(|verdict| *verdict == Ok(Verdict::Match)));
        assert_eq!(fixture.asked(), 1);
    }
}

/// The same on several threads, where calls meet at every point.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_on_threads_cost_one_check() {
    let fixture = Fixture::of(Custody::Record).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (warm, key) = (Arc::clone(&fixture.warm), fixture.key.clone());
        let (stored, secret) = (fixture.stored.clone(), fixture.secret.clone());
        callers.spawn(async move { warm.verify(&key, &stored, &secret).await.unwrap() });
    }
    assert!(callers.join_all().await.iter().all(|verdict| *verdict == Verdict::Match));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn a_right_candidate_does_not_wait_for_wrong_ones() {
    let fixture = Fixture::of(Custody::Record).await;
    fixture.inner.close();
    let mut wrong = join_all((0..100).map(|guess| {
        let guess = ClientSecret::from(guess.to_string());
        async { fixture.warm.verify(&fixture.key, &fixture.stored, &{ guess }).await.unwrap() }
    }));
    assert!((&mut wrong).now_or_never().is_none());
    let mut right = fixture.warm.verify(&fixture.key, &fixture.stored, &fixture.secret);
    assert!((&mut right).now_or_never().is_none());
    assert_eq!(fixture.asked(), 101, "it is asked for at once");
    drop(right);
    fixture.inner.open();
    assert!(wrong.await.iter().all(|verdict| *verdict == Verdict::Mismatch));
    assert_eq!(fixture.layer.proofs.len(), 0);
}

#[tokio::test]
async fn whoever_goes_leaves_the_work_to_the_others() {
    let fixture = Fixture::of(Custody::Record).await;
    fixture.inner.close();
    let mut first = Box::pin(fixture.verify("right"));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(fixture.verify("right"));
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    fixture.inner.open();
    assert_eq!(second.await, Ok(Verdict::Match));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn when_all_have_gone_nothing_is_left() {
    let fixture = Fixture::of(Custody::Record).await;
    fixture.inner.close();
    let mut callers = Box::pin(join_all((0..3).map(|_| fixture.verify("right"))));
    assert!((&mut callers).now_or_never().is_none());
    drop(callers);
    fixture.inner.open();
    assert_eq!(fixture.layer.proofs.len(), 0);
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    assert_eq!(fixture.asked(), 2);
}

/// After a revocation an old call and a new one are under way under the same tag.
#[tokio::test]
async fn whoever_goes_from_an_old_call_leaves_the_new_one_to_be_found() {
    let fixture = Fixture::of(Custody::Record).await;
    fixture.inner.close();
    let begin = || {
        let mut caller = fixture.warm.verify(&fixture.key, &fixture.stored, &fixture.secret);
        assert!((&mut caller).now_or_never().is_none());
        caller
    };
    let old = begin();
    fixture.warm.revoke(&fixture.key, &fixture.stored).await.unwrap();
    let new = begin();
    drop(old);
    let joined = begin();
    fixture.inner.open();
    assert_eq!((new.await.unwrap(), joined.await.unwrap()), (Verdict::Match, Verdict::Match));
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn an_error_is_for_those_who_waited_and_nobody_else() {
    let fixture = Fixture::of(Custody::Backend).await;
    fixture.inner.set_down(true);
    fixture.inner.close();
    let verify = || fixture.warm.verify(&fixture.key, &fixture.stored, &fixture.secret);
    let mut callers = join_all([verify(), verify()]);
    assert!((&mut callers).now_or_never().is_none());
    fixture.inner.open();
    for outcome in callers.await {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "refused");
    }
    assert_eq!(fixture.asked(), 1);
    fixture.inner.set_down(false);
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
}

/// A wrapper whose parts can be looked at, and a record of the secret `right` in it.
async fn open_warm() -> (Warm, Arc<Counting>, CredentialKey, StoredSecret) {
    let inner = Arc::new(Counting::around(BrokenBackend::sound(Custody::Backend)));
    let proofs = WarmLayer::builder().build().unwrap().proofs;
    let warm = Warm::new(Arc::clone(&inner) as SharedBackend, 0, proofs);
    let key = key("client", "credential");
    // Around the layer, which would know the secret otherwise.
    let stored = inner.store(&key, &"right".into()).await.unwrap();
    (warm, inner, key, stored)
}

#[tokio::test]
async fn what_landed_between_the_two_looks_is_not_asked_again() {
    let (warm, inner, key, stored) = open_warm().await;
    let right = ClientSecret::from("right");
    let question = warm.question(&key, &stored, &right);
    assert_eq!(warm.proofs.decide(&question), None, "the first look");
    assert_eq!(warm.verify(&key, &stored, &right).await.unwrap(), Verdict::Match);
    assert_eq!(warm.ask(question, &key, &stored, &right).await.unwrap(), Verdict::Match, "the second");
    assert_eq!(inner.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_list_of_calls_does_not_grow() {
    let (warm, _, key, stored) = open_warm().await;
    for guess in 0..10 {
        let guess = ClientSecret::from(guess.to_string());
        assert_eq!(warm.verify(&key, &stored, &guess).await.unwrap(), Verdict::Mismatch);
        drop(warm.verify(&key, &stored, &guess));
    }
    assert_eq!(warm.under_way(), 0);
}
