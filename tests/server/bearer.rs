//! Bearer tokens: which are accepted, introspection, revocation.

use std::sync::Arc;
use std::time::Duration;

use agentidp_server::domain::Scopes;
use agentidp_server::keys::{KeyAlgorithm, SigningKey};
use agentidp_server::rate_limit::RateLimiter;
use agentidp_server::tokens::{OPERATOR, TokenProfile, Tokens};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::requests::grant_form;
use super::site::{Site, signing_key, use_issuer};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn without_a_token_nothing_under_the_prefix_is_told() {
    let site = Site::bcrypt().await;
    let id = Uuid::new_v4();
    for (method, path) in [
        ("GET", "/api/v1/agents".to_owned()),
        ("POST", "/api/v1/agents".to_owned()),
        ("GET", format!("/api/v1/agents/{id}")),
        ("PATCH", format!("/api/v1/agents/{id}")),
        ("DELETE", "/api/v1/agents/no-uuid".to_owned()),
        ("GET", format!("/api/v1/agents/{id}/credentials")),
        ("POST", format!("/api/v1/agents/{id}/credentials")),
        ("DELETE", format!("/api/v1/agents/{id}/credentials/{id}")),
        ("POST", format!("/api/v1/agents/{id}/credentials/{id}/rotate")),
        ("POST", "/api/v1/token/introspect".to_owned()),
        ("POST", "/api/v1/token/revoke".to_owned()),
        ("GET", "/api/v1/audit".to_owned()),
        ("GET", format!("/api/v1/audit/{id}")),
    ] {
        let reply = site.bare(method, &path, &[]).await;
        assert_eq!(reply.failure(), (401, "UNAUTHORIZED".to_owned()), "{method} {path}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"agentidp\""), "{method} {path}");
    }
}

