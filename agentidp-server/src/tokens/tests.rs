use std::time::SystemTime;

use agentidp_secrets::ManualClock;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::keys::{KeyAlgorithm, test_keys};

const AGENT: &str = "0b7a0f3e-6f6b-4f0e-9d7e-5a4f3c2b1a00";

fn key() -> SigningKey {
    test_keys::key(KeyAlgorithm::Rs256)
}

fn private(pem: &str) -> EncodingKey {
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

fn tokens() -> (Tokens, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
    (
        Tokens::new(key(), Vec::new(), Some("https://idp.example".to_owned()), Arc::clone(&clock) as Arc<dyn Clock>),
        clock,
    )
}

fn grant(resources: &[&str]) -> Grant {
    Grant {
        agent_id: AGENT.parse().unwrap(),
        credential_id: Uuid::from_u128(7),
        epoch: 3,
        scope: Scopes::ALL,
        resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        ttl: Duration::from_secs(60),
    }
}

/// Signs claims that `Tokens::issue` would not.
fn forge(kid: Option<&str>, algorithm: Algorithm, secret: &EncodingKey, change: impl FnOnce(&mut Value)) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    let mut claims = json!({
        "sub": AGENT, "client_id": AGENT, "scope": "agents:read", "jti": Uuid::new_v4(), "iat": 0,
        "exp": 2_000_000_000_u32,
    });
    change(&mut claims);
    jsonwebtoken::encode(&header, &claims, secret).unwrap()
}

#[test]
fn a_token_says_what_is_documented_until_the_second_it_ends() {
    let (tokens, clock) = tokens();
    let issued = tokens.issue_now(AGENT, Scopes::ALL, Duration::from_secs(3600), false).unwrap();
    let header = jsonwebtoken::decode_header(&issued.token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::RS256, Some("JWT")));
    assert_eq!(header.kid.as_deref(), Some(key().kid()));

    let claims = serde_json::to_value(&issued.claims).unwrap();
    let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["client_id", "exp", "iat", "iss", "jti", "scope", "sub"]);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(AGENT), &json!(AGENT)));
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_900_000_000), &json!(1_900_003_600)));

    clock.advance(Duration::from_secs(3599));
    assert_eq!(tokens.verify(&issued.token).unwrap(), issued.claims);
    clock.advance(Duration::from_secs(1));
    assert_eq!(tokens.verify(&issued.token), Err(TokenError::Expired));
}

#[test]
fn only_operator_tokens_carry_the_operators_claim() {
    let (tokens, _) = tokens();
    let operator = tokens.issue_now(OPERATOR, Scopes::ALL, Duration::from_secs(60), true).unwrap();
    let claims = tokens.verify(&operator.token).unwrap();
    assert!(claims.agentidp_operator && claims.agent_id().is_none());
    assert_eq!(serde_json::to_value(claims).unwrap()["agentidp_operator"], json!(true));
}

#[test]
fn what_this_key_did_not_sign_is_invalid() {
    let (tokens, _) = tokens();
    let (ours, our_private, rs256) = (key(), private(test_keys::pem(KeyAlgorithm::Rs256)), Algorithm::RS256);
    let kid = Some(ours.kid());
    assert!(tokens.verify(&forge(kid, rs256, &our_private, |_| {})).is_ok(), "the forger is able to make a good one");

    let foreign = private(&SigningKey::generate_pem(KeyAlgorithm::Rs256).unwrap());
    let public = EncodingKey::from_secret(tokens.jwks().as_bytes());
    let good = forge(kid, rs256, &our_private, |_| {});
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other = forge(kid, rs256, &our_private, |claims| claims["scope"] = json!("agents:write"));
    let (other_head, _) = other.rsplit_once('.').unwrap();
    // {"alg":"none","typ":"JWT","kid":…}
    let none = |signature: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "typ": "JWT", "kid": ours.kid() }).to_string());
        format!("{header}.{}.{signature}", head.split_once('.').unwrap().1)
    };
    for (what, token) in [
        ("another key", forge(kid, rs256, &foreign, |_| {})),
        ("another key id", forge(Some("other"), rs256, &our_private, |_| {})),
        ("no key id", forge(None, rs256, &our_private, |_| {})),
        ("another RSA algorithm", forge(kid, Algorithm::RS512, &our_private, |_| {})),
        ("HS256 with the public key", forge(kid, Algorithm::HS256, &public, |_| {})),
        ("alg none without a signature", none("")),
        ("alg none with a signature", none(signature)),
        ("a signature of other claims", format!("{other_head}.{signature}")),
        ("no signature", format!("{head}.")),
        ("two parts", head.to_owned()),
        ("an empty text", String::new()),
        ("a sub that is no agent", forge(kid, rs256, &our_private, |claims| claims["sub"] = json!("operator"))),
        ("no exp", forge(kid, rs256, &our_private, |claims| _ = claims.as_object_mut().unwrap().remove("exp"))),
        ("an unknown scope", forge(kid, rs256, &our_private, |claims| claims["scope"] = json!("admin"))),
    ] {
        assert_eq!(tokens.verify(&token), Err(TokenError::Invalid), "{what}");
    }
}

