//! Rows that ask for an hour or a terabyte are refused by reading them.
//!
//! Each text here would keep a core busy for hours, or take more memory than there is, if anything computed it: that the test ends
//! shows that nothing does. Times are printed and never asserted: `cargo test --release --all-features --test legacy hostile --
//! --nocapture`.

use std::sync::Arc;

use agentidp_secrets::backends::legacy::{LegacyKdf, LegacySha};
use agentidp_secrets::backends::{Argon2id, Bcrypt, KeyedDigest, Sealed};
use agentidp_secrets::{
    ClientSecret, Clock, CredentialKey, ErrorKind, MacKeys, SecretBackend, SecretStore, SharedBackend, StoredSecret,
    SystemClock, VerifyError,
};

/// As long as a record may be, from this beginning.
fn longest(head: &str, fill: &str) -> String {
    let room = StoredSecret::MAX_TEXT_LEN - head.len();
    format!("{head}{}", &fill.repeat(room)[..room])
}

fn hostile() -> Vec<(&'static str, String)> {
    let bcrypt = "$2b$31$abcdefghijklmnopqrstuuVvFtVFbHkqrnmTyeKCFDyKG9KBjZl2e";
    let argon2 = |parameters: &str| format!("$argon2id$v=19${parameters}$c2FsdHNhbHQ$Rq1oS9mZ0oN0c9mCq0W2xQ");
    let pbkdf2 = |parameters: &str| {
        format!("$pbkdf2-sha512${parameters}$c2FsdHNhbHQ$Rq1oS9mZ0oN0c9mCq0W2xXQ7c1vUo3m5bS8kYt4hJ2E")
    };
    let scrypt =
        |parameters: &str| format!("$scrypt${parameters}$c2FsdHNhbHQ$Rq1oS9mZ0oN0c9mCq0W2xXQ7c1vUo3m5bS8kYt4hJ2E");
    vec![
        ("bcrypt", bcrypt.to_owned()),
        ("bcrypt", bcrypt.replace("$31$", "$15$")),
        ("bcrypt", longest("$2b$10$", "a")),
        ("argon2", argon2("m=4294967295,t=1,p=1")),
        ("argon2", argon2("m=65536,t=4294967295,p=1")),
        ("argon2", argon2("m=134217720,t=10,p=16777215")),
        ("argon2", longest("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$", "AAAA")),
        ("legacy-kdf", pbkdf2("i=4294967295")),
        ("legacy-kdf", format!("pbkdf2_sha256$4294967295$salt${}=", "A".repeat(43))),
        ("legacy-kdf", longest("$pbkdf2-sha256$i=2000000$c2FsdA$", "AAAA")),
        ("legacy-kdf", scrypt("ln=63,r=8,p=1")),
        ("legacy-kdf", scrypt("ln=20,r=4294967295,p=4294967295")),
        ("legacy-kdf", scrypt("ln=1,r=1,p=1000000000")),
        ("legacy-kdf", scrypt("ln=1,r=3,p=300000000")),
        ("legacy-kdf", scrypt("ln=2,r=1,p=1073741823")),
        ("legacy-kdf", scrypt("ln=1,r=2,p=2147483648")),
        ("legacy-kdf", scrypt("ln=1,r=65536,p=65536")),
        ("legacy-kdf", scrypt("ln=1,r=16777216,p=1")),
        ("legacy-kdf", "scrypt$2$salt$1$1000000000$Rq1oS9mZ0oN0c9mCq0W2xQ==".to_owned()),
        ("legacy-kdf", format!("pbkdf2:sha512:4294967295$salt${}", "ab".repeat(64))),
        ("legacy-kdf", format!("scrypt:2147483648:8:1$salt${}", "ab".repeat(64))),
        ("legacy-kdf", format!("scrypt:2:1:1000000000$salt${}", "ab".repeat(64))),
        ("legacy-kdf", longest("$scrypt$ln=4,r=8,p=1$c2FsdHNhbHQ$", "AAAA")),
        (
            "legacy-kdf",
            "$bcrypt-sha256$v=2,t=2b,r=31$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS".to_owned(),
        ),
        ("legacy-sha", longest("{SSHA512}", "AAAA")),
        ("legacy-sha", longest("", "{ldap}")),
        ("keyed-digest", longest("$hmac-sha256$v=1$keyid=k1$", "0")),
        ("sealed", longest("$xchacha20-poly1305$v=1$keyid=k1$QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZX$", "A")),
    ]
}

fn backends() -> Vec<SharedBackend> {
    let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
    vec![
        Arc::new(Bcrypt::builder().build().unwrap()),
        Arc::new(Argon2id::builder().build().unwrap()),
        Arc::new(LegacyKdf::builder().build().unwrap()),
        Arc::new(LegacySha::builder().build().unwrap()),
        Arc::new(KeyedDigest::new(keys.clone())),
        Arc::new(Sealed::new(keys)),
    ]
}

#[tokio::test]
async fn a_hostile_row_is_refused_and_is_no_wrong_secret() {
    let (backends, key) = (backends(), CredentialKey::parse("client", "credential").unwrap());
    let secret = ClientSecret::generate().unwrap();
    for (name, text) in hostile() {
        let backend = backends.iter().find(|backend| backend.info().id.as_str() == name).unwrap();
        let record = StoredSecret::parse(&format!("{{{name}}}{text}")[..]);
        // The id itself may be what makes the text too long: then it is refused before anything reads it.
        let record = record.unwrap_or_else(|_| StoredSecret::new(backend.info().id.clone(), text.as_str()));
        let began = SystemClock::default().instant();
        let error = backend.verify(&key, &record, &secret).await.unwrap_err();
        println!("{name}\t{:?}\t{}", SystemClock::default().instant() - began, text.get(..40).unwrap_or(&text));
        assert_eq!(error.kind(), ErrorKind::Malformed, "{name}: {text}");
    }
}

#[tokio::test]
async fn a_hostile_bare_row_stops_no_other_credential() {
    let backends = backends();
    let store = backends[1..]
        .iter()
        .fold(SecretStore::builder(Arc::clone(&backends[0])), |store, accepted| store.accepts(Arc::clone(accepted)));
    let store = store.build().unwrap();
    let key = |number: usize| CredentialKey::parse("client", &format!("credential-{number}")).unwrap();
    let mut credentials: Vec<_> = hostile()
        .into_iter()
        .enumerate()
        .map(|(number, (_, text))| (key(number), StoredSecret::parse(&text).unwrap().into()))
        .collect();
    let issued = store.issue(&key(99)).await.unwrap();
    credentials.push((key(99), issued.stored.into()));
    let verified = store.verify_any(&credentials, &issued.secret).await.unwrap();
    assert_eq!(verified.index, credentials.len() - 1);
    let wrong = store.verify_any(&credentials, &ClientSecret::generate().unwrap()).await;
    assert!(matches!(wrong, Err(VerifyError::Backend(_))), "{wrong:?}");
}

#[test]
fn a_longer_row_is_refused_before_anything_reads_it() {
    let text = longest("$2b$10$", "a");
    assert!(StoredSecret::parse(&text).is_ok());
    assert_eq!(StoredSecret::parse(&format!("{text}a")).unwrap_err().kind(), ErrorKind::Malformed);
}
