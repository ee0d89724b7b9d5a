use proptest::prelude::*;

use super::*;
use crate::testkit::{assert_error_redacted, assert_redacted};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEY: &str = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
const SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Computed by Python's `hmac`: the key is the MAC of `agentidp-secrets keyed-digest v1` under `KEY`, the message is
/// client id, credential id, salt and secret, each after its length in four bytes.
const ELSEWHERE: &str = "$hmac-sha256$v=1$keyid=k1$101112131415161718191a1b1c1d1e1f\
    $8f7b661fc667bf99d0c23b79c0693f8d3f0be1b80a4534d2f9a71f4a1447123e";

fn backend(keys: &str) -> KeyedDigest {
    KeyedDigest::new(MacKeys::parse(keys).unwrap())
}

fn key() -> CredentialKey {
    CredentialKey::parse("0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7").unwrap()
}

async fn verify(keys: &str, digest: &str, candidate: &str) -> Result<Verdict> {
    backend(keys).verify(&key(), &StoredSecret::new(BackendId::KEYED_DIGEST, digest), &candidate.into()).await
}

#[tokio::test]
async fn it_is_what_another_implementation_computes() {
    let keys = format!("k1:{KEY}");
    assert_eq!(verify(&keys, ELSEWHERE, SECRET).await.unwrap(), Verdict::Match);
    for near_miss in [SECRET.replace('f', "e"), format!("{SECRET}0"), SECRET[..71].to_owned(), String::new()] {
        assert_eq!(verify(&keys, ELSEWHERE, &near_miss).await.unwrap(), Verdict::Mismatch, "{near_miss:?}");
    }
}

#[tokio::test]
async fn a_record_of_another_credential_verifies_nothing() {
    let keyed = backend(&format!("k1:{KEY}"));
    let record = keyed.store(&key(), &SECRET.into()).await.unwrap();
    assert_eq!(keyed.verify(&key(), &record, &SECRET.into()).await.unwrap(), Verdict::Match);
    for (client, credential) in [("other", key().credential_id().as_str()), (key().client_id().as_str(), "other")] {
        let other = CredentialKey::parse(client, credential).unwrap();
        assert_eq!(keyed.verify(&other, &record, &SECRET.into()).await.unwrap(), Verdict::Mismatch);
    }
}

#[tokio::test]
async fn a_key_that_is_replaced_still_counts_and_one_that_is_missing_is_named() {
    let replaced = format!("k2:{OTHER_KEY} k1:{KEY}");
    assert_eq!(verify(&replaced, ELSEWHERE, SECRET).await.unwrap(), Verdict::MatchOutdated);
    assert_eq!(verify(&replaced, ELSEWHERE, &SECRET.replace('f', "e")).await.unwrap(), Verdict::Mismatch);
    let rotated = backend(&replaced);
    let record = StoredSecret::new(BackendId::KEYED_DIGEST, ELSEWHERE);
    let record = rotated.rotate(&key(), &record, &SECRET.into()).await.unwrap();
    assert_eq!(rotated.verify(&key(), &record, &SECRET.into()).await.unwrap(), Verdict::Match);

    let error = verify(&format!("k2:{KEY}"), ELSEWHERE, SECRET).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("`k1`"), "{error}");
    let wrong_key_under_the_id = verify(&format!("k1:{OTHER_KEY}"), ELSEWHERE, SECRET).await.unwrap();
    assert_eq!(wrong_key_under_the_id, Verdict::Mismatch);
}

#[tokio::test]
async fn damaged_digests_are_malformed_and_not_repeated() {
    for (from, to) in [
        ("$hmac", "hmac"),
        ("sha256", "sha512"),
        ("v=1", "v=2"),
        ("v=1$", ""),
        ("keyid=k1", "keyid="),
        ("keyid=k1", "keyid=K1"),
        ("keyid=", "key="),
        ("$1011", "$10111"),
        ("$1011", "$10"),
        ("$1011", "$101g"),
        ("1a1b", "1A1B"),
        ("8f7b", "8F7B"),
        ("123e", "123"),
        ("123e", "123e$"),
        ("123e", "123e\n"),
        ("123e", "123\u{e4}"),
    ] {
        let damaged = ELSEWHERE.replacen(from, to, 1);
        assert_ne!(damaged, ELSEWHERE);
        let error = verify(&format!("k1:{KEY}"), &damaged, SECRET).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{damaged}");
        assert_error_redacted(&error, &ELSEWHERE[26..]);
    }
}

#[tokio::test]
async fn a_secret_that_could_be_guessed_is_refused() {
    let keyed = backend(&format!("k1:{KEY}"));
    for chosen in ["", "correct horse", &SECRET[..71], &SECRET.to_uppercase(), &SECRET.replace("live", "test")] {
        let error = keyed.store(&key(), &chosen.into()).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidSecret, Some(Operation::Store)));
    }
}

#[test]
fn debug_shows_no_key() {
    assert_redacted(&backend(&format!("k1:{KEY}")), KEY);
}

proptest! {
    #[test]
    fn a_payload_round_trips(payload in "\\$hmac-sha256\\$v=1\\$keyid=[a-z0-9-]{1,16}\\$[0-9a-f]{32}\\$[0-9a-f]{64}") {
        prop_assert_eq!(Digest::parse(&payload).unwrap().to_string(), payload);
    }

    #[test]
    fn what_parses_is_what_is_written(payload in "\\PC{0,60}", tail in "[a-z0-9$]{0,120}") {
        for text in [payload, format!("{}{tail}", Digest::HEAD)] {
            if let Some(digest) = Digest::parse(&text) {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