#[tokio::test]
async fn tokens_that_are_not_accepted_all_look_the_same() {
    let site = Site::bcrypt().await;
    let (agent, suspended) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let good = site.token(agent);
    let over = site.app.tokens.issue_now(&agent.to_string(), Scopes::ALL, Duration::ZERO, false).unwrap().token;
    let revoked = site.token(agent);
    assert_eq!(site.about_token(&good, "revoke", &format!("token={revoked}")).await.status, 200);
    let of_suspended = site.token(suspended);
    site.call("PATCH", &format!("/agents/{suspended}"), json!({ "status": "suspended" })).await;
    let foreign = Tokens::new(
        SigningKey::from_pem(&SigningKey::generate_pem(KeyAlgorithm::Rs256).unwrap()).unwrap(),
        Vec::new(),
        None,
        Arc::clone(&site.app.clock),
    );
    let foreign = foreign.issue_now(&agent.to_string(), Scopes::ALL, HOUR, false).unwrap().token;
    let (head, signature) = good.rsplit_once('.').unwrap();

    let claims = json!({
        "sub": agent, "client_id": agent, "scope": "agents:read", "jti": Uuid::new_v4(), "iat": 0, "exp": 2_000_000_000_u32,
    });
    let jwks: Value = serde_json::from_str(site.app.tokens.jwks()).unwrap();
    let (kid, modulus) = (&jwks["keys"][0]["kid"], jwks["keys"][0]["n"].as_str().unwrap());
    let hs256 = |secret: &[u8]| {
        let header = Header { kid: kid.as_str().map(str::to_owned), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let none = format!("{}.{}", encode(&json!({ "alg": "none", "typ": "JWT", "kid": kid })), encode(&claims));

    for (what, authorization) in [
        ("expired", format!("Bearer {over}")),
        ("revoked", format!("Bearer {revoked}")),
        ("of a suspended agent", format!("Bearer {of_suspended}")),
        ("of an agent that never was", format!("Bearer {}", site.token(Uuid::new_v4()))),
        ("another key", format!("Bearer {foreign}")),
        ("HS256 with the public key", format!("Bearer {}", hs256(&URL_SAFE_NO_PAD.decode(modulus).unwrap()))),
        ("HS256 with the key set", format!("Bearer {}", hs256(site.app.tokens.jwks().as_bytes()))),
        ("no algorithm", format!("Bearer {none}.")),
        ("no algorithm and a signature", format!("Bearer {none}.{signature}")),
        ("cut off", format!("Bearer {head}")),
        ("another signature", format!("Bearer {head}.{}", signature.chars().rev().collect::<String>())),
        ("no token", "Bearer ".to_owned()),
        ("two tokens", format!("Bearer {good} {good}")),
        ("rubbish", "Bearer \u{e4}".to_owned()),
    ] {
        let reply = site.bare("GET", "/api/v1/agents", &[("authorization", &authorization)]).await;
        let expected = r#"{"code":"UNAUTHORIZED","message":"the bearer token is not accepted"}"#;
        assert_eq!((reply.status, reply.text.as_str()), (401, expected), "{what}");
        let challenge = "Bearer realm=\"agentidp\", error=\"invalid_token\"";
        assert_eq!(reply.header("www-authenticate"), Some(challenge), "{what}");
    }
    let authorization = format!("Bearer {good}");
    let twice = [("authorization", authorization.as_str()), ("authorization", authorization.as_str())];
    assert_eq!(site.bare("GET", "/api/v1/agents", &twice).await.status, 401);
    assert_eq!(site.bare("GET", "/api/v1/agents", &twice[..1]).await.status, 200, "the good one is good");
    let in_query = format!("/api/v1/agents?access_token={good}");
    assert_eq!(site.bare("GET", &in_query, &[]).await.status, 401, "the header is the only place");
}

/// Another iss, a beginning in the future, a critical extension, another type: `tokens/tests.rs` has the table.
#[tokio::test]
async fn a_token_of_another_issuer_is_refused_even_with_our_key() {
    let site = Site::build(|app| use_issuer(app, "https://idp.example", TokenProfile::Jwt)).await;
    let agent = site.agent("a@example.com").await;
    let key = || SigningKey::from_pem(signing_key()).unwrap();
    let of =
        |issuer: Option<&str>| Tokens::new(key(), Vec::new(), issuer.map(str::to_owned), Arc::clone(&site.app.clock));
    for (issuer, status) in [(Some("https://idp.example"), 200), (Some("https://other.example"), 401), (None, 200)] {
        let tokens = of(issuer);
        for token in [
            tokens.issue_now(OPERATOR, Scopes::ALL, HOUR, true).unwrap().token,
            tokens.issue_now(&agent.to_string(), Scopes::ALL, HOUR, false).unwrap().token,
        ] {
            assert_eq!(site.send(&token, "GET", "/agents", "").await.status, status, "{issuer:?}");
        }
    }
    let without = Site::bcrypt().await;
    let foreign = of(Some("https://idp.example")).issue_now(OPERATOR, Scopes::ALL, HOUR, true).unwrap().token;
    assert_eq!(without.send(&foreign, "GET", "/agents", "").await.status, 401, "no issuer is another one, too");
}

#[tokio::test]
async fn a_token_for_other_resources_is_refused_here_and_live_there() {
    let site = Site::build(|app| use_issuer(app, "https://idp.example", TokenProfile::Rfc9068)).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let token = async |resources: &str| {
        let reply = site.token_form(grant_form(agent, &secret) + resources).await;
        reply.json()["access_token"].as_str().unwrap().to_owned()
    };
    let (ours, theirs) = (token("").await, token("&resource=https%3A%2F%2Fapi.example%2F").await);
    let both = token("&resource=https%3A%2F%2Fapi.example%2F&resource=https%3A%2F%2Fidp.example").await;
    for (token, status) in [(&ours, 200), (&theirs, 401), (&both, 200)] {
        assert_eq!(site.send(token, "GET", "/agents", "").await.status, status);
    }
    let live = site.about_token(&ours, "introspect", &format!("token={theirs}")).await.json();
    assert_eq!((&live["active"], &live["aud"]), (&json!(true), &json!("https://api.example/")));
    assert_eq!(site.about_token(&theirs, "introspect", &format!("token={theirs}")).await.status, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_credential_and_with_a_suspension() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (first, first_secret) = site.credential(agent).await;
    let (second, second_secret) = site.credential(agent).await;
    let status = async |token: &str| site.send(token, "GET", "/agents", "").await.status;
    let is_active = async |token: &str| {
        let reply = site.about_token(&site.operator, "introspect", &format!("token={token}")).await;
        reply.json()["active"] == true
    };
    let (of_first, of_second) = (site.granted(agent, &first_secret).await, site.granted(agent, &second_secret).await);
    site.rotate(agent, second).await;
    assert_eq!((status(&of_second).await, is_active(&of_second).await), (200, true), "a rotation ends no token");
    site.revoke(agent, first).await;
    assert_eq!((status(&of_first).await, is_active(&of_first).await), (401, false), "its credential is revoked");
    assert_eq!((status(&of_second).await, is_active(&of_second).await), (200, true), "another credential is not");

    // All in one second of the clock: `iat` could not tell before from after.
    let before = site.token(agent);
    for change in ["suspended", "active"] {
        site.tick();
        let changed = site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": change })).await;
        assert_eq!(changed.status, 200, "{changed:?}");
    }
    assert_eq!((status(&of_second).await, is_active(&of_second).await), (401, false), "from before the suspension");
    assert_eq!(status(&before).await, 200, "a token of an earlier release names neither, and lives on");
    let (_, secret) = site.credential(agent).await;
    let after = site.granted(agent, &secret).await;
    assert_eq!((status(&after).await, is_active(&after).await), (200, true));
}

#[tokio::test]
async fn a_scope_that_is_missing_is_named_in_the_challenge() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let of = |scope: &str| {
        let scopes = Scopes::parse(scope).unwrap();
        site.app.tokens.issue_now(&agent.to_string(), scopes, HOUR, false).unwrap().token
    };
    for (scope, held, method, path) in [
        ("agents:read", "audit:read", "GET", "/agents".to_owned()),
        ("agents:write", "agents:read", "PATCH", format!("/agents/{agent}")),
        ("audit:read", "agents:read", "GET", "/audit".to_owned()),
        ("tokens:read", "agents:read", "POST", "/token/introspect".to_owned()),
        ("tokens:read", "agents:read", "POST", "/token/revoke".to_owned()),
    ] {
        let reply = site.send(&of(held), method, &path, "").await;
        assert_eq!(reply.failure(), (403, "FORBIDDEN".to_owned()), "{path}");
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(reply.header("www-authenticate"), Some(challenge.as_str()), "{path}");
    }
    let (other, secret) = (site.agent("b@example.com").await, "{}");
    let refused = site.send(&of("agents:write"), "PATCH", &format!("/agents/{other}"), secret).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (403, None), "no scope would help");
}

#[tokio::test]
async fn a_token_ends_with_its_hour_and_with_its_agent() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let token = site.granted(agent, &secret).await;
    site.clock.advance(HOUR - Duration::from_secs(1));
    assert_eq!(site.send(&token, "GET", "/agents", "").await.status, 200);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.send(&token, "GET", "/agents", "").await.status, 401);

    let token = site.granted(agent, &secret).await;
    site.call("DELETE", &format!("/agents/{agent}"), Value::Null).await;
    assert_eq!(site.send(&token, "GET", "/agents", "").await.status, 401);
}

