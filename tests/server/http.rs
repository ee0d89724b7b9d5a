//! What every answer has, and what anybody may ask.

use std::time::Duration;

use agentidp_server::tokens::TokenProfile;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use uuid::Uuid;

use super::site::{Site, use_issuer};

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

const METADATA: &str = "/.well-known/oauth-authorization-server";

async fn with_issuer(issuer: &str) -> Site {
    Site::build(|app| use_issuer(app, issuer, TokenProfile::Jwt)).await
}

#[tokio::test]
async fn the_metadata_names_endpoints_that_exist_and_how_to_authenticate_at_them() {
    let origin = "http://idp.test:3000";
    for path in ["/tenants/a", "/tenants/a/", ""] {
        let issuer = format!("{origin}{path}");
        let site = with_issuer(&issuer).await;
        let metadata = site.bare("GET", METADATA, &[]).await.json();
        assert_eq!(metadata["issuer"], issuer);
        for (member, status) in
            [("token_endpoint", 415), ("introspection_endpoint", 401), ("revocation_endpoint", 401), ("jwks_uri", 200)]
        {
            let url = metadata[member].as_str().unwrap().strip_prefix(origin).unwrap();
            let method = if member == "jwks_uri" { "GET" } else { "POST" };
            assert_eq!(site.bare(method, url, &[]).await.status, status, "{issuer}: {member}");
        }
    }
    let site = with_issuer(origin).await;
    let metadata = site.bare("GET", METADATA, &[]).await.json();
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
    for endpoint in ["token", "introspection", "revocation"] {
        let methods = &metadata[format!("{endpoint}_endpoint_auth_methods_supported")];
        assert_eq!(methods, &json!(["client_secret_post", "client_secret_basic"]), "{endpoint}");
    }
    let members = metadata.as_object().unwrap();
    assert!(members.values().all(|value| value != &json!([])), "an empty list is left out: {metadata}");
}

/// RFC 8414 §3.3: a client compares the issuer with the one that it was told.
#[tokio::test]
async fn the_issuer_is_the_server_s_own_whatever_a_request_says() {
    let site = with_issuer("https://idp.example").await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let token = site.granted(agent, &secret).await;
    assert_eq!(site.app.tokens.verify(&token).unwrap().iss.as_deref(), Some("https://idp.example"));
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
    ];
    let reply = site.bare("GET", METADATA, &forged).await;
    assert!(reply.status == 200 && !reply.text.contains("evil"), "{reply:?}");
    assert_eq!(reply.json()["token_endpoint"], "https://idp.example/api/v1/token");

    let none = Site::bcrypt().await;
    assert_eq!(none.bare("GET", METADATA, &[("host", "idp.example")]).await.failure(), (404, "NOT_FOUND".to_owned()));
}

/// RFC 8414 §3.1.
#[tokio::test]
async fn the_metadata_is_at_the_issuer_s_path_too() {
    for (issuer, path) in [
        ("https://idp.example/tenants/a", "/tenants/a"),
        ("https://idp.example/tenants/a/", "/tenants/a"),
        ("https://idp.example/t%C3%A9", "/t%C3%A9"),
        ("https://idp.example/", ""),
        ("https://idp.example", ""),
    ] {
        let site = with_issuer(issuer).await;
        for path in ["", "/", path, &format!("{path}/")] {
            let reply = site.bare("GET", &format!("{METADATA}{path}"), &[]).await;
            assert_eq!((reply.status, &reply.json()["issuer"]), (200, &json!(issuer)), "{path}");
        }
        for other in ["/tenants", "/tenants/b", "//", "x", "/tenants/a/b", "/tenants/a//"] {
            assert_eq!(site.bare("GET", &format!("{METADATA}{other}"), &[]).await.status, 404, "{issuer} {other}");
        }
    }
}

/// A proxy in front of the server may keep the path of the issuer, or drop it.
#[tokio::test]
async fn the_api_is_at_the_issuer_s_path_and_at_the_root() {
    let site = with_issuer("https://idp.example/tenants/a").await;
    site.agent("a@example.com").await;
    let bearer = format!("Bearer {}", site.operator);
    for base in ["", "/tenants/a"] {
        let get = async |path: &str| site.bare("GET", &format!("{base}{path}"), &[("authorization", &bearer)]).await;
        let agents = get("/api/v1/agents").await.json();
        let id = agents["data"][0]["agentId"].as_str().unwrap();
        assert_eq!(get(&format!("/api/v1/agents/{id}")).await.status, 200, "{base:?}");
        for path in [METADATA, "/.well-known/jwks.json", "/openapi.json"] {
            assert_eq!(get(path).await.status, 200, "{base:?} {path}");
        }
    }
    for path in ["/tenants/a/metrics", "/tenants/a/health", "/tenants/b/api/v1/agents", "/tenants/api/v1/agents"] {
        assert_eq!(site.bare("GET", path, &[("authorization", &bearer)]).await.status, 404, "{path}");
    }
    let metrics = site.bare("GET", "/metrics", &[]).await.text;
    let both = "agentidp_http_requests_total{method=\"GET\",path=\"/api/v1/agents/{agentId}\",status_code=\"200\"} 2";
    assert!(metrics.contains(both) && !metrics.contains("tenants"), "{metrics}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    // No database answers in no time.
    let site = Site::build(|app| app.settings.request_timeout = Duration::ZERO).await;
    let reply = site.get("/agents").await;
    assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(reply.header("retry-after"), Some("1"));
}