#[test]
fn claims_and_header_are_checked_on_the_way_in() {
    let (tokens, _) = tokens();
    let (ours, our_private) = (key(), private(test_keys::pem(KeyAlgorithm::Rs256)));
    let read = |change: &dyn Fn(&mut Header, &mut Value)| {
        let mut header = Header { kid: Some(ours.kid().to_owned()), ..Header::new(Algorithm::RS256) };
        let mut claims = json!({
            "sub": AGENT, "client_id": AGENT, "scope": "agents:read", "jti": Uuid::new_v4(), "iat": 0,
            "exp": 2_000_000_000_u32, "iss": "https://idp.example",
        });
        change(&mut header, &mut claims);
        tokens.verify(&jsonwebtoken::encode(&header, &claims, &our_private).unwrap())
    };
    assert!(read(&|_, _| {}).is_ok());
    assert!(read(&|_, claims| _ = claims.as_object_mut().unwrap().remove("iss")).is_ok(), "from before there was one");
    for issuer in ["https://other.example", "https://idp.example/", "", "HTTPS://idp.example"] {
        assert_eq!(read(&|_, claims| claims["iss"] = json!(issuer)), Err(TokenError::WrongIssuer), "{issuer:?}");
    }
    assert_eq!(read(&|_, claims| claims["iss"] = json!(["https://idp.example"])), Err(TokenError::Invalid));
    assert!(read(&|_, claims| claims["nbf"] = json!(1_900_000_000)).is_ok());
    assert_eq!(read(&|_, claims| claims["nbf"] = json!(1_900_000_001)), Err(TokenError::NotYetValid));
    assert_eq!(read(&|_, claims| claims["nbf"] = json!("soon")), Err(TokenError::Invalid));
    assert_eq!(read(&|_, claims| claims["client_id"] = json!(Uuid::nil())), Err(TokenError::Invalid));
    assert_eq!(read(&|header, _| header.crit = Some(vec!["exp".to_owned()])), Err(TokenError::Invalid));
    assert_eq!(read(&|header, _| header.crit = Some(Vec::new())), Err(TokenError::Invalid));
    for (typ, accepted) in [
        (Some("jwt"), true),
        (Some("at+jwt"), true),
        (Some("application/at+JWT"), true),
        (Some("logout+jwt"), false),
        (None, false),
    ] {
        assert_eq!(read(&|header, _| header.typ = typ.map(str::to_owned)).is_ok(), accepted, "{typ:?}");
    }
}

#[tokio::test]
async fn a_token_is_for_the_resources_that_were_asked_for() {
    let of = |issuer: Option<&str>, profile| {
        Tokens::with_profile(key(), Vec::new(), issuer.map(Issuer::new), profile, tokens().1)
    };
    let (ours, api, other) = ("https://idp.example", "https://api.example/", "urn:other");
    for (issuer, profile, resources, aud, is_for_us) in [
        (Some(ours), TokenProfile::Jwt, &[][..], Value::Null, true),
        (Some(ours), TokenProfile::Jwt, &[api], json!(api), false),
        (Some(ours), TokenProfile::Jwt, &[api, other], json!([api, other]), false),
        (Some(ours), TokenProfile::Jwt, &[api, ours], json!([api, ours]), true),
        (Some(ours), TokenProfile::Rfc9068, &[], json!(ours), true),
        (Some(ours), TokenProfile::Rfc9068, &[api], json!(api), false),
        (None, TokenProfile::Jwt, &[ours], json!(ours), false),
    ] {
        let tokens = of(issuer, profile);
        let issued = tokens.issue(grant(resources)).await.unwrap();
        assert_eq!(serde_json::to_value(&issued.claims).unwrap()["aud"], aud, "{profile:?} {resources:?}");
        let claims = tokens.verify(&issued.token).unwrap();
        assert_eq!((tokens.is_for_us(&claims), &claims), (is_for_us, &issued.claims), "{profile:?} {resources:?}");
        let typ = jsonwebtoken::decode_header(&issued.token).unwrap().typ.unwrap();
        assert_eq!(typ, if profile == TokenProfile::Jwt { "JWT" } else { "at+jwt" });
        assert_eq!((claims.cid, claims.agentidp_epoch), (Some(Uuid::from_u128(7)), Some(3)));
    }
}

