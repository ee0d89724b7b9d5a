//! What is never taken for another, and never shown.

use super::*;

fn question(
    proofs: &Proofs,
    (client, credential, backend, payload, secret): (&str, &str, &str, &str, &str),
) -> impl PartialEq + fmt::Debug + use<> {
    let (key, stored) = (key(client, credential), StoredSecret::new(BackendId::parse(backend).unwrap(), payload));
    let (record, tag) = proofs.question(proofs.attempt(key.client_id(), &secret.into()), 0, &key, &stored).id();
    (record.0, tag)
}

/// The failure of October 2024 at Okta, whose key for cached logins lost the password behind a long name.
#[tokio::test]
async fn a_wrong_secret_never_hits_however_long_the_ids_are() {
    let fixture = Fixture::of(Custody::Record).await;
    for len in 1..=128 {
        let key = key(&"c".repeat(len), &"k".repeat(129 - len));
        let stored = fixture.warm.store(&key, &fixture.secret).await.unwrap();
        assert_eq!(fixture.warm.verify(&key, &stored, &fixture.secret).await.unwrap(), Verdict::Match);
        assert_eq!(fixture.warm.verify(&key, &stored, &"wrong".into()).await.unwrap(), Verdict::Mismatch);
    }
}

#[test]
fn no_byte_moves_from_one_part_to_another() {
    let layer = WarmLayer::builder().build().unwrap();
    let parts = ("ab", "cd", "ef", "gh", "ij");
    let moved = [
        ("a", "bcd", "ef", "gh", "ij"),
        ("abc", "d", "ef", "gh", "ij"),
        ("ab", "c", "def", "gh", "ij"),
        ("ab", "cd", "e", "fgh", "ij"),
        ("ab", "cd", "ef", "ghi", "j"),
        ("ab", "cd", "ef", "g", "hij"),
        ("ab", "cd", "ef", "ghij", ""),
    ];
    for moved in moved {
        assert_ne!(question(&layer.proofs, parts), question(&layer.proofs, moved), "{moved:?}");
    }
    let other = WarmLayer::builder().build().unwrap();
    assert_ne!(question(&layer.proofs, parts), question(&other.proofs, parts), "every layer has its own key");
}

/// CVE-2026-94215: a cache by the id alone let one realm in at another.
#[tokio::test]
async fn the_same_credential_id_at_two_clients_is_two_credentials() {
    let fixture = Fixture::of(Custody::Backend).await;
    assert_eq!(fixture.verify("right").await, Ok(Verdict::Match));
    let other = key("other", "credential");
    let stored = fixture.warm.store(&other, &"theirs".into()).await.unwrap();
    assert_eq!(fixture.warm.verify(&other, &stored, &"right".into()).await.unwrap(), Verdict::Mismatch);
    let borrowed = fixture.warm.verify(&other, &fixture.stored, &"right".into()).await;
    assert_eq!(borrowed.unwrap_err().kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn two_backends_of_one_id_share_no_proof() {
    let layer = WarmLayer::builder().build().unwrap();
    let backend = || stack(BrokenBackend::sound(Custody::Backend), &[&layer]);
    let (one, other) = (backend(), backend());
    let key = key("client", "credential");
    let record = one.store(&key, &"one".into()).await.unwrap();
    assert_eq!(other.store(&key, &"other".into()).await.unwrap(), record, "the records do not tell them apart");
    assert_eq!(one.verify(&key, &record, &"one".into()).await.unwrap(), Verdict::Match);
    assert_eq!(other.verify(&key, &record, &"one".into()).await.unwrap(), Verdict::Mismatch);
    assert_eq!(other.verify(&key, &record, &"other".into()).await.unwrap(), Verdict::Match);
    assert_eq!(one.verify(&key, &record, &"one".into()).await.unwrap(), Verdict::Match);
}

#[tokio::test]
async fn nothing_held_can_be_seen() {
    let (fixture, secret) = (Fixture::of(Custody::Backend).await, "canary-of-a-secret");
    let key = key("canary-client", "credential");
    let stored = fixture.warm.store(&key, &secret.into()).await.unwrap();
    assert_eq!(fixture.warm.verify(&key, &stored, &secret.into()).await.unwrap(), Verdict::Match);
    let proofs = &fixture.layer.proofs;
    let (_, tag) = proofs.question(proofs.attempt(key.client_id(), &secret.into()), 0, &key, &stored).id();
    let tag = tag[0].to_string();
    for hidden in [secret, "canary-client", &tag] {
        assert_redacted(&fixture.layer, hidden);
        assert_redacted(&fixture.warm, hidden);
        assert_redacted(&WarmLayer::builder(), hidden);
    }
    assert_eq!(format!("{:?}", fixture.layer), "WarmLayer { entries: 1, .. }");
}
