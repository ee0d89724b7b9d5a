//! Tests of the readers. The digests that other software published are in `tests/legacy/vectors.tsv`; here
//! are those whose secret is no text.

use super::kdf::Stored;
use super::parts::Bounds;
use super::pbkdf2::Pbkdf2;
use super::sha_text::{Bare, Sum};
use super::*;
use crate::backend::{SecretBackend, Verdict};
use crate::backends::Memory;
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, VerifyError};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::store::SecretStore;

/// From the documentation of Ory Kratos; the secret is `test`.
const KRATOS: &str = "$pbkdf2-sha256$i=100000,l=32$1jP+5Zxpxgtee/iPxGgOz0RfE9/KJuDElP1ley4VxXc$QJxzfvdbHYBpydCbHoFg3GJEqMFULwskiuqiJctoYpI";
const SCRYPT: &str = "$scrypt$ln=8,r=8,p=1$wlhLyXmP8b53bm1NKYVQqg$mTpvG8lzuuDk+DWz8HZIB6Vum6erDuUm0As5yU+VxWA";
const BCRYPT_SHA256: &str = "$bcrypt-sha256$v=2,t=2b,r=5$5Hg1DKFqPE8C2aflZ5vVoe$wOK1VFFtS8IGTrGa7.h5fs0u84qyPbS";

/// The text after the parameters, in the form of Werkzeug.
const SALTED: &str = "$seasalt$00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

const BOUNDS: Bounds = Bounds { pbkdf2_rounds: 2_000_000, scrypt_memory_kib: 131_072, bcrypt_cost: 14 };

fn key() -> CredentialKey {
    CredentialKey::parse("client", "credential").unwrap()
}

#[test]
fn published_digests_of_bytes_verify() {
    let mut count = 0;
    for line in include_str!("bytes.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [_source, hash, rounds, secret, salt, output] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let bytes = |text: &str| hex::decode(text).unwrap();
        let digest = Pbkdf2::of_parts(hash, rounds.parse().unwrap(), bytes(salt), bytes(output)).unwrap();
        assert_eq!(digest.verify(&bytes(secret)), Verdict::Match, "{line}");
        assert_eq!(digest.verify(b"another"), Verdict::Mismatch, "{line}");
        count += 1;
    }
    assert!(count >= 50, "{count}");
}

