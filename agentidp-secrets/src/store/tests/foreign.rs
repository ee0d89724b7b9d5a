//! Records of other software: the backends say whose they are.

use super::*;
use crate::backends::KeyedDigest;
use crate::layer::{Layer, stack};
use crate::layers::{BreakerLayer, Event, LimitLayer, ObserveLayer, Observer, RetryLayer, TimeoutLayer, WarmLayer};
use crate::testkit::FaultLayer;

/// A third party's form: a head of its own, and the secret behind it.
#[derive(Debug)]
struct Foreign {
    info: BackendInfo,
    head: &'static str,
}

fn foreign(id: &str, head: &'static str) -> DigestBackend<Foreign> {
    let info = BackendInfo::new(BackendId::parse(id).unwrap(), Custody::Record).with_quick_digest();
    DigestBackend::new(Foreign { info, head })
}

impl Digester for Foreign {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        text.starts_with(self.head)
    }

    fn digest(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<String> {
        Ok(format!("{}{}", self.head, secret.expose_secret()))
    }

    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        match digest.strip_prefix(self.head) {
            Some(secret) if secret == candidate.expose_secret() => Ok(Verdict::Match),
            Some(_) => Ok(Verdict::Mismatch),
            None => Err(Error::new(ErrorKind::Malformed, "another form")),
        }
    }
}

#[derive(Debug)]
struct Ignored;

impl Observer for Ignored {
    fn record(&self, _event: &Event) {}
}

fn store() -> SecretStore {
    let builder = SecretStore::builder(Memory::new());
    builder.accepts(foreign("theirs", "{THEIRS}")).accepts(foreign("sums", "sum:")).build().unwrap()
}

fn row(text: &str) -> CredentialSecrets {
    StoredSecret::parse(text).unwrap().into()
}

#[tokio::test]
async fn a_bare_text_and_a_foreign_brace_are_decided_by_the_backend_that_recognises_them() {
    let store = store();
    for text in ["{THEIRS}secret", "sum:secret"] {
        let proof = store.verify(&key(), &row(text), &"secret".into()).await.unwrap();
        assert!(proof.outdated, "another form than today's");
        let wrong = store.verify(&key(), &row(text), &"Secret".into()).await.unwrap_err();
        assert!(matches!(wrong, VerifyError::Mismatch), "{text}");
    }
}

#[tokio::test]
async fn a_brace_that_reads_like_an_unknown_backend_is_shown_to_the_backends_too() {
    let builder = SecretStore::builder(Memory::new()).accepts(foreign("theirs", "{noop}"));
    let proof = builder.build().unwrap().verify(&key(), &row("{noop}secret"), &"secret".into()).await;
    assert!(proof.is_ok());
}

#[tokio::test]
async fn a_bare_form_of_ours_goes_to_the_backend_that_takes_it_where_ours_is_missing() {
    let builder = SecretStore::builder(Memory::new()).accepts(foreign("theirs", "$2b$"));
    let proof = builder.build().unwrap().verify(&key(), &row("$2b$secret"), &"secret".into()).await;
    assert!(proof.is_ok());
}

#[tokio::test]
async fn a_bare_form_of_ours_goes_to_the_primary_where_that_takes_it_too() {
    let keys = MacKeys::parse(&format!("k1:{}", "0123456789abcdef".repeat(4))).unwrap();
    let store =
        SecretStore::builder(foreign("theirs", "$hmac-sha256$")).accepts(KeyedDigest::new(keys)).build().unwrap();
    let row = row("$hmac-sha256$secret");
    assert_eq!(store.backend_of(&row.current), BackendId::parse("theirs").unwrap());
    let proof = store.verify(&key(), &row, &"secret".into()).await.unwrap();
    assert!(!proof.outdated, "it is of the primary");
    let rotated = store.rotate(&key(), &row, GRACE).await.unwrap();
    assert_eq!(rotated.previous.unwrap().stored.to_text(), "{theirs}$hmac-sha256$secret");
}

#[tokio::test]
async fn a_bare_path_of_a_vault_that_is_not_given_is_no_damaged_row() {
    let row = row("secret/data/agentidp/agents/a/credentials/c");
    for grace in [Duration::ZERO, GRACE] {
        let error = store().rotate(&key(), &row, grace).await.unwrap_err();
        assert_eq!((error.kind(), error.backend()), (ErrorKind::UnknownBackend, Some(&BackendId::VAULT_KV2)));
    }
}