#[tokio::test]
async fn scope_comes_before_the_rate_limit_and_the_rate_limit_before_validation() {
    let site = Site::build(|app| app.limiter = RateLimiter::new(2, Arc::clone(&app.clock))).await;
    let agent = site.agent("a@example.com").await;
    let reader = Scopes::parse("agents:read").unwrap();
    let reader = site.app.tokens.issue_now(&agent.to_string(), reader, HOUR, false).unwrap().token;
    for _ in 0..5 {
        let reply = site.send(&reader, "POST", "/agents", "no json").await;
        assert_eq!(reply.failure(), (403, "FORBIDDEN".to_owned()));
        assert_eq!(reply.header("x-ratelimit-limit"), None);
    }
    for remaining in ["1", "0"] {
        let reply = site.send(&reader, "GET", "/agents/no-uuid", "").await;
        assert_eq!(reply.fields(), ["agentId"]);
        assert_eq!(reply.header("x-ratelimit-remaining"), Some(remaining));
    }
    let reply = site.send(&reader, "GET", "/agents/no-uuid", "").await;
    assert_eq!(reply.failure(), (429, "RATE_LIMIT_EXCEEDED".to_owned()));
    assert_eq!(reply.header("retry-after"), Some("30"));
    assert_eq!(reply.header("x-ratelimit-remaining"), Some("0"));
}

