use serde_json::{Value, json};

use super::*;
use crate::keys::test_keys::{key, pem};

fn jwk(key: &SigningKey) -> Value {
    serde_json::to_value(key.public().jwk()).unwrap()
}

#[test]
fn a_generated_key_reads_back_also_on_one_line() {
    for algorithm in KeyAlgorithm::ALL {
        let pem = pem(algorithm);
        let key = key(algorithm);
        assert_eq!(key.algorithm(), algorithm);
        let one_line = pem.trim().replace('\n', "\\n");
        assert_eq!(SigningKey::from_pem(&one_line).unwrap().kid(), key.kid());
        assert_eq!(key.kid().len(), 43, "a SHA-256 in base64url");
        assert_eq!(VerifyingKey::from_pem(pem).unwrap().kid(), key.kid(), "the public half is enough");
    }
}

#[test]
fn the_published_key_has_the_public_members_and_nothing_private() {
    for (algorithm, kty, expected) in [
        (KeyAlgorithm::Rs256, "RSA", vec!["alg", "e", "kid", "kty", "n", "use"]),
        (KeyAlgorithm::Es256, "EC", vec!["alg", "crv", "kid", "kty", "use", "x", "y"]),
        (KeyAlgorithm::EdDsa, "OKP", vec!["alg", "crv", "kid", "kty", "use", "x"]),
    ] {
        let jwk = jwk(&key(algorithm));
        let members: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, expected);
        let texts = (&jwk["kty"], &jwk["alg"], &jwk["use"]);
        assert_eq!(texts, (&json!(kty), &json!(algorithm.name()), &json!("sig")));
    }
}