/// For the error: who is missing.
#[test]
fn what_nobody_claims_is_told_by_the_forms_of_this_librarys_backends() {
    let store = SecretStore::builder(Memory::new()).build().unwrap();
    let table = [
        ("$2a$10$rest", Some(BackendId::BCRYPT)),
        ("$2b$10$rest", Some(BackendId::BCRYPT)),
        ("$2x$10$rest", Some(BackendId::BCRYPT)),
        ("$2y$10$rest", Some(BackendId::BCRYPT)),
        ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", Some(BackendId::ARGON2)),
        ("$hmac-sha256$v=1$keyid=k1$salt$mac", Some(BackendId::KEYED_DIGEST)),
        ("$hmac-sha512$v=1$keyid=k1$salt$mac", None),
        ("secret/data/agentidp/agents/a/credentials/c", Some(BackendId::VAULT_KV2)),
        ("team/kv/data/agentidp/agents/a/credentials/c?version=3", Some(BackendId::VAULT_KV2)),
        ("$argon2i$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", Some(BackendId::ARGON2)),
        ("$argon2d$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", Some(BackendId::ARGON2)),
        ("$argon2$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", None),
        ("$2c$10$rest", None),
        ("/secret/data/a", None),
        ("secret//data/a", None),
        ("secret/data/", None),
        ("data/secret", None),
        ("plain secret", None),
        ("", None),
    ];
    for (text, expected) in table {
        let record = StoredSecret::new(BackendId::UNCLAIMED, text);
        assert_eq!(store.backend_of(&record), expected.unwrap_or(BackendId::UNCLAIMED), "{text}");
    }
}

#[tokio::test]
async fn the_first_backend_of_the_store_that_recognises_a_text_has_it() {
    let builder = SecretStore::builder(Memory::new());
    let store = builder.accepts(foreign("first", "x")).accepts(foreign("second", "xx")).build().unwrap();
    assert!(store.verify(&key(), &row("xxs"), &"xs".into()).await.is_ok());
}

#[tokio::test]
async fn what_no_backend_recognises_is_an_error_and_never_a_mismatch() {
    for (text, kind) in [("{SSHA}secret", ErrorKind::Malformed), ("{other}secret", ErrorKind::UnknownBackend)] {
        let outcome = store().verify(&key(), &row(text), &"secret".into()).await;
        let VerifyError::Backend(error) = outcome.unwrap_err() else { panic!("decided: {text}") };
        assert_eq!(error.kind(), kind, "{text}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn upgrade_and_rotate_lead_a_foreign_row_to_todays_form() {
    let (store, secret) = (store(), ClientSecret::from("secret"));
    for (text, key) in [("{THEIRS}secret", key()), ("sum:secret", CredentialKey::parse("b", "b").unwrap())] {
        let row = row(text);
        let proof = store.verify(&key, &row, &secret).await.unwrap();
        let upgraded = store.upgrade(&key, &row.current, &proof, &secret).await.unwrap().unwrap();
        assert_eq!(upgraded.stored.backend(), &BackendId::MEMORY);
        assert!(store.verify(&key, &upgraded.stored.into(), &secret).await.is_ok());
    }
    let (row, other) = (row("sum:secret"), CredentialKey::parse("c", "c").unwrap());
    let rotated = store.rotate(&other, &row, GRACE).await.unwrap();
    let after = CredentialSecrets { current: rotated.stored, selector: None, previous: rotated.previous };
    assert!(store.verify(&other, &after, &secret).await.is_ok(), "in the time of the overlap");
    assert!(store.verify(&other, &after, &rotated.secret).await.is_ok());
}

#[tokio::test]
async fn a_rotation_repairs_a_row_that_no_backend_recognises() {
    let rotated = store().rotate(&key(), &row("?damaged?"), GRACE).await.unwrap();
    assert_eq!((rotated.stored.backend(), rotated.previous), (&BackendId::MEMORY, None));
}

#[tokio::test]
async fn of_several_credentials_a_damaged_text_hides_no_match() {
    let credentials = [(key(), row("?damaged?")), (key(), row("sum:a")), (key(), row("{THEIRS}b"))];
    for (secret, index) in [("a", 1), ("b", 2)] {
        assert_eq!(store().verify_any(&credentials, &secret.into()).await.unwrap().index, index);
    }
    let outcome = store().verify_any(&credentials, &"c".into()).await;
    assert!(matches!(outcome, Err(VerifyError::Backend(error)) if error.kind() == ErrorKind::Malformed));
}

#[tokio::test]
async fn every_layer_shows_texts_to_the_backend_below() {
    let (observe, warm) = (ObserveLayer::new(Arc::new(Ignored)), WarmLayer::builder().build().unwrap());
    let (breaker, timeout) = (BreakerLayer::default(), TimeoutLayer::new(Duration::from_secs(1)));
    let (limit, retry, faults) = (LimitLayer::new(1), RetryLayer::default(), FaultLayer::new());
    let layers: [&dyn Layer; 7] = [&observe, &warm, &breaker, &timeout, &limit, &retry, &faults];
    for layer in layers {
        let layered = stack(foreign("theirs", "{THEIRS}"), &[layer]);
        assert!(layered.recognises("{THEIRS}a") && !layered.recognises("{OTHERS}a"), "{layered:?}");
    }
}
