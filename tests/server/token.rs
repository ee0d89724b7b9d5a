//! `POST /token`: who gets a token, and what everybody else gets.

use std::sync::Arc;
use std::time::Duration;

use agentidp_server::rate_limit::RateLimiter;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::requests::grant_form;
use super::site::{Reply, Site};

#[tokio::test]
async fn a_token_is_issued_by_form_and_by_basic() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let basic = basic(&format!("{agent}:{secret}"));
    let own_name = format!("grant_type=client_credentials&client_id={agent}");
    for reply in [
        site.grant(agent, &secret).await,
        site.token_with(&[("authorization", &basic)], "grant_type=client_credentials").await,
        site.token_with(&[("authorization", &basic)], own_name).await,
        site.grant(agent.to_string().to_uppercase(), &secret).await,
    ] {
        assert_eq!(reply.status, 200, "{reply:?}");
        let body = reply.json();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 3600);
        assert_eq!(body["scope"], "agents:read agents:write tokens:read audit:read");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("pragma"), Some("no-cache"));
        let claims = site.app.tokens.verify(body["access_token"].as_str().unwrap()).unwrap();
        assert_eq!((claims.agent_id(), claims.client_id), (Some(agent), agent.to_string()));
        assert!(!claims.agentidp_operator);
    }
}

#[tokio::test]
async fn a_subset_of_scopes_is_what_the_token_allows() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let form = grant_form(agent, &secret);
    let reply = site.token_form(format!("{form}&scope=audit%3Aread+agents%3Aread")).await;
    assert_eq!(reply.json()["scope"], "agents:read audit:read");
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(site.send(&token, "GET", &format!("/agents/{agent}"), "").await.status, 200);
    let refused = site.send(&token, "PATCH", &format!("/agents/{agent}"), "{}").await;
    assert_eq!(refused.failure(), (403, "FORBIDDEN".to_owned()));

    for scope in ["admin", "agents:read+admin", "agents:read++audit:read", "+agents:read", "agents:read%00", "%2C"] {
        let reply = site.token_form(format!("{form}&scope={scope}")).await;
        assert_eq!(reply.refusal(), (400, "invalid_scope".to_owned()), "{scope}");
    }
    assert_eq!(site.token_form(format!("{form}&scope=")).await.status, 200, "an empty parameter counts as left out");
}

/// RFC 8707 §2.
#[tokio::test]
async fn a_token_is_for_the_resources_that_the_client_names() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let ask = async |resources: &[&str]| {
        let mut form = grant_form(agent, &secret);
        for resource in resources {
            form.push_str("&resource=");
            form.extend(form_urlencoded::byte_serialize(resource.as_bytes()));
        }
        site.token_form(form).await
    };
    let (api, mcp) = ("https://api.example/", "https://mcp.example/a?b=c");
    let many: Vec<String> = (0..9).map(|n| format!("https://api.example/{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (resources, aud) in [
        (&[][..], Value::Null),
        (&[""], Value::Null),
        (&[api], json!(api)),
        (&[api, api], json!(api)),
        (&["", api, "", "", "", "", "", "", ""], json!(api)),
        (&[api, mcp], json!([api, mcp])),
        (&many[..8], json!(many[..8])),
    ] {
        let reply = ask(resources).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let claims = site.app.tokens.verify(reply.json()["access_token"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::to_value(claims).unwrap()["aud"], aud, "{resources:?}");
    }
    let long = format!("https://api.example/{}", "a".repeat(493));
    for refused in [
        &["api"][..],
        &["/api"],
        &["https://api.example/#a"],
        &["https://a b"],
        &[api, "b"],
        &[&long],
        &many,
        &[api; 9],
    ] {
        assert_eq!(ask(refused).await.refusal(), (400, "invalid_target".to_owned()), "{refused:?}");
    }
}

#[tokio::test]
async fn every_active_credential_works_and_no_other() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (first, first_secret) = site.credential(agent).await;
    let (second, second_secret) = site.credential(agent).await;
    site.granted(agent, &first_secret).await;
    site.granted(agent, &second_secret).await;
    site.revoke(agent, first).await;
    assert_eq!(site.grant(agent, &first_secret).await.status, 401);
    site.granted(agent, &second_secret).await;
    let rotated = site.rotate(agent, second).await.secret();
    assert_eq!(site.grant(agent, &second_secret).await.status, 401);
    site.granted(agent, &rotated).await;
}

