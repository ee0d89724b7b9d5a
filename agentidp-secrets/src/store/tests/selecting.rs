//! What selectors choose and rule out, and that records decide all the same.

use super::*;
use crate::selector::Selector;

const KEY: &str = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
const A: &str = "sk_live_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sk_live_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "sk_live_cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

fn keys(ids: &[&str]) -> MacKeys {
    let text: Vec<_> = ids.iter().map(|id| format!("{id}:{KEY}")).collect();
    MacKeys::parse(&text.join(" ")).unwrap()
}

async fn fixture() -> Fixture {
    Fixture::selecting(keys(&["k1"])).await
}

/// Of the client of `key()`.
fn selector(key_id: &str, secret: &str) -> Option<Selector> {
    keys(&[key_id]).selector(key().client_id(), &secret.into())
}

fn row(current: StoredSecret, selector: Option<Selector>) -> CredentialSecrets {
    CredentialSecrets { current, selector, previous: None }
}

async fn verify_any(
    fixture: &Fixture,
    rows: &[CredentialSecrets],
    candidate: &str,
) -> Result<usize, Option<ErrorKind>> {
    let credentials: Vec<_> = rows.iter().map(|row| (key(), row.clone())).collect();
    match fixture.store.verify_any(&credentials, &candidate.into()).await {
        Ok(verified) => Ok(verified.index),
        Err(VerifyError::Mismatch) => Err(None),
        Err(VerifyError::Backend(error)) => Err(Some(error.kind())),
    }
}

#[tokio::test]
async fn whatever_makes_a_record_gives_its_selector() {
    let fixture = fixture().await;
    let issued = fixture.store.issue(&key()).await.unwrap();
    assert_eq!(issued.selector, selector("k1", issued.secret.expose_secret()));
    assert!(issued.selector.is_some());
    let rotated = fixture.store.rotate(&key(), &row(issued.stored.clone(), issued.selector), GRACE).await.unwrap();
    assert_eq!(rotated.selector, selector("k1", rotated.secret.expose_secret()));
    assert_eq!(rotated.previous.as_ref().unwrap().selector, issued.selector, "the old record keeps its own");

    let secrets = CredentialSecrets { current: rotated.stored, selector: rotated.selector, previous: rotated.previous };
    let before = fixture.digests();
    let proof = fixture.verify(secrets.clone(), issued.secret.expose_secret()).await.unwrap();
    assert_eq!((proof.generation, proof.selector), (Generation::Previous, None));
    assert_eq!(fixture.digests() - before, 1, "the current record is ruled out");
    assert_eq!(fixture.verify(secrets, B).await, Err(None));
    assert_eq!(fixture.digests() - before, 1, "and so are both");
}

#[tokio::test]
async fn a_record_without_one_gets_it_with_its_first_proof() {
    let fixture = fixture().await;
    for record in [digest(A), remote(A)] {
        let proof = fixture.verify(record.clone(), A).await.unwrap();
        assert_eq!(proof.selector, selector("k1", A));
        let proof = fixture.verify(row(record, proof.selector), A).await.unwrap();
        assert_eq!(proof.selector, None, "it is there");
    }
    let previous = Some(fixture.previous(digest(A)));
    let secrets = CredentialSecrets { current: digest(B), selector: selector("k1", B), previous };
    let proof = fixture.verify(secrets, A).await.unwrap();
    assert_eq!((proof.generation, proof.selector), (Generation::Previous, selector("k1", A)));
}

#[tokio::test]
async fn a_chosen_secret_never_gets_one() {
    let fixture = fixture().await;
    let upper_case = A.to_uppercase();
    for chosen in ["correct horse", &A[..71], &upper_case] {
        assert_eq!(fixture.verify(digest(chosen), chosen).await.unwrap().selector, None, "{chosen:?}");
    }
}

