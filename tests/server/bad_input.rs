//! Requests that make no sense: each gets the documented error, none a hint or a panic.

use std::time::Duration;

use agentidp_server::domain::Scopes;
use agentidp_server::tokens::OPERATOR;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use uuid::Uuid;

use super::requests::grant_form;
use super::site::{Site, an_agent};

#[tokio::test]
async fn path_tricks_lead_nowhere() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (credential, _) = site.credential(agent).await;
    for path in [
        "/agents/".to_owned(),
        "//agents".to_owned(),
        "/./agents".to_owned(),
        "/token/../agents".to_owned(),
        "/token/%2e%2e/agents".to_owned(),
        "/agents/..%2f..%2fhealth".to_owned(),
        format!("/agents/{agent}/"),
        format!("/agents/{agent}/../{agent}"),
        format!("/agents/{agent}%2fcredentials"),
        format!("/agents/{agent}/credentials/"),
        format!("/agents/{agent}%5ccredentials"),
        format!("/agents/%2E%2E/{agent}"),
        format!("/agents/{agent}/credentials;a=b"),
        "/Agents".to_owned(),
        "/%61gents".to_owned(),
    ] {
        let reply = site.get(&path).await;
        assert_eq!(reply.failure(), (404, "NOT_FOUND".to_owned()), "{path}");
    }
    for path in ["/", "/api", "/api/v1", "/api/v2/agents", "/health/", "/.well-known", "/favicon.ico", "/index.html"] {
        assert_eq!(site.bare("GET", path, &[]).await.failure(), (404, "NOT_FOUND".to_owned()), "{path}");
    }
    let rotate = site.call("POST", &format!("/agents/{agent}/credentials/{credential}/rotate/"), Value::Null).await;
    assert_eq!(rotate.status, 404);
}