/// What the answer must not depend on is why.
#[tokio::test]
async fn all_failures_to_authenticate_look_the_same() {
    let site = Site::bcrypt().await;
    let (agent, other) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let (_, secret) = site.credential(agent).await;
    let (_, others_secret) = site.credential(other).await;
    let (revoked, revoked_secret) = site.credential(agent).await;
    site.revoke(agent, revoked).await;
    let expiring = format!("/agents/{agent}/credentials");
    let expiring =
        site.call("POST", &expiring, json!({ "expiresAt": site.app.now().plus(Duration::from_secs(60)) })).await;
    site.granted(agent, &expiring.secret()).await;
    site.clock.advance(Duration::from_secs(60));

    let (agent, unknown) = (agent.to_string(), Uuid::new_v4().to_string());
    let long = "a".repeat(60_000);
    let attempts: Vec<(&str, &str, String)> = vec![
        ("unknown client", &unknown, secret.clone()),
        ("another client", &agent, others_secret),
        ("revoked", &agent, revoked_secret),
        ("expired", &agent, expiring.secret()),
        ("one byte more", &agent, format!("{secret}0")),
        ("a NUL more", &agent, format!("{secret}\0")),
        ("one byte less", &agent, secret[..71].to_owned()),
        ("another case", &agent, secret.to_uppercase()),
        ("one character", &agent, "a".to_owned()),
        ("a NUL", &agent, "\0".to_owned()),
        ("not ASCII", &agent, "ä".repeat(36)),
        ("very long", &agent, long.clone()),
        ("no UUID", "agent-7", secret.clone()),
        ("a UUID of another form", &unknown[..35], secret.clone()),
        ("a path", "../../sys", secret.clone()),
        ("a NUL in the id", "a\0b", secret.clone()),
        ("a very long id", &long[..50_000], secret.clone()),
    ];
    let expected = r#"{"error":"invalid_client","error_description":"client authentication failed"}"#;
    let first = site.grant(&unknown, "wrong").await;
    for (what, client_id, secret) in &attempts {
        let reply = site.grant(client_id, secret).await;
        assert_eq!((reply.status, reply.text.as_str()), (401, expected), "{what}");
        assert_eq!(headers(&reply), headers(&first), "{what}");
        assert_eq!(reply.header("www-authenticate"), None, "{what}");

        let basic = basic(&form_urlencoded_pair(client_id, secret));
        let reply = site.token_with(&[("authorization", &basic)], "grant_type=client_credentials").await;
        assert_eq!((reply.status, reply.text.as_str()), (401, expected), "{what}");
        assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"agentidp\", charset=\"UTF-8\""), "{what}");
    }
}

#[tokio::test]
async fn the_trail_and_the_metrics_have_each_attempt_and_no_reason() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    site.grant(agent, "wrong").await;
    site.clock.advance(Duration::from_secs(1));
    site.grant(Uuid::new_v4(), &secret).await;
    site.granted(agent, &secret).await;

    let failures = site.get("/audit?action=auth.failed").await.json()["data"].as_array().unwrap().clone();
    assert_eq!(failures.len(), 2);
    assert_eq!((&failures[0]["agentId"], &failures[1]["agentId"]), (&Value::Null, &json!(agent)));
    for failure in &failures {
        assert_eq!(failure["outcome"], "failure");
        assert_eq!(failure["metadata"], json!({ "error": "invalid_client" }));
        assert_eq!(failure["ipAddress"], "192.0.2.7");
    }
    let issued = site.get("/audit?action=token.issued").await;
    let event = &issued.json()["data"][0];
    assert_eq!((&event["agentId"], &event["metadata"]["credentialId"]), (&json!(agent), &json!(credential)));
    assert!(!issued.text.contains(&secret));

    let metrics = site.bare("GET", "/metrics", &[]).await.text;
    assert!(metrics.contains("agentidp_tokens_issued_total{outcome=\"success\"} 1"), "{metrics}");
    assert!(metrics.contains("agentidp_tokens_issued_total{outcome=\"failure\"} 2"), "{metrics}");
}

#[tokio::test]
async fn an_agent_that_is_not_active_is_told_so_only_with_its_secret() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": "suspended" })).await;
    assert_eq!(site.grant(agent, &secret).await.refusal(), (403, "unauthorized_client".to_owned()));
    assert_eq!(site.grant(agent, "wrong").await.refusal(), (401, "invalid_client".to_owned()));
    site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": "active" })).await;
    site.granted(agent, &secret).await;
    site.call("DELETE", &format!("/agents/{agent}"), Value::Null).await;
    assert_eq!(site.grant(agent, &secret).await.refusal(), (401, "invalid_client".to_owned()), "nothing is left of it");
}

