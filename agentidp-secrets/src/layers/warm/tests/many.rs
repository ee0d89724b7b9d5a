//! A client with many credentials: one MAC decides on all of them.

use super::*;
use crate::store::{CredentialSecrets, SecretStore};

/// A store with twenty credentials, each proved by having been issued, and the secret of each.
async fn twenty() -> (Fixture, SecretStore, Vec<(CredentialKey, CredentialSecrets)>, Vec<ClientSecret>) {
    let fixture = Fixture::of(Custody::Record).await;
    let store = SecretStore::builder(Arc::clone(&fixture.warm)).build().unwrap();
    let (mut credentials, mut secrets) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let key = key("client", &format!("credential-{number}"));
        let issued = store.issue(&key).await.unwrap();
        credentials.push((key, issued.stored.into()));
        secrets.push(issued.secret);
    }
    (fixture, store, credentials, secrets)
}

#[tokio::test]
async fn a_login_costs_one_mac_right_or_wrong_whatever_the_number_of_credentials() {
    let (fixture, store, credentials, secrets) = twenty().await;
    let macs = || fixture.layer.proofs.macs.load(Ordering::Relaxed);
    store.prepare().await.unwrap();
    for count in [1, 2, 20] {
        for at in [0, count - 1] {
            let before = macs();
            assert_eq!(store.verify_any(&credentials[..count], &secrets[at]).await.unwrap().index, at);
            assert_eq!(macs() - before, 1, "{at} of {count}");
        }
        let (before, wrong) = (macs(), ClientSecret::generate().unwrap());
        store.verify_any(&credentials[..count], &wrong).await.unwrap_err();
        assert_eq!(macs() - before, 1, "wrong for {count}");
        let before = macs();
        store.verify_decoy(&wrong).await.unwrap();
        assert_eq!(macs() - before, 1, "unknown");
    }
}

/// The tag is bound to the client alone: the record decides which secret counts.
#[tokio::test]
async fn a_secret_of_one_credential_is_wrong_for_every_other_one_of_the_client() {
    let (_fixture, store, credentials, secrets) = twenty().await;
    for (at, secret) in secrets.iter().enumerate() {
        for (other, (key, record)) in credentials.iter().enumerate() {
            assert_eq!(store.verify(key, record, secret).await.is_ok(), at == other);
        }
        let others: Vec<_> =
            (credentials.iter().enumerate()).filter(|(n, _)| *n != at).map(|(_, one)| one.clone()).collect();
        assert!(store.verify_any(&others, secret).await.is_err(), "without its own credential");
    }
}

#[tokio::test]
async fn what_was_forgotten_of_one_credential_is_known_of_the_others() {
    let (fixture, store, credentials, secrets) = twenty().await;
    drop(fixture.layer.proofs.forgetting(&credentials[7].0));
    for (at, secret) in secrets.iter().enumerate() {
        let before = fixture.asked();
        assert_eq!(store.verify_any(&credentials, secret).await.unwrap().index, at);
        assert_eq!(fixture.asked() - before, usize::from(at == 7), "{at}");
    }
}

/// A memory that is opened and used later sees what was forgotten meanwhile.
#[tokio::test]
async fn a_memory_that_was_opened_before_a_revocation_recalls_nothing_after_it() {
    for custody in CUSTODIES {
        let fixture = Fixture::of(custody).await;
        assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
        let (right, wrong) = ("right".into(), "wrong".into());
        let open = |candidate| fixture.warm.recall_for(fixture.key.client_id(), candidate);
        let (mut right, mut wrong) = (open(&right), open(&wrong));
        assert_eq!(right.recall(&fixture.key, &fixture.stored), Some(Verdict::Match));
        assert_eq!(wrong.recall(&fixture.key, &fixture.stored), Some(Verdict::Mismatch));
        fixture.warm.revoke(&fixture.key, &fixture.stored).await.unwrap();
        assert_eq!(right.recall(&fixture.key, &fixture.stored), None);
        assert_eq!(wrong.recall(&fixture.key, &fixture.stored), None);
    }
}

#[tokio::test]
async fn a_memory_of_one_client_decides_on_another_by_its_own_proofs() {
    let fixture = Fixture::of(Custody::Record).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    let other = key("other", "credential");
    let stored = fixture.warm.store(&other, &"theirs".into()).await.unwrap();
    let theirs = "theirs".into();
    let mut memory = fixture.warm.recall_for(fixture.key.client_id(), &theirs);
    assert_eq!(memory.recall(&other, &stored), Some(Verdict::Match));
    assert_eq!(memory.recall(&other, &fixture.stored), None);
    assert_eq!(memory.recall(&fixture.key, &fixture.stored), Some(Verdict::Mismatch));
}
