//! What opens, what does not, and what never shows.

use proptest::prelude::*;

use super::text::SealedText;
use super::*;
use crate::store::{CredentialSecrets, SecretStore};
use crate::testkit::{assert_error_redacted, assert_redacted};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEY: &str = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
const SECRET: &str = "correct horse battery staple";

/// Computed by Python's `hmac` and libsodium: the key is the MAC of `agentidp-secrets sealed v1` under `KEY`; that text, key id,
/// client id and credential id are authenticated, each after its length in four bytes.
const ELSEWHERE: &str = "$xchacha20-poly1305$v=1$keyid=k1$QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX\
    $dmTId84YZ9ldZYpuvGCghF_ai1VWbZSAeGZ8thlA5xY-6hDsZv7425Jqbo8";

fn backend(keys: &str) -> Sealed {
    Sealed::new(MacKeys::parse(keys).unwrap())
}

fn one_key() -> Sealed {
    backend(&format!("k1:{KEY}"))
}

fn key() -> CredentialKey {
    CredentialKey::parse("0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7").unwrap()
}

fn record(payload: &str) -> StoredSecret {
    StoredSecret::new(BackendId::SEALED, payload)
}

fn elsewhere() -> StoredSecret {
    record(ELSEWHERE)
}

async fn verify(keys: &str, payload: &str, candidate: &str) -> Result<Verdict> {
    backend(keys).verify(&key(), &record(payload), &candidate.into()).await
}

#[tokio::test]
async fn it_opens_what_another_implementation_sealed() {
    let keys = format!("k1:{KEY}");
    assert_eq!(verify(&keys, ELSEWHERE, SECRET).await.unwrap(), Verdict::Match);
    for near_miss in
        ["correct horse battery stapl", "correct horse battery staple ", "Correct horse battery staple", ""]
    {
        assert_eq!(verify(&keys, ELSEWHERE, near_miss).await.unwrap(), Verdict::Mismatch, "{near_miss:?}");
    }
    let shown = one_key().reveal(&key(), &elsewhere()).await.unwrap().unwrap();
    assert_eq!(shown.expose_secret(), SECRET);
}

#[tokio::test]
async fn a_record_of_another_credential_is_an_error_and_shows_nothing() {
    let sealed = one_key();
    for (client, credential) in [("other", key().credential_id().as_str()), (key().client_id().as_str(), "other")] {
        let other = CredentialKey::parse(client, credential).unwrap();
        let errors = [
            sealed.verify(&other, &elsewhere(), &SECRET.into()).await.unwrap_err(),
            sealed.reveal(&other, &elsewhere()).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.to_string().contains("rotate the credential"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_record_of_another_binding_is_never_sealed_again() {
    let before = SecretStore::builder(one_key()).build().unwrap().issue(&key()).await.unwrap();
    let today = SecretStore::builder(backend(&format!("k2:{OTHER_KEY} k1:{KEY}"))).build().unwrap();
    let other = CredentialKey::parse("other", key().credential_id().as_str()).unwrap();
    assert!(
        today.verify(&other, &before.stored.into(), &before.secret).await.is_err(),
        "there is no proof to upgrade by"
    );
}

#[tokio::test]
async fn a_record_under_an_older_key_is_sealed_again_under_the_first() {
    let before = SecretStore::builder(one_key()).build().unwrap().issue(&key()).await.unwrap();
    let row = CredentialSecrets::from(before.stored);
    let today = SecretStore::builder(backend(&format!("k2:{OTHER_KEY} k1:{KEY}"))).build().unwrap();
    let proof = today.verify(&key(), &row, &before.secret).await.unwrap();
    assert!(proof.outdated);
    let upgraded = today.upgrade(&key(), &row.current, &proof, &before.secret).await.unwrap().unwrap();
    assert!(upgraded.stored.payload().contains("$keyid=k2$"));
    let proof = today.verify(&key(), &upgraded.stored.clone().into(), &before.secret).await.unwrap();
    assert!(!proof.outdated);
    assert!(today.upgrade(&key(), &upgraded.stored, &proof, &before.secret).await.unwrap().is_none());
}

#[tokio::test]
async fn a_missing_key_is_broken_configuration_and_is_named() {
    for candidate in [SECRET, "wrong", ""] {
        let error = verify(&format!("k2:{KEY}"), ELSEWHERE, candidate).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("`k1`") && error.to_string().contains("add it"), "{error}");
    }
    let error = verify(&format!("k1:{OTHER_KEY}"), ELSEWHERE, SECRET).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "other bytes under the id open nothing");
    assert!(error.to_string().contains("compare the key"), "{error}");
}

#[tokio::test]
async fn damaged_and_tampered_records_are_errors_and_not_repeated() {
    for (from, to) in [
        ("$xchacha20", "xchacha20"),
        ("poly1305", "poly1306"),
        ("v=1", "v=2"),
        ("v=1$", ""),
        ("keyid=k1", "keyid="),
        ("keyid=k1", "keyid=K1"),
        ("$QEFC", "$QEF"),
        ("$QEFC", "$QEFD"),
        ("$QEFC", "$QE+C"),
        ("$dmTI", "$dmTJ"),
        ("$dmTI", "$"),
        ("bo8", "bo9"),
        ("bo8", "bo8="),
        ("bo8", "bo8$"),
        ("bo8", "bo8\n"),
        ("bo8", "b\u{e4}8"),
    ] {
        let damaged = ELSEWHERE.replacen(from, to, 1);
        assert_ne!(damaged, ELSEWHERE);
        let error = verify(&format!("k1:{KEY}"), &damaged, SECRET).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Malformed, Some(Operation::Verify)), "{damaged}");
        assert!(error.to_string().contains("rotate the credential"), "{error}");
        assert_error_redacted(&error, &ELSEWHERE[33..]);
        assert_error_redacted(&error, SECRET);
    }
}