#[tokio::test]
async fn malformed_requests_are_told_apart_before_anybody_is_authenticated() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let form = grant_form(agent, &secret);
    let (invalid, grant) = ("invalid_request", "unsupported_grant_type");
    let table = [
        (String::new(), invalid),
        ("grant_type=client_credentials".to_owned(), invalid),
        (format!("client_id={agent}&client_secret={secret}"), invalid),
        (format!("grant_type=client_credentials&client_id={agent}"), invalid),
        (format!("grant_type=client_credentials&client_id={agent}&client_secret="), invalid),
        (format!("grant_type=client_credentials&client_id=&client_secret={secret}"), invalid),
        (format!("grant_type=client_credentials&client_secret={secret}"), invalid),
        (format!("{form}&grant_type=client_credentials"), invalid),
        (format!("{form}&client_id={agent}"), invalid),
        (format!("{form}&client_secret={secret}"), invalid),
        (format!("{form}&scope=agents:read&scope=agents:read"), invalid),
        (format!("{form}&x=1&x=2"), invalid),
        (format!("{form}&x=%zz"), invalid),
        (format!("{form}&x=%ff"), invalid),
        ("grant_type=password".to_owned(), grant),
        ("grant_type=client_credentials%00".to_owned(), grant),
        ("grant_type=Client_Credentials".to_owned(), grant),
        ("grant_type=authorization_code&code=a".to_owned(), grant),
        (r#"{"grant_type":"client_credentials"}"#.to_owned(), invalid),
    ];
    for (form, error) in table {
        let reply = site.token_form(form.clone()).await;
        assert_eq!(reply.refusal(), (400, error.to_owned()), "{form}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{form}");
        assert!(!reply.text.contains(&secret), "{form}");
    }
    let reply = site.token_form(&b"grant_type=client_credentials&client_id=\xff&client_secret=\xfe"[..]).await;
    assert_eq!(reply.refusal(), (400, invalid.to_owned()));

    let both = basic(&format!("{agent}:{secret}"));
    let reply = site.token_with(&[("authorization", &both)], form.clone()).await;
    assert_eq!(reply.refusal(), (400, invalid.to_owned()), "both ways at once");
    for more in ["client_assertion=a", "client_assertion_type=a", "client_assertion=a&client_assertion_type=b"] {
        let reply = site.token_form(format!("{form}&{more}")).await;
        assert_eq!(reply.refusal(), (400, invalid.to_owned()), "{more} beside a secret");
        let reply = site.token_with(&[("authorization", &both)], format!("grant_type=client_credentials&{more}")).await;
        assert_eq!(reply.refusal(), (400, invalid.to_owned()), "{more} beside Basic");
    }
    for bad in ["Basic", "Basic ???", "Basic Og==", "Basic /w==", "Bearer a.b.c", "Digest x"] {
        let reply = site.token_with(&[("authorization", bad)], "grant_type=client_credentials").await;
        assert_eq!(reply.refusal(), (401, "invalid_client".to_owned()), "{bad}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Basic "), "{bad}");
    }
}

#[tokio::test]
async fn the_monthly_limit_ends_with_the_month() {
    let site = Site::build(|app| app.settings.monthly_token_limit = Some(2)).await;
    let (agent, other) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let (_, secret) = site.credential(agent).await;
    let (_, others_secret) = site.credential(other).await;
    site.granted(agent, &secret).await;
    site.granted(agent, &secret).await;
    let refused = site.grant(agent, &secret).await;
    assert_eq!(refused.refusal(), (403, "unauthorized_client".to_owned()));
    assert!(!refused.text.contains("access_token"));
    site.granted(other, &others_secret).await;
    site.clock.advance(Duration::from_secs(31 * 86_400));
    let again = site.grant(agent, &secret).await;
    assert_eq!(again.status, 200, "{again:?}");
}

#[tokio::test]
async fn guessing_is_limited_for_each_claimed_client_and_address() {
    let site = Site::build(|app| app.limiter = RateLimiter::new(3, Arc::clone(&app.clock))).await;
    let (agent, other) = (Uuid::new_v4(), Uuid::new_v4());
    for remaining in ["2", "1", "0"] {
        let reply = site.grant(agent, "wrong").await;
        assert_eq!(reply.refusal().0, 401);
        assert_eq!(reply.header("x-ratelimit-limit"), Some("3"));
        assert_eq!(reply.header("x-ratelimit-remaining"), Some(remaining));
    }
    // Another spelling of the id is the same client.
    let reply = site.grant(agent.to_string().to_uppercase(), "wrong").await;
    assert_eq!(reply.failure(), (429, "RATE_LIMIT_EXCEEDED".to_owned()));
    assert_eq!(reply.refusal().1, "invalid_request");
    assert_eq!(reply.header("retry-after"), Some("20"));
    let reset: i64 = reply.header("x-ratelimit-reset").unwrap().parse().unwrap();
    assert_eq!(reset, site.app.now().unix_seconds() + 20);

    assert_eq!(site.grant(other, "wrong").await.status, 401, "another client has its own");
    let elsewhere = [("x-forwarded-for", "203.0.113.9")];
    let forged = site.token_with(&elsewhere, grant_form(agent, "wrong")).await;
    assert_eq!(forged.status, 429, "an address that no trusted proxy wrote does not help");
    site.clock.advance(Duration::from_secs(20));
    assert_eq!(site.grant(agent, "wrong").await.status, 401);
    let metrics = site.bare("GET", "/metrics", &[]).await.text;
    assert!(metrics.contains("agentidp_rate_limit_rejections_total 2"), "{metrics}");
}

/// All headers but those that differ from request to request.
fn headers(reply: &Reply) -> Vec<(String, String)> {
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-request-id" && !name.as_str().starts_with("x-ratelimit"))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    headers
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn form_urlencoded_pair(client_id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("{}:{}", encode(client_id), encode(secret))
}