#[tokio::test]
async fn ids_that_are_no_uuids_fail_validation() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (simple, with_nul, long) = (agent.simple().to_string(), format!("{agent}%00"), "1".repeat(5000));
    let written = ["not%20a%20uuid", "a@b.example", "a:b", "%61", &with_nul, &format!("{agent};a=b")];
    for id in ["1", "null", "undefined", "...", "a-b", &simple, &"a".repeat(36), &long].into_iter().chain(written) {
        assert_eq!(site.get(&format!("/agents/{id}")).await.fields(), ["agentId"], "{id}");
        assert_eq!(site.get(&format!("/audit/{id}")).await.fields(), ["eventId"], "{id}");
        let credential = format!("/agents/{agent}/credentials/{id}");
        assert_eq!(site.call("DELETE", &credential, Value::Null).await.fields(), ["credentialId"], "{id}");
        assert_eq!(site.call("POST", &format!("{credential}/rotate"), Value::Null).await.fields(), ["credentialId"]);
    }
    assert_eq!(site.get(&format!("/agents/{}", agent.to_string().to_uppercase())).await.status, 200);
    // Whoever may not ask is not told of what.
    assert_eq!(site.bare("GET", "/api/v1/agents/a:b", &[]).await.failure(), (401, "UNAUTHORIZED".to_owned()));
    let scope = Scopes::parse("audit:read").unwrap();
    let narrow = site.app.tokens.issue_now(OPERATOR, scope, Duration::from_secs(60), true).unwrap().token;
    assert_eq!(site.send(&narrow, "GET", "/agents/a:b", "").await.failure(), (403, "FORBIDDEN".to_owned()));
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let site = Site::bcrypt().await;
    let (agent, all) = (Uuid::new_v4(), ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"]);
    for path in [
        "/api/v1/agents".to_owned(),
        format!("/api/v1/agents/{agent}"),
        format!("/api/v1/agents/{agent}/credentials"),
        format!("/api/v1/agents/{agent}/credentials/{agent}"),
        format!("/api/v1/agents/{agent}/credentials/{agent}/rotate"),
        "/api/v1/token".to_owned(),
        "/api/v1/token/introspect".to_owned(),
        "/api/v1/token/revoke".to_owned(),
        "/api/v1/audit".to_owned(),
        format!("/api/v1/audit/{agent}"),
        "/health".to_owned(),
        "/metrics".to_owned(),
        "/.well-known/jwks.json".to_owned(),
        "/.well-known/oauth-authorization-server".to_owned(),
    ] {
        let options = site.bare("OPTIONS", &path, &[]).await;
        let allow = options.header("allow").unwrap().to_owned();
        assert_eq!((options.status, options.text.as_str()), (204, ""), "{path}");
        for method in all {
            let reply = site.bare(method, &path, &[("host", "localhost")]).await;
            let allowed = allow.split(", ").any(|allowed| allowed == method);
            assert_eq!(reply.status == 405, !allowed, "{method} {path}: {reply:?}");
            if !allowed {
                assert_eq!(reply.failure().1, "METHOD_NOT_ALLOWED");
                assert_eq!(reply.header("allow"), Some(allow.as_str()), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_of_another_media_type_are_refused() {
    let site = Site::bcrypt().await;
    let bearer = format!("Bearer {}", site.operator);
    for (path, media_type) in [
        ("/agents", Some("text/plain")),
        ("/agents", Some("application/x-www-form-urlencoded")),
        ("/agents", None),
        ("/token", Some("application/json")),
        ("/token", Some("multipart/form-data; boundary=a")),
        ("/token", None),
        ("/token/introspect", Some("application/json")),
        ("/token/revoke", None),
    ] {
        let request = hyper::Request::post(format!("/api/v1{path}"));
        let request = if path == "/token" { request } else { request.header(AUTHORIZATION, &bearer) };
        let request = media_type.into_iter().fold(request, |request, value| request.header(CONTENT_TYPE, value));
        let reply = site.exchange(request.body(http_body_util::Full::from("{}")).unwrap()).await;
        assert_eq!(reply.failure(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()), "{path} {media_type:?}");
    }
    let client = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    let request = client.iter().fold(hyper::Request::post("/api/v1/token"), |r, (name, value)| r.header(*name, *value));
    let form = http_body_util::Full::from(grant_form(Uuid::new_v4(), "wrong"));
    assert_eq!(site.exchange(request.body(form).unwrap()).await.status, 401);
}

/// `expires_at` would be ignored, and the secret never end.
#[tokio::test]
async fn names_that_look_like_known_ones_are_refused_and_the_right_one_is_named() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (credential, _) = site.credential(agent).await;
    let own = format!("/agents/{agent}");
    let secrets = format!("{own}/credentials");
    let rotate = format!("{secrets}/{credential}/rotate");
    let (soon, mut registered) = ("2031-01-01T00:00:00Z", an_agent("b@example.com"));
    registered["agent_type"] = "router".into();
    for (method, path, body, right) in [
        ("POST", &secrets, json!({ "expires_at": soon }), "expiresAt"),
        ("POST", &secrets, json!({ "ExpiresAt": soon, "expiresAt": soon }), "expiresAt"),
        ("POST", &rotate, json!({ "EXPIRESAT": soon }), "expiresAt"),
        ("PATCH", &own, json!({ "owner": "me", "deployment_env": "staging" }), "deploymentEnv"),
        ("PATCH", &own, json!({ "owner": "me", "agent_id": agent }), "agentId"),
        ("POST", &"/agents".to_owned(), registered, "agentType"),
        ("GET", &format!("/audit?agent_id={agent}"), Value::Null, "agentId"),
        ("GET", &"/audit?fromdate=2031-01-01".to_owned(), Value::Null, "fromDate"),
        ("GET", &"/agents?Owner=me".to_owned(), Value::Null, "owner"),
        ("GET", &format!("{secrets}?page_=2"), Value::Null, "page"),
    ] {
        let reply = site.call(method, path, body).await;
        assert_eq!(reply.failure(), (400, "VALIDATION_ERROR".to_owned()), "{method} {path}: {reply:?}");
        assert!(reply.text.contains(&format!("is not known: write {right}\"")), "{method} {path}: {reply:?}");
    }
    let secret = site.call("POST", &secrets, json!({ "expires": soon, "expires-at": soon, "note": "_" })).await;
    assert_eq!(secret.status, 201, "other unknown names are ignored");
    let form = grant_form(agent, &secret.secret()) + "&Scope=admin&client__id=a";
    assert_eq!(site.token_form(form).await.status, 200, "forms ignore unknown parameters (RFC 6749 §3.2)");
}

#[tokio::test]
async fn an_empty_body_needs_no_media_type_however_it_is_framed() {
    let site = Site::bcrypt().await;
    let path = format!("/api/v1/agents/{}/credentials", site.agent("a@agents.example").await);
    let chunked = StreamBody::new(stream::empty::<Result<Frame<Bytes>, std::io::Error>>());
    let request = hyper::Request::post(path).header(AUTHORIZATION, format!("Bearer {}", site.operator));
    assert_eq!(site.exchange(request.body(chunked).unwrap()).await.status, 201);
}

#[tokio::test]
async fn bodies_that_are_too_large_are_not_read_on() {
    let site = Site::bcrypt().await;
    let large = vec![b'a'; 64 * 1024 + 1];
    let reply = site.token_form(large.clone()).await;
    assert_eq!(reply.failure(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(site.send(&site.operator, "POST", "/agents", large).await.status, 413);

    // Without an announced length, and without an end.
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[b'a'; 1024]))));
    let request = hyper::Request::post("/api/v1/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    assert_eq!(site.exchange(request.body(StreamBody::new(endless)).unwrap()).await.status, 413);
    let stays_out = site.send("no-token", "POST", "/agents", vec![b'a'; 64 * 1024 + 1]).await;
    assert_eq!(stays_out.status, 401, "who may not call has no body read");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let site = Site::build(|app| app.settings.body_timeout = Duration::ZERO).await;
    let bearer = format!("Bearer {}", site.operator);
    for (path, media_type) in [("token", "application/x-www-form-urlencoded"), ("agents", "application/json")] {
        let begun = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"a")))]);
        let stuck = StreamBody::new(begun.chain(stream::pending()));
        let request = hyper::Request::post(format!("/api/v1/{path}")).header(CONTENT_TYPE, media_type);
        let request = if path == "token" { request } else { request.header(AUTHORIZATION, &bearer) };
        let reply = site.exchange(request.body(stuck).unwrap()).await;
        assert_eq!(reply.failure(), (408, "REQUEST_TIMEOUT".to_owned()), "{path}");
        assert_eq!(reply.header("connection"), Some("close"), "{path}");
    }
}

#[tokio::test]
async fn metrics_show_patterns_and_never_what_was_sent() {
    let site = Site::bcrypt().await;
    let agent = Uuid::new_v4();
    site.get(&format!("/agents/{agent}")).await;
    site.bare("BREW", "/canary-path?canary=query", &[]).await;
    let text = site.bare("GET", "/metrics", &[]).await.text;
    let known = "agentidp_http_requests_total{method=\"GET\",path=\"/api/v1/agents/{agentId}\",status_code=\"404\"} 1";
    assert!(text.contains(known), "{text}");
    let unknown = "agentidp_http_requests_total{method=\"other\",path=\"unknown\",status_code=\"404\"} 1";
    assert!(text.contains(unknown), "{text}");
    assert!(!text.contains("canary") && !text.contains(&agent.to_string()), "{text}");
}