#[tokio::test]
async fn another_keys_id_on_a_record_opens_nothing() {
    let keys = format!("k1:{KEY} k2:{OTHER_KEY}");
    let error = verify(&keys, &ELSEWHERE.replace("keyid=k1", "keyid=k2"), SECRET).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    // Nor with the same bytes under both ids: the id itself is authenticated.
    let keys = format!("k1:{KEY} k2:{KEY}");
    let error = verify(&keys, &ELSEWHERE.replace("keyid=k1", "keyid=k2"), SECRET).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn what_is_sealed_empty_matches_nothing() {
    let sealed = one_key();
    let (key_id, cipher) = &sealed.keys[0];
    let nonce = Nonce::default();
    let empty = cipher.encrypt(&nonce.into(), Payload { msg: b"", aad: &bound_to(*key_id, &key()) }).unwrap();
    let payload = SealedText { key_id: *key_id, nonce, sealed: empty }.to_string();
    let verdict = sealed.verify(&key(), &record(&payload), &"".into()).await.unwrap();
    assert_eq!(verdict, Verdict::Mismatch);
}

#[tokio::test]
async fn nothing_shows_a_key_or_a_secret() {
    let sealed = one_key();
    for canary in [KEY, SECRET] {
        assert_redacted(&sealed, canary);
        assert_redacted(&elsewhere(), canary);
    }
    assert_eq!(format!("{sealed:?}"), "Sealed { keys: [KeyId(k1)], .. }");
    assert_redacted(&sealed, &hex::encode(MacKeys::parse(&format!("k1:{KEY}")).unwrap().first().sealing()));
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_in_its_own_row_only(
        secret in "[^\\x00]{1,60}",
        client in "\\PC{1,20}",
        credential in "\\PC{1,20}",
        other in "\\PC{1,20}",
        flipped in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let sealed = one_key();
            let key = CredentialKey::parse(&client, &credential).unwrap();
            let secret = ClientSecret::from(secret);
            let stored = sealed.store(&key, &secret).await.unwrap();
            assert_eq!(sealed.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
            assert!(sealed.reveal(&key, &stored).await.unwrap().unwrap().ct_eq(&secret));

            // The ids in another order, or cut at another place, are another row.
            let swapped = CredentialKey::parse(&credential, &client).unwrap();
            let shifted = CredentialKey::parse(&format!("{client}{credential}"), &other).unwrap();
            for elsewhere in [swapped, shifted].iter().filter(|elsewhere| **elsewhere != key) {
                assert_eq!(sealed.verify(elsewhere, &stored, &secret).await.unwrap_err().kind(), ErrorKind::Malformed);
            }

            let text = SealedText::parse(stored.payload()).unwrap();
            let (mut nonce, mut bytes) = (text.nonce, text.sealed.clone());
            let at = flipped.index(nonce.len() + bytes.len());
            match nonce.get_mut(at) {
                Some(byte) => *byte ^= 1,
                None => bytes[at - text.nonce.len()] ^= 1,
            }
            let tampered = record(&SealedText { key_id: text.key_id, nonce, sealed: bytes }.to_string());
            assert_eq!(sealed.verify(&key, &tampered, &secret).await.unwrap_err().kind(), ErrorKind::Malformed);
        });
    }

    #[test]
    fn what_parses_is_what_is_written(payload in "\\PC{0,60}", tail in "[A-Za-z0-9_$-]{0,90}") {
        for text in [payload, format!("$xchacha20-poly1305$v=1$keyid={tail}")] {
            if let Some(sealed) = SealedText::parse(&text) {
                prop_assert_eq!(sealed.to_string(), text);
            }
        }
    }
}
