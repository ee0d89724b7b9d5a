//! What every answer has, and what anybody may ask.

use std::sync::Arc;
use std::time::Duration;

use agentidp_server::keys::SigningKey;
use agentidp_server::tokens::Tokens;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use uuid::Uuid;

use super::site::{Site, signing_key};

#[tokio::test]
async fn request_ids_come_back() {
    let site = Site::bcrypt().await;
    let reply = site.bare("GET", "/health", &[("x-request-id", "abc-1")]).await;
    assert_eq!(reply.header("x-request-id"), Some("abc-1"));
    let reply = site.bare("GET", "/nowhere", &[("x-request-id", "a b")]).await;
    assert!(Uuid::parse_str(reply.header("x-request-id").unwrap()).is_ok());
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let site = Site::bcrypt().await;
    let get = site.bare("GET", "/.well-known/jwks.json", &[]).await;
    let head = site.bare("HEAD", "/.well-known/jwks.json", &[]).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(get.text.len().to_string().as_str()));
    assert_eq!(site.bare("HEAD", "/api/v1/agents", &[]).await.status, 401);
}

#[tokio::test]
async fn pages_of_the_configured_origin_may_call_and_no_others() {
    let site = Site::build(|app| app.settings.cors_origin = Some("https://app.example".parse().unwrap())).await;
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "PATCH")];
    let path = format!("/api/v1/agents/{}", Uuid::new_v4());
    let reply = site.bare("OPTIONS", &path, &preflight).await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(reply.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("authorization"));
    let reply = site.bare("GET", "/api/v1/agents", &[("origin", "https://evil.example")]).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"), "a refusal is readable too");
    assert_eq!(reply.header("vary"), Some("Origin"));

    let closed = Site::bcrypt().await;
    let reply = closed.bare("OPTIONS", &path, &preflight).await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
    assert_eq!(reply.header("access-control-allow-methods"), None);
}

/// As any resource server does it: with the published keys and nothing else.
#[tokio::test]
async fn tokens_verify_through_the_published_keys() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let token = site.granted(agent, &secret).await;
    let keys: JwkSet = serde_json::from_str(&site.bare("GET", "/.well-known/jwks.json", &[]).await.text).unwrap();
    let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    // The test's clock is years ahead, so the real one accepts the token.
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &Validation::new(Algorithm::RS256)).unwrap().claims;
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(agent), &json!(agent)));
}

#[tokio::test]
async fn the_metadata_names_endpoints_that_exist() {
    let site = Site::bcrypt().await;
    let path = "/.well-known/oauth-authorization-server";
    let metadata = site.bare("GET", path, &[("host", "idp.test:3000")]).await.json();
    assert_eq!(metadata["issuer"], "http://idp.test:3000");
    for (member, status) in
        [("token_endpoint", 415), ("introspection_endpoint", 401), ("revocation_endpoint", 401), ("jwks_uri", 200)]
    {
        let url = metadata[member].as_str().unwrap().strip_prefix("http://idp.test:3000").unwrap();
        let method = if member == "jwks_uri" { "GET" } else { "POST" };
        assert_eq!(site.bare(method, url, &[]).await.status, status, "{member}");
    }
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
    for host in ["", "a b", "a/b", "a@b"] {
        assert_eq!(site.bare("GET", path, &[("host", host)]).await.status, 400, "{host:?}");
    }
    assert_eq!(site.bare("GET", path, &[]).await.status, 400);

    let configured = Site::build(|app| {
        let key = SigningKey::from_pem(signing_key()).unwrap();
        app.tokens = Tokens::new(key, Vec::new(), Some("https://idp.example".to_owned()), Arc::clone(&app.clock));
    })
    .await;
    let metadata = configured.bare("GET", path, &[("host", "elsewhere")]).await.json();
    assert_eq!(metadata["issuer"], "https://idp.example");
    assert_eq!(metadata["token_endpoint"], "https://idp.example/api/v1/token");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    // No database answers in no time.
    let site = Site::build(|app| app.settings.request_timeout = Duration::ZERO).await;
    let reply = site.get("/agents").await;
    assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(reply.header("retry-after"), Some("1"));
}
