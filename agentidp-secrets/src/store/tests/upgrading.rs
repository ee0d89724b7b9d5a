//! The same secret in a newer record.

use super::*;
use crate::backends::KeyedDigest;
use crate::layer::stack;
use crate::testkit::FaultLayer;

const KEYS: &str = "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
const SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn upgrade_stores_again_only_what_was_proved_and_is_outdated() {
    let fixture = Fixture::digest_primary().await;
    for (current, expected) in
        [(digest("old:a"), Some(digest("a"))), (remote("a"), Some(digest("a"))), (digest("a"), None)]
    {
        let proof = fixture.verify(current.clone(), "a").await.unwrap();
        let upgraded = fixture.store.upgrade(&key(), &current, &proof, &"a".into()).await.unwrap();
        assert_eq!(upgraded.map(|upgraded| upgraded.stored), expected);
    }
    // Nor is anything written on the word of a memory.
    let stale = Verified { generation: Generation::Current, outdated: true, stale: true, selector: None };
    assert_eq!(fixture.store.upgrade(&key(), &digest("old:a"), &stale, &"a".into()).await.unwrap(), None);
    // The previous secret must never take the place of the current one.
    let secrets =
        CredentialSecrets { current: digest("new"), selector: None, previous: Some(fixture.previous(digest("old:a"))) };
    let proof = fixture.verify(secrets.clone(), "a").await.unwrap();
    assert_eq!(proof, Verified { generation: Generation::Previous, outdated: true, stale: false, selector: None });
    assert_eq!(fixture.store.upgrade(&key(), &secrets.current, &proof, &"a".into()).await.unwrap(), None);
}

/// Keyed digests for what is new, slow ones accepted.
fn keyed_primary(keys: &str, selectors: bool) -> SecretStore {
    let keys = MacKeys::parse(keys).unwrap();
    let builder = SecretStore::builder(KeyedDigest::new(keys.clone())).accepts(scripted(&Arc::default()));
    if selectors { builder.selector_keys(keys) } else { builder }.build().unwrap()
}

#[tokio::test]
async fn a_slow_digest_of_a_generated_secret_becomes_a_keyed_one() {
    for selectors in [false, true] {
        let store = keyed_primary(KEYS, selectors);
        let (slow, secret) = (digest(SECRET), ClientSecret::from(SECRET));
        let proof = store.verify(&key(), &slow.clone().into(), &secret).await.unwrap();
        let upgraded = store.upgrade(&key(), &slow, &proof, &secret).await.unwrap().unwrap();
        assert_eq!(upgraded.stored.backend(), &BackendId::KEYED_DIGEST);
        assert_eq!((upgraded.selector, selectors), (proof.selector, proof.selector.is_some()));

        let row = CredentialSecrets { current: upgraded.stored, selector: upgraded.selector, previous: None };
        let proof = store.verify(&key(), &row, &secret).await.unwrap();
        assert_eq!(proof, Verified { generation: Generation::Current, outdated: false, stale: false, selector: None });
        assert_eq!(store.upgrade(&key(), &row.current, &proof, &secret).await.unwrap(), None);
        let wrong = store.verify(&key(), &row, &SECRET.replace('f', "e").into()).await.unwrap_err();
        assert!(matches!(wrong, VerifyError::Mismatch));
    }
}

#[tokio::test]
async fn a_chosen_secret_keeps_its_slow_digest() {
    let store = keyed_primary(KEYS, true);
    let (slow, secret) = (digest("correct horse"), ClientSecret::from("correct horse"));
    let proof = store.verify(&key(), &slow.clone().into(), &secret).await.unwrap();
    assert_eq!(proof, Verified { generation: Generation::Current, outdated: true, stale: false, selector: None });
    assert_eq!(store.upgrade(&key(), &slow, &proof, &secret).await.unwrap(), None);
}

#[tokio::test]
async fn a_record_under_an_older_key_moves_to_the_first() {
    let before = keyed_primary(KEYS, true).issue(&key()).await.unwrap();
    let row = CredentialSecrets { current: before.stored, selector: before.selector, previous: None };
    let store = keyed_primary(&format!("k2:{} {KEYS}", "0f".repeat(31) + "00"), true);
    let proof = store.verify(&key(), &row, &before.secret).await.unwrap();
    assert_eq!((proof.outdated, proof.selector.unwrap().key_id().as_str()), (true, "k2"));
    let upgraded = store.upgrade(&key(), &row.current, &proof, &before.secret).await.unwrap().unwrap();
    assert!(upgraded.stored.payload().contains("keyid=k2$"), "the record names its key");
    assert_eq!(upgraded.selector, proof.selector);
}

#[tokio::test]
async fn the_backend_of_the_old_record_is_not_written_to() {
    let remote = FaultLayer::new();
    let keyed = KeyedDigest::new(MacKeys::parse(KEYS).unwrap());
    let memory = stack(Memory::new(), &[&remote]);
    let held = memory.store(&key(), &SECRET.into()).await.unwrap();
    let store = SecretStore::builder(keyed).accepts(memory).build().unwrap();
    let proof = store.verify(&key(), &held.clone().into(), &SECRET.into()).await.unwrap();
    assert!(store.upgrade(&key(), &held, &proof, &SECRET.into()).await.unwrap().is_some());
    let written = [Operation::Store, Operation::Rotate, Operation::Revoke].map(|verb| remote.calls(verb));
    assert_eq!(written, [1, 0, 0], "it is the caller's to revoke, once the row has the new record");
}
