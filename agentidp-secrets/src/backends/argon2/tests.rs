//! Tests of the backend, with digests that other libraries made.

use super::*;
use crate::backend::SecretBackend;
use crate::record::{BackendId, StoredSecret};

const SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// Made of it by Python's argon2-cffi.
const SMALL: &str = "$argon2id$v=19$m=64,t=1,p=2$pfOod6pTRtdTOIp2gq2mFA$IbJjUxUKqUqLflj//O8VUfpwagRoRph0y1MOjKwfUJg";
const OWASP: &str = "$argon2id$v=19$m=19456,t=2,p=1$klq/VHTAvVEGpZS/xGbzfA$Olpfd/lrvvjR6IZuExjqjx8ghg2qxSkyoukKH98hN+k";

async fn verify(digest: &str, candidate: &str) -> Result<Verdict> {
    let key = CredentialKey::parse("client", "credential").unwrap();
    let argon2 = Argon2id::builder().build().unwrap();
    argon2.verify(&key, &StoredSecret::new(BackendId::ARGON2, digest), &ClientSecret::from(candidate)).await
}

#[tokio::test]
async fn digests_of_another_library_verify() {
    assert_eq!(verify(OWASP, SECRET).await.unwrap(), Verdict::Match);
    assert_eq!(verify(SMALL, SECRET).await.unwrap(), Verdict::MatchOutdated);
    for near_miss in [format!("{SECRET}x"), SECRET[..71].to_owned(), SECRET.to_uppercase()] {
        assert_eq!(verify(SMALL, &near_miss).await.unwrap(), Verdict::Mismatch);
    }
}

#[tokio::test]
async fn damaged_digests_and_parameters_out_of_bounds_are_malformed() {
    for (from, to) in [
        ("m=64", "m=131073"),
        ("m=64", "m=4294967295"),
        ("m=64", "m=15"),
        ("t=1", "t=11"),
        ("t=1", "t=0"),
        ("p=2", "p=256"),
        ("p=2", "p=16777215"),
        ("p=2", "p=0"),
        ("p=2", "p=2,keyid=AAAA"),
        ("v=19", "v=18"),
        ("argon2id", "argon2x"),
        ("$pfOod6pTRtdTOIp2gq2mFA", ""),
        ("$IbJjUxUKqUqLflj//O8VUfpwagRoRph0y1MOjKwfUJg", ""),
        ("IbJjUxUKqUqLflj//O8VUfpwagRoRph0y1MOjKwfUJg", "IbJjUxUKqUqLflj/"),
        ("IbJj", "Ib!j"),
        ("UJg", "UJg$"),
    ] {
        let damaged = SMALL.replace(from, to);
        assert_ne!(damaged, SMALL);
        let error = verify(&damaged, SECRET).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{damaged}");
        assert!(!format!("{error} {error:?}").contains("O8VUfp"));
    }
}

#[tokio::test]
async fn the_longest_secret_fits_and_counts_to_its_last_byte() {
    let argon2 = Argon2id::builder().minimum_cost_for_tests().build().unwrap();
    let key = CredentialKey::parse("client", "credential").unwrap();
    let (longest, other) = ("a".repeat(4096), "a".repeat(4095) + "b");
    let record = argon2.store(&key, &longest.into()).await.unwrap();
    assert_eq!(argon2.verify(&key, &record, &"a".repeat(4096).into()).await.unwrap(), Verdict::Match);
    assert_eq!(argon2.verify(&key, &record, &other.into()).await.unwrap(), Verdict::Mismatch);
}