/// RFC 8037 appendices A.1 to A.3: the key, its thumbprint.
#[test]
fn the_thumbprint_of_an_octet_key_pair_is_that_of_the_standard() {
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    // RFC 8410 §7: what stands before the seed in PKCS #8.
    let prefix = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let key = SigningKey::from_pem(&pem::write_pkcs8(&[&prefix[..], &seed].concat())).unwrap();
    assert_eq!(jwk(&key)["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(jwk(&key)["crv"], "Ed25519");
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_key_of_the_older_form_for_curves_is_read() {
    let key = SigningKey::from_pem(SEC1).unwrap();
    assert_eq!(key.algorithm(), KeyAlgorithm::Es256);
    assert_eq!(VerifyingKey::from_pem(SEC1_PUBLIC).unwrap().kid(), key.kid());
}

#[test]
fn what_is_no_usable_key_is_refused_with_the_mend() {
    let cut = pem(KeyAlgorithm::Rs256).replace("\nM", "\nN");
    let empty = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----";
    for text in ["", "key", empty, cut.as_str(), SEC1_PUBLIC, ED448] {
        assert_eq!(SigningKey::from_pem(text).unwrap_err(), KeyError::Unreadable, "{text}");
    }
    for text in ["", "key", empty, cut.as_str(), ED448] {
        assert_eq!(VerifyingKey::from_pem(text).unwrap_err(), KeyError::UnreadablePublic, "{text}");
    }
    for (text, error) in [(RSA_1024, KeyError::RsaSize), (P384, KeyError::Curve), (K256, KeyError::Curve)] {
        assert_eq!(SigningKey::from_pem(text).unwrap_err(), error);
        assert_eq!(VerifyingKey::from_pem(text).unwrap_err(), error);
    }
    for (text, error) in
        [(RSA_1024_PUBLIC, KeyError::RsaSize), (P384_PUBLIC, KeyError::Curve), (K256_PUBLIC, KeyError::Curve)]
    {
        assert_eq!(VerifyingKey::from_pem(text).unwrap_err(), error);
    }
}

#[test]
fn a_signature_is_checked_by_its_own_key_only() {
    let claims = json!({
        "sub": "0b7a0f3e-6f6b-4f0e-9d7e-5a4f3c2b1a00", "client_id": "0b7a0f3e-6f6b-4f0e-9d7e-5a4f3c2b1a00",
        "scope": "agents:read", "jti": "0b7a0f3e-6f6b-4f0e-9d7e-5a4f3c2b1a00", "iat": 0, "exp": 1,
    });
    for signer in KeyAlgorithm::ALL {
        let token = key(signer).sign(key(signer).unsigned(&key(signer).header("JWT"), &claims).unwrap()).unwrap();
        for checker in KeyAlgorithm::ALL {
            let checked = key(checker).public().claims::<Value>(&token);
            assert_eq!(checked.is_ok(), signer == checker, "{signer} {checker}");
        }
    }
}

#[test]
fn debug_shows_no_key() {
    for algorithm in KeyAlgorithm::ALL {
        let key = key(algorithm);
        let (shown, kid) = (format!("{key:?}"), key.kid());
        assert_eq!(shown, format!("SigningKey {{ algorithm: {algorithm:?}, kid: {kid:?}, .. }}"));
        let shown = format!("{:?}", key.public());
        assert_eq!(shown, format!("VerifyingKey {{ algorithm: {algorithm:?}, kid: {kid:?}, .. }}"));
    }
}

const SEC1: &str = "-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIEWipnzs/5smMWryj0IffVVAs/2F8K/QP+bX0BAD/x1zoAoGCCqGSM49
AwEHoUQDQgAEKgMq4lDyM4bo40MW9KCpKMub503BuxNIZ5YsLty+9DHLWsjTjPuR
8XpmQt7e3Ec/J+SRi3elKep6YmhJ2K+wgQ==
-----END EC PRIVATE KEY-----";
const SEC1_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKgMq4lDyM4bo40MW9KCpKMub503B
uxNIZ5YsLty+9DHLWsjTjPuR8XpmQt7e3Ec/J+SRi3elKep6YmhJ2K+wgQ==
-----END PUBLIC KEY-----";
const RSA_1024: &str = "-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBALupHrRycHaR5FTX
B0ymExM9wOxqqcrGj3Unc/jONfU7JAwlHoRb019yGI6f8QSjmMVUe1QmrOEvT3Lv
gEl2hu3JVN08vMWnJF01glZwbDr9igZ5pg7NNnAVNIMCj8njKn/Gw9EpwepOtgGW
YOV492wWKgKPjaS1FjjVPLpUOUCBAgMBAAECgYA37+ZeJUqOnVgxTdM4Lry63Ip4
LickcWFrq3HvNRByY8mP8TSSgYiVB754LQa7ukQcdd05LToU+XQ2L1vPCgyXqzdF
Ir/BHEXwnY29DouRhBPpdWWkaNmtEUqAUajLY3vBoC8QkSwHjeI5SjW+hZTwIqJ4
gAYZ8v/YQwUI5f8nPQJBAPKWgTkMJ5zmT9CRfm3Gjkf76U4zlfp0G/4W8ABi+zHd
wpG3bx/YD0QJXnRBiRSabEUxDWBKFH7kmp8+giaZ9e8CQQDGCTIXn6KxGopDKlbS
FgvoAKerSDLj5h5SfEK9fey86/WmXl5/UtqcQdhLFlkwstazC+sgeVUK8B4Mg0kV
NSCPAkEAidd5T+gXLjE0EwhJNalIOaDrndL0Gp8VNNjlwOJ9Z4VhxJjdnNORQRCt
yhNfCAUDFoHb3uXZJY1SSsAjBjofowJBALrnYOSU4HqgHs/nPMvIzPHo9FYerREU
VZfp+R9Yor9nP5AGTs+CRhrlthqf/AuPLj0LyZz7hnztRJ7wpWAjpRcCQB/Y4Ki4
hFg5iug9Z9jd5x8nIvKx/ZyB+lY4J5v5OK/QFOBebvJ0/ccEOsLcjx7kqz/3zt1l
ahDhjk/i89eWyBc=
-----END PRIVATE KEY-----";
const RSA_1024_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC7qR60cnB2keRU1wdMphMTPcDs
aqnKxo91J3P4zjX1OyQMJR6EW9NfchiOn/EEo5jFVHtUJqzhL09y74BJdobtyVTd
PLzFpyRdNYJWcGw6/YoGeaYOzTZwFTSDAo/J4yp/xsPRKcHqTrYBlmDlePdsFioC
j42ktRY41Ty6VDlAgQIDAQAB
-----END PUBLIC KEY-----";
const P384: &str = "-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCetdFZczbyArv2I22l
UAwUq2KXRmQRe7yc45qca/dFvJPkdh0CCAOVmMoUAnSOxjehZANiAASEaMxxl+tp
O1tIGO9GS/vr2RsaxWxW9ED73dn9Bkp3RowXgucK4K4BJzPgdi0A9lzrYkaotPOx
bT0GpuE1mgJC3ZoIUdUAsQwwserd3stiTc6RXRJsX19NfgLMTOuMhsE=
-----END PRIVATE KEY-----";
const P384_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEhGjMcZfraTtbSBjvRkv769kbGsVsVvRA
+93Z/QZKd0aMF4LnCuCuAScz4HYtAPZc62JGqLTzsW09BqbhNZoCQt2aCFHVALEM
MLHq3d7LYk3OkV0SbF9fTX4CzEzrjIbB
-----END PUBLIC KEY-----";
const K256: &str = "-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgF5CBz7llYC2g2yW3yaVc
AJNlLR0UjIMNK5jxuDisKk2hRANCAAQXLvGDS5NmlHZe/iqGdbiFOjXUWKCIyMhg
2tA6u2nAqy9SipQc3tGm7FaJApGX+e0pDluFAMdlR1nW9hm7OJX8
-----END PRIVATE KEY-----";
const K256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEFy7xg0uTZpR2Xv4qhnW4hTo11FigiMjI
YNrQOrtpwKsvUoqUHN7RpuxWiQKRl/ntKQ5bhQDHZUdZ1vYZuziV/A==
-----END PUBLIC KEY-----";
const ED448: &str = "-----BEGIN PRIVATE KEY-----
MEcCAQAwBQYDK2VxBDsEORRiq4t+ecfofmfrL5fvqnxH/Q4uoi/qO7etHyzaC+BC
W8gu/+nuKA/cBwBzz/QfQD3Yx2YSU18FSA==
-----END PRIVATE KEY-----";