/// It may come to mean another secret, which the selector of the old one would rule out.
#[tokio::test]
async fn a_record_that_points_at_the_latest_gets_none_and_heeds_none() {
    #[derive(Debug)]
    struct Latest(BackendInfo);

    #[async_trait]
    impl SecretBackend for Latest {
        fn info(&self) -> &BackendInfo {
            &self.0
        }
        async fn store(&self, _: &CredentialKey, _: &ClientSecret) -> Result<StoredSecret> {
            Ok(remote("path"))
        }
        async fn verify(&self, _: &CredentialKey, _: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
            Ok(if candidate.expose_secret() == A { Verdict::Match } else { Verdict::Mismatch })
        }
        async fn rotate(&self, _: &CredentialKey, _: &StoredSecret, _: &ClientSecret) -> Result<StoredSecret> {
            Ok(remote("path"))
        }
        async fn revoke(&self, _: &CredentialKey, _: &StoredSecret) -> Result<()> {
            Ok(())
        }
        async fn probe(&self) -> Result<()> {
            Ok(())
        }
    }

    let latest = Latest(BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend).with_pin_mark("?version="));
    let store = SecretStore::builder(latest).selector_keys(keys(&["k1"])).build().unwrap();
    assert_eq!(store.issue(&key()).await.unwrap().selector, None);
    for left_behind in [None, selector("k1", B)] {
        let proof = store.verify(&key(), &row(remote("path"), left_behind), &A.into()).await.unwrap();
        assert_eq!(proof.selector, None);
    }
}

#[tokio::test]
async fn the_one_credential_is_found_at_the_cost_of_one_check() {
    let fixture = fixture().await;
    let rows =
        [row(digest(A), selector("k1", A)), row(remote(B), selector("k1", B)), row(digest(C), selector("k1", C))];
    for (candidate, expected, digests, asked) in [(A, Ok(0), 1, 0), (B, Ok(1), 0, 1), (C, Ok(2), 1, 0)] {
        let before = (fixture.digests(), fixture.asked());
        assert_eq!(verify_any(&fixture, &rows, candidate).await, expected);
        assert_eq!((fixture.digests() - before.0, fixture.asked() - before.1), (digests, asked));
    }
    let before = (fixture.digests(), fixture.asked());
    for wrong in ["", "guess", &A.replace('a', "d")] {
        assert_eq!(verify_any(&fixture, &rows, wrong).await, Err(None), "{wrong:?}");
    }
    assert_eq!((fixture.digests(), fixture.asked()), before, "a wrong secret checks nothing");
}

#[tokio::test]
async fn what_is_ruled_out_needs_no_backend_and_what_is_open_does() {
    let fixture = fixture().await;
    let down = format!("down {A}");
    let ruled_out = row(remote(&down), selector("k1", A));
    let nowhere = row(StoredSecret::new(BackendId::MEMORY, "a"), selector("k1", A));
    for rows in [vec![ruled_out.clone()], vec![ruled_out.clone(), nowhere.clone()], vec![nowhere.clone()]] {
        assert_eq!(verify_any(&fixture, &rows, B).await, Err(None), "decided, whatever state the backend is in");
    }
    for open in [None, selector("lost", A), selector("lost", B)] {
        let rows = [row(remote(&down), open), row(digest(C), selector("k1", C))];
        assert_eq!(verify_any(&fixture, &rows, B).await, Err(Some(ErrorKind::Unavailable)));
        assert_eq!(verify_any(&fixture, &rows[..1], B).await, Err(Some(ErrorKind::Unavailable)));
        assert_eq!(verify_any(&fixture, &rows, C).await, Ok(1), "an outage hides no match elsewhere");
    }
    assert_eq!(verify_any(&fixture, std::slice::from_ref(&ruled_out), A).await, Err(Some(ErrorKind::Unavailable)));
    assert_eq!(verify_any(&fixture, &[nowhere, ruled_out], A).await, Err(Some(ErrorKind::UnknownBackend)));
}

