//! Many at once, dropped half-way, not reachable.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinSet;

use super::fixture::{Credential, does_not_apply, fails, generate, matches, mismatches, set_up, succeeds};
use crate::backend::Custody;
use crate::error::ErrorKind;
use crate::testkit::harness::Harness;

/// Right and wrong candidates of two credentials, all under way together. Cannot prove the absence of a race, only make
/// one likely to show.
pub(crate) async fn concurrent_verify(harness: &dyn Harness) {
    let (one, other) = (Credential::stored(harness).await, Credential::stored(harness).await);
    let mut calls = JoinSet::new();
    for round in 0..8 {
        for (credential, stranger) in [(&one, &other), (&other, &one)] {
            let right = round % 2 == 0;
            let candidate = if right { credential.secret.clone() } else { stranger.secret.clone() };
            let backend = Arc::clone(&credential.backend);
            let (key, stored) = (credential.key.clone(), credential.stored.clone());
            calls.spawn(async move { (right, backend.verify(&key, &stored, &candidate).await) });
        }
    }
    for (right, outcome) in calls.join_all().await {
        let clause = "`verify`: calls at the same time do not change each other's verdict";
        if right { matches(outcome, clause) } else { mismatches(outcome, clause) }
    }
}

/// Drops each call at its first, second, ... suspension. Cannot claim anything on the place between two suspensions,
/// and nothing on whether a dropped write took effect.
pub(crate) async fn dropped_future_leaves_record_usable(harness: &dyn Harness) {
    for suspensions in 1..=4 {
        let credential = Credential::stored(harness).await;
        let Credential { backend, key, secret, stored } = &credential;
        cut(backend.verify(key, stored, secret), suspensions).await;
        matches(credential.verify(secret).await, "`verify` is safe to drop: the record stays usable");
        cut(backend.rotate(key, stored, &generate()), suspensions).await;
        matches(credential.verify(secret).await, "a dropped `rotate` leaves the old record usable");
        cut(backend.store(key, &generate()), suspensions).await;
        matches(credential.verify(secret).await, "a dropped `store` leaves the old record usable");
        cut(backend.revoke(key, stored), suspensions).await;
        succeeds(backend.revoke(key, stored).await, "a dropped `revoke` can be repeated");
    }
}

/// Drives the call until it was suspended so many times, then drops it.
async fn cut(call: impl Future + Send, mut suspensions: u32) {
    let mut call = pin!(call);
    std::future::poll_fn(|context| {
        if call.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        suspensions -= 1;
        if suspensions == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Where the harness has a backend that cannot be reached. Cannot claim that every way of being out of reach is
/// recognised: a mapping table of the backend's own has to show that.
pub(crate) async fn outage_is_never_a_verdict(harness: &dyn Harness) {
    let Some(unreachable) = harness.unreachable().await else {
        return does_not_apply("outage_is_never_a_verdict", "the harness has no backend that cannot be reached");
    };
    let credential = Credential::stored(harness).await;
    let Credential { key, secret, stored, .. } = &credential;
    for candidate in [secret, &generate()] {
        let outcome = unreachable.verify(key, stored, candidate).await;
        fails(outcome, ErrorKind::Unavailable, "`verify`: an outage is an error, and neither match nor mismatch");
    }
    let mut outcomes = vec![
        ("store", unreachable.store(&harness.key(), secret).await.map(drop)),
        ("rotate", unreachable.rotate(key, stored, &generate()).await.map(drop)),
        ("probe", unreachable.probe().await),
    ];
    // With custody `Record` there is nothing to forget, and so nothing to reach.
    if unreachable.info().custody == Custody::Backend {
        outcomes.push(("revoke", unreachable.revoke(key, stored).await));
    }
    for (verb, outcome) in outcomes {
        fails(outcome, ErrorKind::Unavailable, &format!("`{verb}`: an outage is an error"));
    }
}

/// Cannot claim that the next call succeeds.
pub(crate) async fn probe_ok(harness: &dyn Harness) {
    let backend = harness.backend().await;
    succeeds(backend.probe().await, "`probe`: a backend that works says so");
    let credential = Credential::stored(harness).await;
    set_up("probe", backend.probe().await);
    matches(credential.verify(&credential.secret).await, "`probe` touches no secret");
}