#[test]
fn parameters_outside_the_bounds_are_no_setting() {
    let builder = Argon2id::builder;
    for refused in [
        builder().memory_kib(7_167),
        builder().memory_kib(65_537),
        builder().iterations(0),
        builder().iterations(11),
        builder().parallelism(0),
        builder().parallelism(5),
        builder().minimum_cost_for_tests().parallelism(2),
        builder().max_concurrency(0),
        builder().max_stored_memory_kib(7),
        builder().max_stored_memory_kib(2_097_153),
        builder().max_stored_memory_kib(19_455),
        builder().max_stored_iterations(0),
        builder().max_stored_iterations(1),
        builder().max_stored_iterations(101),
        builder().max_stored_parallelism(0),
        builder().max_stored_parallelism(256),
        builder().parallelism(2).max_stored_parallelism(1),
    ] {
        assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

#[tokio::test]
async fn the_defaults_of_well_known_systems_verify() {
    // Vaultwarden's preset, from its documentation.
    let vaultwarden = "$argon2id$v=19$m=65540,t=3,p=4$\
                       M29tVXp3ZVl6UC9EZDVRdW1EWE9GQWg2cXVRaXdiMnMrVlIrU2xjbXFyST0$\
                       TZUeinxme5vCB++KdBy5UuBJvcPtqk4xXMfQpeaY6AA";
    assert_eq!(verify(vaultwarden, "MySecretPassword").await.unwrap(), Verdict::Match);
    assert_eq!(verify(vaultwarden, "MySecretPasswort").await.unwrap(), Verdict::Mismatch);
    // Memory, passes and lanes of Ory Kratos, Django, Authelia, Keycloak, Spring and PHP; the output is not theirs.
    for parameters in ["131072,1,16", "102400,2,8", "65536,3,4", "7168,5,1", "16384,2,1", "65536,4,1"] {
        let mut numbers = parameters.split(',');
        let [m, t, p] = std::array::from_fn(|_| numbers.next().unwrap());
        let digest = SMALL.replace("m=64,t=1,p=2", &format!("m={m},t={t},p={p}"));
        assert!(read(&digest).is_ok(), "{parameters}");
    }
}

#[tokio::test]
async fn argon2i_and_argon2d_and_version_16_verify_and_are_outdated() {
    // From the tests of the reference implementation.
    for digest in [
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    ] {
        assert_eq!(verify(digest, "password").await.unwrap(), Verdict::MatchOutdated, "{digest}");
        assert_eq!(verify(digest, "passworD").await.unwrap(), Verdict::Mismatch, "{digest}");
    }
}

#[tokio::test]
async fn what_stored_digests_may_ask_for_is_a_setting_that_the_refusal_names() {
    let bounded = Argon2id::builder().minimum_cost_for_tests();
    let bounded = bounded.max_stored_memory_kib(64).max_stored_iterations(1).max_stored_parallelism(2).build().unwrap();
    let key = CredentialKey::parse("client", "credential").unwrap();
    let verify = async |digest: &str| {
        bounded.verify(&key, &StoredSecret::new(BackendId::ARGON2, digest), &ClientSecret::from(SECRET)).await
    };
    assert_eq!(verify(SMALL).await.unwrap(), Verdict::Match);
    for (from, to, method) in [
        ("m=64", "m=65", "max_stored_memory_kib"),
        ("t=1", "t=2", "max_stored_iterations"),
        ("p=2", "p=3", "max_stored_parallelism"),
    ] {
        let error = verify(&SMALL.replace(from, to)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains(&format!("`Argon2idBuilder::{method}`")), "{error}");
    }
}

/// No digest is computed here, so what is refused has cost neither memory nor time.
#[test]
fn a_hostile_digest_is_refused_by_reading_it() {
    for hostile in ["m=4294967295,t=1,p=1", "m=64,t=4294967295,p=1", "m=134217720,t=10,p=16777215"] {
        let digest = SMALL.replace("m=64,t=1,p=2", hostile);
        let error = read(&digest).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{hostile}");
    }
}

#[test]
fn a_stored_digest_shows_nothing_of_itself() {
    let stored = read(SMALL).ok().unwrap();
    assert_eq!(format!("{stored:?}"), "Stored { algorithm: Argon2id, .. }");
}

fn read(digest: &str) -> Result<Stored> {
    let bounds = Bounds { memory_kib: 131_072, iterations: 10, parallelism: 255 };
    bounds.read(digest)
}
