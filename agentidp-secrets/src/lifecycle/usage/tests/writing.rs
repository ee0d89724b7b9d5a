//! When it is written, and what becomes of it until then.

use std::time::Duration;

use super::disturbed::Disturbed;
use super::{MINUTE, Site, of, process};
use crate::credential::{ClientId, CredentialId, CredentialKey};
use crate::lifecycle::{Decision, Failure, Lifecycle, MemoryLedger, Usage};
use crate::store::Generation;

const SECOND: Duration = Duration::from_secs(1);

/// More than are kept for a minute.
fn note_many(life: &Lifecycle<MemoryLedger>) {
    let client = ClientId::parse("client").unwrap();
    for number in 0..=50_000 {
        let key = CredentialKey::new(client.clone(), CredentialId::parse(&number.to_string()).unwrap());
        life.note_use(&key, None, Generation::Current, life.store().now());
    }
}

#[tokio::test]
async fn what_cannot_be_written_stays_noted() {
    let (site, shown) = Site::new().await;
    let disturbed = Disturbed::new();
    let life = disturbed.process(&site.life);
    let login = async || life.authenticate(site.key.client_id(), &shown.secret).await.unwrap();
    assert!(matches!(login().await, Decision::Proved(_)));
    disturbed.fails(true);
    assert_eq!(life.write_uses().await, 0);
    assert_eq!(life.usage(&site.key).await.unwrap().last_used_at, site.now());
    site.clock.advance(SECOND);
    assert!(matches!(login().await, Decision::Proved(_)));
    disturbed.fails(false);
    assert_eq!(life.write_uses().await, 1);
    assert_eq!(site.usage().await.last_used_at, site.now());
    assert_eq!(life.write_uses().await, 0);
}

/// A statement is under way, and its writer goes away before its end.
#[tokio::test]
async fn what_is_being_written_is_known_and_not_lost() {
    let (site, first) = Site::new().await;
    let disturbed = Disturbed::new();
    let life = disturbed.process(&site.life);
    life.rotate(&site.key, 60 * MINUTE, ()).await.unwrap();
    site.clock.advance(SECOND);
    let decision = life.authenticate(site.key.client_id(), &first.secret).await.unwrap();
    assert!(matches!(decision, Decision::Proved(_)));
    disturbed.hold();
    let (writer, begun) = (life.clone(), disturbed.clone());
    let writes = tokio::spawn(async move { writer.write_uses().await });
    while begun.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = life.end_previous_unless_used(&site.key, 15 * MINUTE, ()).await;
    assert!(matches!(refused, Err(Failure::PreviousInUse(_))), "{refused:?}");
    writes.abort();
    assert!(writes.await.is_err());
    disturbed.release();
    assert_eq!(life.write_uses().await, 1);
    assert_eq!(of(&life, &site.key).await.previous_last_used_at, site.now());
}

/// Whoever stops is heard before the minute is over.
#[tokio::test(start_paused = true)]
async fn it_is_written_once_a_minute_and_at_the_end() {
    let (site, shown) = Site::new().await;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let life = site.life.clone();
    let keeps = tokio::spawn(async move { life.work(async { drop(ended.await) }).await });
    site.login(&shown.secret).await;
    let kept = async || of(&site.life, &site.key).await.last_used_at;
    tokio::time::sleep(MINUTE - SECOND).await;
    assert_eq!(kept().await, None);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(kept().await, site.now());
    site.clock.advance(MINUTE);
    site.login(&shown.secret).await;
    end.send(()).unwrap();
    keeps.await.unwrap();
    assert_eq!(kept().await, site.now());
}

/// At each second of three minutes, a login a second: whoever comes after it knows what is older than a minute.
#[tokio::test(start_paused = true)]
async fn a_kill_loses_at_most_the_last_minute() {
    for seconds in 1..=180 {
        let (site, shown) = Site::new().await;
        let (began, keeper) = (site.now(), site.life.clone());
        let keeps = tokio::spawn(async move { keeper.keep_usage(std::future::pending()).await });
        tokio::time::sleep(SECOND / 2).await;
        for _ in 0..seconds {
            site.clock.advance(SECOND);
            tokio::time::sleep(SECOND).await;
            site.login(&shown.secret).await;
        }
        keeps.abort();
        assert!(keeps.await.is_err());
        let next = process(site.life.store(), site.life.ledger());
        let last = next.usage(&site.key).await.unwrap().last_used_at.or(began);
        let lost = site.now().unwrap().duration_since(last.unwrap()).unwrap();
        assert!(lost <= MINUTE, "{lost:?} of {seconds} s");
    }
}

/// Before the minute is over.
#[tokio::test]
async fn many_credentials_are_written_at_once() {
    let (site, _) = Site::new().await;
    note_many(&site.life);
    let life = site.life.clone();
    let keeps = tokio::spawn(async move { life.keep_usage(std::future::pending()).await });
    let last = CredentialKey::parse("client", "7").unwrap();
    while of(&site.life, &last).await == Usage::default() {
        tokio::task::yield_now().await;
    }
    keeps.abort();
}

/// However many come meanwhile.
#[tokio::test(start_paused = true)]
async fn many_that_cannot_be_written_are_tried_again_once_a_minute() {
    let (site, _) = Site::new().await;
    let disturbed = Disturbed::new();
    let life = disturbed.process(&site.life);
    disturbed.fails(true);
    let keeper = life.clone();
    let keeps = tokio::spawn(async move { keeper.keep_usage(std::future::pending()).await });
    note_many(&life);
    tokio::time::sleep(SECOND).await;
    assert_eq!(disturbed.calls(), 1);
    note_many(&life);
    tokio::time::sleep(58 * SECOND).await;
    assert_eq!(disturbed.calls(), 1);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(disturbed.calls(), 2);
    disturbed.fails(false);
    tokio::time::sleep(MINUTE).await;
    let written = 2 + 51;
    assert_eq!(disturbed.calls(), written);
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(disturbed.calls(), written, "nothing is left");
    keeps.abort();
}
