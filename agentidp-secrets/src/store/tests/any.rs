use std::time::Duration;

use tokio::time::timeout;

use super::super::lifecycle::CredentialSecrets;
use super::{Fixture, digest, key, remote};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, VerifyError};
use crate::record::{BackendId, StoredSecret};

fn credentials(records: impl IntoIterator<Item = StoredSecret>) -> Vec<(CredentialKey, CredentialSecrets)> {
    records.into_iter().map(|record| (key(), record.into())).collect()
}

async fn verify(
    fixture: &Fixture,
    records: impl IntoIterator<Item = StoredSecret>,
    candidate: &str,
) -> Result<usize, Option<ErrorKind>> {
    match fixture.store.verify_any(&credentials(records), &candidate.into()).await {
        Ok(verified) => Ok(verified.index),
        Err(VerifyError::Mismatch) => Err(None),
        Err(VerifyError::Backend(error)) => Err(Some(error.kind())),
    }
}

#[tokio::test]
async fn the_matching_credential_is_named() {
    let fixture = Fixture::digest_primary().await;
    let records = [digest("a"), remote("b"), digest("c"), remote("d")];
    for (index, secret) in ["a", "b", "c", "d"].into_iter().enumerate() {
        assert_eq!(verify(&fixture, records.clone(), secret).await, Ok(index));
    }
    assert_eq!(verify(&fixture, records, "e").await, Err(None));
}

#[tokio::test]
async fn an_outage_hides_no_match_elsewhere() {
    let fixture = Fixture::digest_primary().await;
    assert_eq!(verify(&fixture, [remote("down"), digest("a")], "a").await, Ok(1));
    assert_eq!(verify(&fixture, [remote("hangs"), digest("b"), digest("a")], "a").await, Ok(2));
    assert_eq!(verify(&fixture, [digest("corrupt"), digest("a")], "a").await, Ok(1));
    assert_eq!(verify(&fixture, [remote("gone"), remote("a")], "a").await, Ok(1));
    assert_eq!(verify(&fixture, [StoredSecret::new(BackendId::MEMORY, "a"), digest("a")], "a").await, Ok(1));
}

#[tokio::test]
async fn a_backend_that_is_down_is_asked_once() {
    let fixture = Fixture::digest_primary().await;
    let records = [remote("down"), remote("down"), remote("a"), digest("b")];
    assert_eq!(verify(&fixture, records, "wrong").await, Err(Some(ErrorKind::Unavailable)));
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test]
async fn what_is_remembered_waits_for_nobody() {
    let fixture = Fixture::digest_primary().await;
    let before = fixture.digests();
    let records = [remote("down"), remote("hangs"), remote("warm:a"), digest("b")];
    assert_eq!(verify(&fixture, records, "a").await, Ok(2));
    assert_eq!((fixture.asked(), fixture.digests() - before), (0, 0));
    assert_eq!(verify(&fixture, [remote("warm:a"), remote("warm:b"), remote("c")], "c").await, Ok(2));
    assert_eq!(fixture.asked(), 1, "of the one that is not remembered");
}

#[tokio::test]
async fn a_memory_of_the_previous_record_decides_nothing_while_the_current_one_is_open() {
    let fixture = Fixture::digest_primary().await;
    let with = |current: &str| CredentialSecrets {
        current: remote(current),
        selector: None,
        previous: Some(fixture.previous(remote("warm:a"))),
    };
    for (current, outcome) in [("down", false), ("warm:b", true)] {
        let credentials = [(key(), with(current)), (key(), digest("c").into())];
        assert_eq!(fixture.store.verify_any(&credentials, &"a".into()).await.is_ok(), outcome, "{current}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_are_asked_at_a_time_as_the_backend_has_lanes() {
    for (lanes, met) in [(1, false), (2, true)] {
        let fixture = Fixture::with_remote_lanes(lanes).await;
        let pair = [remote("meets another"), remote("meets another")];
        let verified = timeout(Duration::from_secs(1), verify(&fixture, pair, "any")).await;
        assert_eq!(verified.is_ok(), met, "{lanes} lanes");
    }
}

#[tokio::test]
async fn an_outage_under_a_previous_record_does_not_end_the_turn_of_the_current_ones_backend() {
    let fixture = Fixture::digest_primary().await;
    let moved =
        CredentialSecrets { current: digest("a"), selector: None, previous: Some(fixture.previous(remote("down"))) };
    let credentials = [(key(), moved), (key(), digest("b").into())];
    assert_eq!(fixture.store.verify_any(&credentials, &"b".into()).await.unwrap().index, 1);
}

#[tokio::test]
async fn what_could_not_be_asked_outweighs_what_is_damaged() {
    let fixture = Fixture::digest_primary().await;
    let unknown = StoredSecret::new(BackendId::MEMORY, "a");
    let table = [
        (vec![digest("corrupt"), digest("a")], ErrorKind::Malformed),
        (vec![digest("corrupt"), remote("down")], ErrorKind::Unavailable),
        (vec![digest("corrupt"), remote("gone"), remote("down")], ErrorKind::NotFound),
        (vec![digest("corrupt"), unknown], ErrorKind::UnknownBackend),
    ];
    for (records, expected) in table {
        assert_eq!(verify(&fixture, records, "wrong").await, Err(Some(expected)));
    }
}

#[tokio::test]
async fn every_mismatch_of_one_credential_computes_one_digest_whoever_is_primary() {
    for fixture in [Fixture::digest_primary().await, Fixture::remote_primary().await] {
        for records in [vec![], vec![digest("a")], vec![remote("a")]] {
            let before = fixture.digests();
            assert_eq!(verify(&fixture, records.clone(), "wrong").await, Err(None));
            assert_eq!(fixture.digests() - before, 1, "{records:?}");
        }
        let before = fixture.digests();
        assert_eq!(verify(&fixture, [remote("a")], "a").await, Ok(0));
        assert_eq!(fixture.digests() - before, 0, "a right secret elsewhere computes nothing");
    }
}