#[test]
fn debug_shows_no_token() {
    let (tokens, _) = tokens();
    let issued = tokens.issue_now(AGENT, Scopes::ALL, Duration::from_secs(60), false).unwrap();
    assert!(!format!("{issued:?} {issued:#?} {tokens:?}").contains(&issued.token));
}

/// A token whose header says another algorithm or key than that which signed it.
fn with_header(alg: &str, kid: &str, signer: &SigningKey) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT", "kid": kid }).to_string());
    let claims = json!({
        "sub": AGENT, "client_id": AGENT, "scope": "agents:read", "jti": Uuid::new_v4(), "iat": 0,
        "exp": 2_000_000_000_u32,
    });
    signer.sign(format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()))).unwrap()
}

#[test]
fn each_accepted_key_takes_its_own_algorithm_only() {
    let keys = KeyAlgorithm::ALL.map(test_keys::key);
    let accepted = keys[1..].iter().map(|key| key.public().clone()).collect();
    let tokens = Tokens::new(keys[0].clone(), accepted, None, tokens().1);
    for signer in &keys {
        for named in &keys {
            for alg in ["RS256", "ES256", "EdDSA", "HS256", "RS384", "PS256", "ES384", "none", "None", ""] {
                let good = named.kid() == signer.kid() && alg == signer.algorithm().name();
                let token = with_header(alg, named.kid(), signer);
                assert_eq!(tokens.verify(&token).is_ok(), good, "{signer:?} as {named:?} with {alg}");
            }
        }
        let own = signer.algorithm().name();
        assert_eq!(tokens.verify(&with_header(own, "foreign", signer)), Err(TokenError::Invalid));
    }
    // HS256 under what everybody can read of the key that the token names.
    for key in &keys {
        for public in [tokens.jwks().to_owned(), serde_json::to_string(key.public().jwk()).unwrap()] {
            let secret = EncodingKey::from_secret(public.as_bytes());
            let token = forge(Some(key.kid()), Algorithm::HS256, &secret, |_| {});
            assert_eq!(tokens.verify(&token), Err(TokenError::Invalid));
        }
    }
}

#[test]
fn a_key_that_is_replaced_stays_good_until_it_is_taken_away() {
    let [old, new] = [KeyAlgorithm::Rs256, KeyAlgorithm::EdDsa].map(test_keys::key);
    let clock = || tokens().1;
    let hour = Duration::from_secs(3600);
    let of = |key: &SigningKey, accepted: &[&SigningKey]| {
        let accepted = accepted.iter().map(|key| key.public().clone()).collect();
        Tokens::new(key.clone(), accepted, None, clock())
    };
    let (announced, changed, over) = (of(&old, &[&new, &old]), of(&new, &[&old]), of(&new, &[]));
    let (before, after) = (
        announced.issue_now(AGENT, Scopes::ALL, hour, false).unwrap(),
        changed.issue_now(AGENT, Scopes::ALL, hour, false).unwrap(),
    );
    for tokens in [&announced, &changed] {
        assert!(tokens.verify(&before.token).is_ok() && tokens.verify(&after.token).is_ok());
    }
    assert_eq!(over.verify(&before.token), Err(TokenError::Invalid));
    let ids = |tokens: &Tokens| {
        let set: Value = serde_json::from_str(tokens.jwks()).unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&announced), [old.kid(), new.kid()], "each once, that which signs first");
    assert_eq!(ids(&changed), [new.kid(), old.kid()]);
    assert_eq!(ids(&over), [new.kid()]);
}

#[tokio::test]
async fn tokens_are_the_same_wherever_they_are_signed() {
    for algorithm in KeyAlgorithm::ALL {
        let tokens = Tokens::new(test_keys::key(algorithm), Vec::new(), None, tokens().1);
        assert_eq!(tokens.0.pool.is_some(), algorithm == KeyAlgorithm::Rs256, "only RSA is slow");
        let issued = tokens.issue(grant(&[])).await.unwrap();
        assert_eq!(tokens.verify(&issued.token).unwrap(), issued.claims);
    }
}