#[tokio::test]
async fn an_outage_of_the_chosen_one_hides_no_match_and_is_asked_about_once() {
    let fixture = fixture().await;
    let down = format!("down {A}");
    let chosen = row(remote(&down), selector("k1", A));
    assert_eq!(verify_any(&fixture, &[chosen.clone(), row(digest(A), None)], A).await, Ok(1));
    let before = fixture.asked();
    let rows = [chosen.clone(), row(remote(&down), None), row(remote(&down), None)];
    assert_eq!(verify_any(&fixture, &rows, A).await, Err(Some(ErrorKind::Unavailable)));
    assert_eq!(fixture.asked() - before, 1, "the backend is known to be down");

    // Nothing falls through to another record of the same credential.
    let previous = Some(fixture.previous(digest(A)));
    let secrets = CredentialSecrets { previous, ..chosen };
    assert_eq!(fixture.verify(secrets.clone(), A).await, Err(Some(ErrorKind::Unavailable)));
    let rows = [secrets, row(digest(B), selector("k1", B))];
    assert_eq!(verify_any(&fixture, &rows, A).await, Err(Some(ErrorKind::Unavailable)));
}

#[tokio::test]
async fn a_selector_that_is_wrong_accepts_nothing() {
    let fixture = fixture().await;
    let swapped = row(digest(A), selector("k1", B));
    assert_eq!(fixture.verify(swapped.clone(), B).await, Err(None), "chosen, and the record says no");
    assert_eq!(fixture.verify(swapped.clone(), A).await, Err(None), "ruled out");
    assert_eq!(verify_any(&fixture, &[swapped, row(digest(C), None)], B).await, Err(None));
    let of_another_client = keys(&["k1"]).selector(&"other".parse().unwrap(), &A.into());
    assert_eq!(fixture.verify(row(digest(A), of_another_client), A).await, Err(None));
}

#[tokio::test]
async fn several_keys_are_read_and_the_first_one_writes() {
    let fixture = Fixture::selecting(keys(&["new", "old"])).await;
    let rows =
        [row(digest(A), selector("old", A)), row(digest(B), selector("new", B)), row(digest(C), selector("lost", C))];
    let before = fixture.digests();
    for (index, secret, expected) in [(0, A, selector("new", A)), (1, B, None)] {
        assert_eq!(verify_any(&fixture, &rows, secret).await, Ok(index));
        assert_eq!(fixture.verify(rows[index].clone(), secret).await.unwrap().selector, expected);
    }
    assert_eq!(fixture.digests() - before, 4, "each of them is chosen");
    assert_eq!(fixture.verify(rows[2].clone(), C).await.unwrap().selector, selector("new", C), "as if it had none");
    assert_eq!(fixture.verify(rows[2].clone(), A).await, Err(None));
    assert_eq!(fixture.digests() - before, 6, "what cannot be read rules nothing out");
}

#[tokio::test]
async fn without_keys_selectors_are_neither_made_nor_read() {
    let fixture = Fixture::digest_primary().await;
    let issued = fixture.store.issue(&key()).await.unwrap();
    assert_eq!(issued.selector, None);
    let rotated = fixture.store.rotate(&key(), &row(issued.stored, selector("k1", B)), GRACE).await.unwrap();
    assert_eq!((rotated.selector, rotated.previous.unwrap().selector), (None, selector("k1", B)));
    let proof = fixture.verify(row(digest(A), selector("k1", B)), A).await.unwrap();
    assert_eq!(proof, Verified { generation: Generation::Current, outdated: false, stale: false, selector: None });
}

#[tokio::test]
async fn credentials_of_several_clients_are_told_apart() {
    let fixture = fixture().await;
    let other = CredentialKey::parse("other", "credential").unwrap();
    let at = |key: &CredentialKey, secret: &str| {
        (key.clone(), row(digest(secret), keys(&["k1"]).selector(key.client_id(), &secret.into())))
    };
    let credentials = [at(&key(), A), at(&other, B), at(&key(), C)];
    for (index, secret) in [A, B, C].into_iter().enumerate() {
        let before = fixture.digests();
        assert_eq!(fixture.store.verify_any(&credentials, &secret.into()).await.unwrap().index, index);
        assert_eq!(fixture.digests() - before, 1);
    }
}
