//! The provider from outside, over HTTP and a real PostgreSQL.

#[path = "../../../support.rs"]
mod support;

use adopter_adapter::{Idp, router};
use agentidp_secrets::SecretStore;
use agentidp_secrets::backends::Memory;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use self::support::fresh_pool;

struct Site {
    pool: PgPool,
    address: String,
    agent: i64,
}

async fn site() -> Site {
    let pool = fresh_pool().await;
    // Vault, in yours.
    let store = SecretStore::builder(Memory::new()).build().unwrap();
    let idp = Idp::open(store, pool.clone()).await.unwrap();
    let agent = sqlx::query_scalar("INSERT INTO agents (name) VALUES ('reporter') RETURNING agent_id");
    let agent = agent.fetch_one(&pool).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router(idp)).into_future());
    Site { pool, address, agent }
}

impl Site {
    async fn ask(&self, method: Method, agent: i64, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/agents/{agent}/{path}", self.address);
        let answer = reqwest::Client::new().request(method, url).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn works(&self, secret: &Value) -> bool {
        let agent = self.agent.to_string();
        let form = [("client_id", agent.as_str()), ("client_secret", secret.as_str().unwrap())];
        let url = format!("{}/token", self.address);
        reqwest::Client::new().post(url).form(&form).send().await.unwrap().status() == StatusCode::OK
    }
}

#[tokio::test]
async fn a_secret_works_from_its_issue_to_its_end() {
    let site = site().await;
    let agent = site.agent;
    let (status, first) = site.ask(Method::POST, agent, "credentials", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    let (_, other) = site.ask(Method::POST, agent, "credentials", Value::Null).await;
    assert!(site.works(&first["secret"]).await && site.works(&other["secret"]).await);
    assert!(!site.works(&json!("a guess")).await);

    let path = format!("credentials/{}", first["credential_id"]);
    let overlap = json!({ "overlap_seconds": 3600 });
    let (_, rotated) = site.ask(Method::POST, agent, &format!("{path}/rotate"), overlap).await;
    assert!(site.works(&first["secret"]).await && site.works(&rotated["secret"]).await);
    let previous = site.ask(Method::DELETE, agent, &format!("{path}/previous"), Value::Null).await;
    assert_eq!(previous.0, StatusCode::NO_CONTENT);
    assert!(!site.works(&first["secret"]).await && site.works(&rotated["secret"]).await);

    assert_eq!(site.ask(Method::DELETE, agent, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert!(!site.works(&rotated["secret"]).await && site.works(&other["secret"]).await);
    assert_eq!(site.ask(Method::PUT, agent, "active", json!(false)).await.0, StatusCode::NO_CONTENT);
    assert!(!site.works(&other["secret"]).await);
    assert_eq!(site.ask(Method::PUT, agent, "active", json!(true)).await.0, StatusCode::NO_CONTENT);
    assert!(site.works(&other["secret"]).await);

    let audit = "SELECT event FROM audit ORDER BY event_id";
    let audit: Vec<String> = sqlx::query_scalar(audit).fetch_all(&site.pool).await.unwrap();
    let changes = ["issued", "issued", "rotated", "overlap ended", "ended", "suspended", "resumed"];
    assert_eq!(audit, changes, "each change once");
}

#[tokio::test]
async fn a_change_that_refuses_leaves_no_credential() {
    let site = site().await;
    let (status, _) = site.ask(Method::POST, 999, "credentials", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let active = "SELECT count(*) FROM agentidp_credentials WHERE state = 'active'";
    let active: i64 = sqlx::query_scalar(active).fetch_one(&site.pool).await.unwrap();
    assert_eq!(active, 0);
}
