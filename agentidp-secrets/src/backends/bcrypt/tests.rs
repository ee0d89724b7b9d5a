//! Tests of the backend, with digests that other libraries made.

use super::*;
use crate::backend::SecretBackend;
use crate::record::{BackendId, StoredSecret};

/// 72 bytes in the form of a generated secret; the digests of it below were made elsewhere.
const SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

async fn verify(digest: &str, candidate: &str) -> Result<Verdict> {
    let key = CredentialKey::parse("client", "credential").unwrap();
    let bcrypt = Bcrypt::builder().build().unwrap();
    bcrypt.verify(&key, &StoredSecret::new(BackendId::BCRYPT, digest), &ClientSecret::from(candidate)).await
}

#[tokio::test]
async fn digests_of_other_libraries_verify() {
    let made_elsewhere = [
        // Python's bcrypt 5.0.0
        ("$2a$04$onsl.2/97F10KcWM5xTob.gKlxzkx2nORtD2wMHCxsc2VTew/aq9e", SECRET, Verdict::MatchOutdated),
        ("$2b$10$yt3U5y2WXw1qPvAI/V/I9ec8xHmHVdTon4GVYWnEATdj3NXG5Lcgy", SECRET, Verdict::Match),
        ("$2y$04$TrVkIKOiBbosG0RnLa9jsOlku0aUV9PFy6MHmtemWdGX0CyTs5K5G", SECRET, Verdict::MatchOutdated),
        ("$2b$04$pNdWuva0lKX5gVJjSQnja.xf0C6OPLgMkfPMjLW5jDalt44825pO2", "correct horse", Verdict::MatchOutdated),
        // Node's bcrypt 6.0.0
        ("$2b$10$oDRocoABnP6rJOng/ekcUuOjxkQIVxlYZ/hZ4tcaJCkjvqaqbjOye", SECRET, Verdict::Match),
        ("$2a$04$kV.UlmMcXk0OhvLKRe1KNO8o4LVmRGgcqnxIxQTqZl1F04PnBKnfK", SECRET, Verdict::MatchOutdated),
        // Node's bcryptjs
        ("$2b$04$z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.", SECRET, Verdict::MatchOutdated),
    ];
    for (digest, secret, expected) in made_elsewhere {
        assert_eq!(verify(digest, secret).await.unwrap(), expected, "{digest}");
        assert_eq!(verify(digest, &secret.replace('c', "C")).await.unwrap(), Verdict::Mismatch, "{digest}");
    }
}

#[tokio::test]
async fn the_secret_that_fills_bcrypt_is_not_a_prefix_match() {
    let digest = "$2b$04$z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.";
    for near_miss in [format!("{SECRET}x"), format!("{SECRET}\0"), SECRET[..71].to_owned(), format!("{SECRET}{SECRET}")]
    {
        assert_eq!(verify(digest, &near_miss).await.unwrap(), Verdict::Mismatch, "{near_miss:?}");
    }
}

#[tokio::test]
async fn damaged_digests_and_costs_out_of_bounds_are_malformed() {
    let rest = "z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.";
    for prefix in ["$2b$03$", "$2b$15$", "$2b$31$", "$2b$99$", "$2b$+4$", "$2c$04$", "$2b$4$", "2b$04$$", "$2b$0x$"] {
        let error = verify(&format!("{prefix}{rest}"), SECRET).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{prefix}");
    }
    let sound = format!("$2b$04${rest}");
    for damaged in [&sound[..59], &format!("{sound}."), &sound.replace("z8", "z!"), &sound.replace("z8", "\u{e4}"), ""]
    {
        let error = verify(damaged, SECRET).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{damaged:?}");
        assert!(damaged.is_empty() || !format!("{error} {error:?}").contains(damaged));
    }
}

#[tokio::test]
async fn a_generated_secret_fits_and_gets_fresh_salt() {
    let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
    let key = CredentialKey::parse("client", "credential").unwrap();
    let secret = ClientSecret::generate().unwrap();
    let (one, other) = (bcrypt.store(&key, &secret).await.unwrap(), bcrypt.store(&key, &secret).await.unwrap());
    assert_ne!(one, other);
    assert_eq!(bcrypt.verify(&key, &one, &secret).await.unwrap(), Verdict::Match);
    assert_eq!(bcrypt.verify(&key, &other, &secret).await.unwrap(), Verdict::Match);
}

#[test]
fn costs_outside_the_bounds_are_no_setting() {
    for cost in [0, 4, 9, 15, 31] {
        assert_eq!(Bcrypt::builder().cost(cost).build().unwrap_err().kind(), ErrorKind::InvalidConfig, "{cost}");
    }
    assert!(Bcrypt::builder().cost(14).max_concurrency(1).build().is_ok());
    for bound in [3, 9, 21, 31] {
        let error = Bcrypt::builder().max_stored_cost(bound).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bound}");
        assert!(error.to_string().contains("`max_stored_cost`"), "{error}");
    }
}

#[tokio::test]
async fn the_highest_stored_cost_is_a_setting() {
    let bcrypt = Bcrypt::builder().minimum_cost_for_tests().max_stored_cost(4).build().unwrap();
    let key = CredentialKey::parse("client", "credential").unwrap();
    let record = |cost| {
        let digest = format!("$2b${cost}$z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.");
        StoredSecret::new(BackendId::BCRYPT, digest)
    };
    let secret = ClientSecret::from(SECRET);
    assert_eq!(bcrypt.verify(&key, &record("04"), &secret).await.unwrap(), Verdict::Match);
    let error = bcrypt.verify(&key, &record("05"), &secret).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("`BcryptBuilder::max_stored_cost`"), "{error}");
}

#[cfg(feature = "bcrypt-lanes")]
#[test]
fn digests_that_are_verified_together_get_each_its_own_verdict() {
    let info = BackendInfo::new(BackendId::BCRYPT, crate::Custody::Record);
    let bcrypt = Bcrypt { info, cost: 5, max_stored_cost: 14 };
    let key = CredentialKey::parse("client", "credential").unwrap();
    let (secret, wrong) = (ClientSecret::from(SECRET), ClientSecret::from("wrong"));
    let sound = "$2b$04$z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.";
    let cost_5 = bcrypt.digest(&key, &secret).unwrap();
    let attempt = |digest, candidate| Attempt { key: &key, digest, candidate };
    let mixed = [
        (attempt(sound, &wrong), Ok(Verdict::Mismatch)),
        (attempt(sound, &secret), Ok(Verdict::MatchOutdated)),
        (attempt("damaged", &secret), Err(ErrorKind::Malformed)),
        (attempt(&cost_5, &secret), Err(ErrorKind::Internal)),
    ];
    for lanes in 2..=mixed.len() {
        for rotation in 0..mixed.len() {
            let (attempts, expected): (Vec<_>, Vec<_>) =
                mixed.iter().cycle().skip(rotation).take(lanes).cloned().unzip();
            let verdicts = bcrypt.verify_group(4, &attempts);
            let verdicts: Vec<_> = verdicts.into_iter().map(|verdict| verdict.map_err(|error| error.kind())).collect();
            assert_eq!(verdicts, expected);
        }
    }
    assert_eq!((bcrypt.group(sound), bcrypt.group(&cost_5), bcrypt.group("damaged")), (Some(4), Some(5), None));
}