#[tokio::test]
async fn introspection_tells_of_live_tokens_and_nothing_of_others() {
    let site = Site::bcrypt().await;
    let (asking, asked) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let (_, secret) = site.credential(asked).await;
    let token = site.granted(asked, &secret).await;
    let asker = site.token(asking);
    let introspect = async |token: &str| site.about_token(&asker, "introspect", &format!("token={token}")).await.json();

    let live = introspect(&token).await;
    assert_eq!((&live["active"], &live["token_type"]), (&json!(true), &json!("Bearer")));
    assert_eq!((&live["sub"], &live["client_id"]), (&json!(asked), &json!(asked)));
    assert_eq!(live["scope"], "agents:read agents:write tokens:read audit:read");
    assert_eq!(live["exp"].as_i64().unwrap() - live["iat"].as_i64().unwrap(), 3600);
    assert!(live["jti"].is_string());

    let dead = json!({ "active": false });
    assert_eq!(introspect("rubbish").await, dead);
    assert_eq!(introspect(&format!("{token}x")).await, dead);
    site.call("PATCH", &format!("/agents/{asked}"), json!({ "status": "suspended" })).await;
    assert_eq!(introspect(&token).await, dead, "its agent is not active");
    site.call("PATCH", &format!("/agents/{asked}"), json!({ "status": "active" })).await;
    assert_eq!(introspect(&token).await, dead, "it is from before the suspension");
    let token = site.granted(asked, &secret).await;
    assert_eq!(introspect(&token).await["active"], true);
    site.about_token(&site.operator, "revoke", &format!("token={token}")).await;
    assert_eq!(introspect(&token).await, dead, "it was revoked");
    let trail = site.get("/audit?action=token.introspected").await.json();
    assert_eq!(trail["total"], 7);

    let reader = Scopes::parse("agents:read").unwrap();
    let reader = site.app.tokens.issue_now(&asking.to_string(), reader, HOUR, false).unwrap().token;
    let refused = site.about_token(&reader, "introspect", &format!("token={token}")).await;
    assert_eq!(refused.failure(), (403, "FORBIDDEN".to_owned()));
    for form in ["", "token=", "token_type_hint=access_token", "token=a&token=b"] {
        assert_eq!(site.about_token(&asker, "introspect", form).await.failure().1, "VALIDATION_ERROR", "{form}");
    }
}

#[tokio::test]
async fn an_agent_revokes_its_own_tokens_and_an_operator_all() {
    let site = Site::bcrypt().await;
    let (agent, other) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let (bearer, own, others) = (site.token(agent), site.token(agent), site.token(other));
    let revoke = async |by: &str, token: &str| site.about_token(by, "revoke", &format!("token={token}")).await.status;

    assert_eq!(revoke(&bearer, &others).await, 403);
    assert_eq!(revoke(&bearer, &site.operator).await, 403);
    assert_eq!(site.send(&others, "GET", "/agents", "").await.status, 200, "it still works");
    for _ in 0..2 {
        assert_eq!(revoke(&bearer, &own).await, 200);
        assert_eq!(site.send(&own, "GET", "/agents", "").await.status, 401);
    }
    assert_eq!(revoke(&bearer, "rubbish").await, 200);
    assert_eq!(revoke(&site.operator, &others).await, 200);
    assert_eq!(site.send(&others, "GET", "/agents", "").await.status, 401);
    assert_eq!(revoke(&bearer, &bearer).await, 200, "also the one it comes with");
    assert_eq!(revoke(&bearer, &own).await, 401);

    let trail = site.get(&format!("/audit?action=token.revoked&agentId={other}")).await.json();
    assert_eq!((&trail["total"], &trail["data"][0]["metadata"]["actor"]), (&json!(1), &json!("operator")));
}