/// No digest is computed here, so what is refused has cost neither memory nor time.
#[test]
fn a_hostile_digest_is_refused_by_reading_it() {
    let spring =
        |parameters| format!("{{scrypt}}${parameters}$c2FsdHNhbHQ=$Rq1oS9mZ0oN0c9mCq0W2xXQ7c1vUo3m5bS8kYt4hJ2E=");
    for (hostile, method) in [
        (KRATOS.replace("i=100000", "i=4294967295"), "max_pbkdf2_rounds"),
        (KRATOS.replace("i=100000", "i=2000001"), "max_pbkdf2_rounds"),
        // Four blocks of output.
        (format!("$pbkdf2-sha256$i=500001$c2FsdA${}", "AAAA".repeat(42)), "max_pbkdf2_rounds"),
        (SCRYPT.replace("ln=8", "ln=63"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("ln=8", "ln=18"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("r=8", "r=4294967295"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("p=1", "p=4294967295"), "max_scrypt_memory_kib"),
        (spring("3f0801"), "max_scrypt_memory_kib"),
        // Next to no table, and a block of 128 bytes times r for each of very many lanes.
        (SCRYPT.replace("ln=8,r=8,p=1", "ln=1,r=1,p=1000000000"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("ln=8,r=8,p=1", "ln=1,r=3,p=300000000"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("ln=8,r=8,p=1", "ln=2,r=1,p=1073741823"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("ln=8,r=8,p=1", "ln=1,r=2,p=2147483648"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("ln=8,r=8,p=1", "ln=1,r=65536,p=65536"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("ln=8,r=8,p=1", "ln=1,r=4294967295,p=4294967295"), "max_scrypt_memory_kib"),
        (SCRYPT.replace("ln=8,r=8,p=1", "ln=63,r=4294967295,p=4294967295"), "max_scrypt_memory_kib"),
        ("scrypt$2$salt$1$1000000000$Rq1oS9mZ0oN0c9mCq0W2xQ==".to_owned(), "max_scrypt_memory_kib"),
        (format!("pbkdf2:sha256:2000001{SALTED}"), "max_pbkdf2_rounds"),
        (format!("scrypt:262144:8:1{SALTED}{}", &SALTED[9..]), "max_scrypt_memory_kib"),
        (format!("scrypt:2:1:1000000000{SALTED}{}", &SALTED[9..]), "max_scrypt_memory_kib"),
        (BCRYPT_SHA256.replace("r=5", "r=31"), "max_bcrypt_cost"),
    ] {
        let error = Stored::read(&hostile, &BOUNDS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{hostile}");
        assert!(error.to_string().contains(&format!("`LegacyKdfBuilder::{method}`")), "{hostile}: {error}");
    }
}

#[test]
fn the_blocks_of_scrypts_lanes_have_a_bound_that_no_setting_raises() {
    let most = Bounds { scrypt_memory_kib: 2_097_152, ..BOUNDS };
    let with = |parameters| SCRYPT.replace("ln=8,r=8,p=1", parameters);
    for sound in ["ln=17,r=8,p=1", "ln=1,r=1,p=8191", "ln=1,r=8,p=1023", "ln=1,r=4096,p=1"] {
        assert!(Stored::read(&with(sound), &most).is_ok(), "{sound}");
    }
    for hostile in ["ln=1,r=1,p=8192", "ln=1,r=8,p=1024", "ln=1,r=4097,p=1", "ln=1,r=1,p=30000000"] {
        let error = Stored::read(&with(hostile), &most).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{hostile}");
    }
    // The default of the well-known systems takes all that one may take unless set.
    assert!(Stored::read(&with("ln=17,r=8,p=4"), &BOUNDS).is_ok());
    assert!(Stored::read(&with("ln=17,r=8,p=5"), &BOUNDS).is_err());
}

#[test]
fn a_damaged_digest_is_refused_and_not_repeated() {
    for damaged in [
        KRATOS.replace("i=100000", "i=0"),
        KRATOS.replace("i=100000", "i=+1"),
        KRATOS.replace("i=100000", "I=1"),
        KRATOS.replace("l=32", "l=31"),
        KRATOS.replace("QJxz", "QJ!z"),
        format!("{KRATOS}$"),
        KRATOS.replace("$QJxzfvdbHYBpydCbHoFg3GJEqMFULwskiuqiJctoYpI", "$QJxzfvdbHYBpydCb"),
        SCRYPT.replace("ln=8", "ln=0"),
        SCRYPT.replace("ln=8", "ln=100"),
        SCRYPT.replace("p=1", "p=0"),
        SCRYPT.replace(",p=1", ""),
        BCRYPT_SHA256.replace("v=2", "v=3"),
        BCRYPT_SHA256.replace("r=5", "r=3"),
        BCRYPT_SHA256.replace("t=2b", "t=2c"),
        "{pbkdf2}5d923b44".to_owned(),
        format!("{{PBKDF2}}{}", "5d".repeat(40)),
        format!("pbkdf2:sha256:0{SALTED}"),
        format!("pbkdf2:sha256{SALTED}"),
        format!("pbkdf2:sha256:1:1{SALTED}"),
        format!("pbkdf2:sha512:1{SALTED}"),
        format!("pbkdf2:sha256:1{SALTED}00"),
        format!("pbkdf2:sha256:1{SALTED}$"),
        format!("pbkdf2:sha256:1{}", SALTED.replace("seasalt", "")),
        format!("pbkdf2:sha256:1{}", SALTED.replace("aa", "ag")),
        format!("pbkdf2_sha512$1{SALTED}="),
        format!("scrypt:2:8:1{SALTED}"),
        format!("scrypt:3:8:1{SALTED}{}", &SALTED[9..]),
        format!("scrypt:2:8{SALTED}{}", &SALTED[9..]),
        format!("scrypt:2:8:0{SALTED}{}", &SALTED[9..]),
        format!("scrypt:2:8:+1{SALTED}{}", &SALTED[9..]),
        format!("scrypt:2:8:1{}{}", SALTED.replace("seasalt", ""), &SALTED[9..]),
        "AQAAAAMAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw".to_owned(),
        "AQAAAAIAAAAy".to_owned(),
        String::new(),
    ] {
        let error = Stored::read(&damaged, &BOUNDS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{damaged}");
        assert!(damaged.is_empty() || !format!("{error} {error:?}").contains(&damaged));
    }
}

#[test]
fn what_is_no_sum_from_end_to_end_is_not_recognised() {
    let (all, sum) = (
        Bare { hex: true, base64: true, base64url: true },
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
    assert!(Sum::read(sum, all).is_some());
    for other in
        [&sum[..63], &format!("{sum}0"), &sum.replace('b', "g"), "{SSHA}tooshort", "{SHA256}", "{MD5}00", "a$b$c", ""]
    {
        assert!(Sum::read(other, all).is_none(), "{other}");
    }
}

#[test]
fn a_sum_that_names_no_function_is_read_only_where_its_form_was_asked_for() {
    let none = Bare::default();
    let forms = [
        ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Bare { hex: true, ..none }),
        ("K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", Bare { base64: true, ..none }),
        ("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Bare { base64url: true, ..none }),
    ];
    for (text, its) in forms {
        assert!(Sum::read(text, none).is_none(), "{text}");
        for (_, asked) in forms {
            let is_its = format!("{asked:?}") == format!("{its:?}");
            assert_eq!(Sum::read(text, asked).is_some(), is_its, "{text}: {asked:?}");
        }
    }
    // Standard base64 without its padding is what a third of the secrets of 32 bytes in base64url look like.
    assert!(Sum::read("K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols", Bare { base64: true, ..none }).is_none());
    for named in ["{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", LegacySha::TYPICAL] {
        assert!(Sum::read(named, none).is_some(), "{named}");
    }
}

#[test]
fn springs_lower_case_names_stay_its_own() {
    let spring = "{sha256}97cde38028ad898ebc02e690819fa220e88c62e0699403e94fff291cfffaf8410849f27605abcbc0";
    let verdict = |text: &str, secret: &[u8]| Sum::read(text, Bare::default()).map(|sum| sum.verify(secret));
    assert_eq!(verdict(spring, b"password"), Some(Verdict::Match));
    let ldap = "{sha256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=";
    assert_eq!(verdict(ldap, b"test"), Some(Verdict::Match));
    assert_eq!(
        verdict(&format!("{{ldap}}{}", "{ssha}JFZFs0oHzxbMwkSJmYVeI8MnTDy/276a"), b"test123"),
        Some(Verdict::Match)
    );
    for other in [&spring[..spring.len() - 2], &spring.replace("sha256", "SHA256"), "{sha-1}00", "{Ldap}{SSHA}00"] {
        assert_eq!(verdict(other, b"password"), None, "{other}");
    }
    let pbkdf2 = "{pbkdf2}5d923b44a6d129f3ddf3e3c8d29412723dcbde72445e8ef6bf3b508fbf17fa4ed4d6b99ca763d8dc";
    assert!(Stored::read(pbkdf2, &BOUNDS).is_ok());
    assert!(Stored::read(&pbkdf2.to_uppercase(), &BOUNDS).is_err(), "LDAP's, and no sound one");
}

#[test]
fn what_is_read_shows_nothing_of_itself() {
    for digest in [KRATOS, SCRYPT, BCRYPT_SHA256] {
        let shown = format!("{:?}", Stored::read(digest, &BOUNDS).unwrap());
        let (salt, output) = digest.rsplit_once('$').unwrap();
        assert!(!shown.contains(output) && !shown.contains(salt.rsplit_once('$').unwrap().1), "{shown}");
    }
    let sum = Sum::read("{SSHA}JFZFs0oHzxbMwkSJmYVeI8MnTDy/276a", Bare::default()).unwrap();
    assert_eq!(format!("{sum:?}"), "Sum { hash: Sha1, .. }");
    assert!(!format!("{:?}", LegacyKdf::builder().typical(KRATOS)).contains("QJxz"));
}

#[tokio::test]
async fn nothing_is_ever_stored_and_no_store_has_it_as_its_primary() {
    let (kdf, sha) = (LegacyKdf::builder().build().unwrap(), LegacySha::builder().build().unwrap());
    let backends: [&dyn SecretBackend; 2] = [&kdf, &sha];
    for backend in backends {
        let record = StoredSecret::new(backend.info().id.clone(), KRATOS);
        let secret = ClientSecret::generate().unwrap();
        let stored = backend.store(&key(), &secret).await.unwrap_err();
        let rotated = backend.rotate(&key(), &record, &secret).await.unwrap_err();
        assert_eq!((stored.kind(), rotated.kind()), (ErrorKind::InvalidConfig, ErrorKind::InvalidConfig));
    }
    let error = SecretStore::builder(kdf).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[test]
fn settings_outside_their_bounds_are_refused() {
    let builder = LegacyKdf::builder;
    for (refused, method) in [
        (builder().max_pbkdf2_rounds(0), "max_pbkdf2_rounds"),
        (builder().max_scrypt_memory_kib(0), "max_scrypt_memory_kib"),
        (builder().max_bcrypt_cost(21), "max_bcrypt_cost"),
        (builder().typical("damaged"), "typical"),
        (builder().max_pbkdf2_rounds(24_999), "typical"),
        (builder().max_concurrency(0), "max_concurrency"),
    ] {
        let error = refused.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{method}");
        assert!(error.to_string().contains(method), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_client_costs_a_digest_of_the_typical_form() {
    for typical in [KRATOS, SCRYPT, BCRYPT_SHA256] {
        let kdf = LegacyKdf::builder().typical(typical).build().unwrap();
        let store = SecretStore::builder(Memory::new()).accepts(kdf).build().unwrap();
        store.prepare().await.unwrap();
        store.verify_decoy(&"test".into()).await.unwrap();
        let secrets = StoredSecret::parse(typical).unwrap().into();
        let outcome = store.verify(&key(), &secrets, &"wrong".into()).await;
        assert!(matches!(outcome, Err(VerifyError::Mismatch)), "{typical}");
    }
    let info = LegacyKdf::builder().typical(KRATOS).build().unwrap().info().clone();
    assert_eq!(info.decoy(), Some(StoredSecret::new(BackendId::LEGACY_KDF, KRATOS)));
}
