//! The provider from outside, over HTTP and a real PostgreSQL.

mod conformance;
mod support;

use std::sync::Arc;

use adopter_port::{Idp, idp, router};
use agentidp_secrets::backends::{Bcrypt, Memory};
use agentidp_secrets::lifecycle::{MoveOutcome, Reported};
use agentidp_secrets::{BackendId, SecretStore};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use self::support::fresh_pool;
use self::support::process::until;

struct Site {
    idp: Idp,
    pool: PgPool,
    address: String,
    agent: i64,
}

/// A provider whose clients have bcrypt digests, as it was before.
async fn site() -> Site {
    let pool = fresh_pool().await;
    let agent = sqlx::query_scalar("INSERT INTO agents (name) VALUES ('reporter') RETURNING agent_id");
    let agent = agent.fetch_one(&pool).await.unwrap();
    let idp = idp(SecretStore::builder(bcrypt()).build().unwrap(), pool.clone());
    let address = serve(idp.clone()).await;
    Site { idp, pool, address, agent }
}

fn bcrypt() -> impl agentidp_secrets::SecretBackend {
    Bcrypt::builder().cost(10).build().unwrap()
}

async fn serve(idp: Idp) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router(idp)).into_future());
    address
}

impl Site {
    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/agents/{}/credentials{path}", self.address, self.agent);
        let answer = reqwest::Client::new().request(method, url).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn issue(&self) -> (i64, String) {
        let (status, body) = self.ask(Method::POST, "", Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        (body["credential_id"].as_i64().unwrap(), text(&body, "secret"))
    }

    async fn login(&self, client: &str, secret: &str) -> StatusCode {
        let form = [("client_id", client), ("client_secret", secret)];
        let url = format!("{}/token", self.address);
        reqwest::Client::new().post(url).form(&form).send().await.unwrap().status()
    }

    async fn works(&self, secret: &str) -> bool {
        self.login(&self.agent.to_string(), secret).await == StatusCode::OK
    }

    async fn record(&self, id: i64) -> String {
        let record = sqlx::query_scalar("SELECT record FROM credentials WHERE credential_id = $1").bind(id);
        record.fetch_one(&self.pool).await.unwrap()
    }
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_secret_works_from_its_issue_to_its_end() {
    let site = site().await;
    let (first, one) = site.issue().await;
    let (second, other) = site.issue().await;
    assert!(site.works(&one).await && site.works(&other).await, "each of the agent's credentials counts");
    assert!(!site.works("a guess").await);
    for stranger in ["999", "007", "+1", "reporter", "../1"] {
        assert_eq!(site.login(stranger, &one).await, StatusCode::UNAUTHORIZED, "{stranger}");
    }

    let (_, body) = site.ask(Method::POST, &format!("/{first}/rotate"), json!({ "overlap_seconds": 3600 })).await;
    let rotated = text(&body, "secret");
    assert!(site.works(&one).await && site.works(&rotated).await, "both work within the overlap");
    let end = async |query: &str| site.ask(Method::DELETE, &format!("/{first}/previous{query}"), Value::Null).await.0;
    assert_eq!(end("").await, StatusCode::CONFLICT, "a client still uses it");
    assert_eq!(end("?force=true").await, StatusCode::NO_CONTENT);
    assert!(!site.works(&one).await && site.works(&rotated).await);
    assert_eq!(site.ask(Method::DELETE, &format!("/{first}/previous"), Value::Null).await.0, StatusCode::NOT_FOUND);

    assert_eq!(site.ask(Method::DELETE, &format!("/{first}"), Value::Null).await.0, StatusCode::NO_CONTENT);
    assert!(!site.works(&rotated).await && site.works(&other).await);
    assert_eq!(site.ask(Method::DELETE, &format!("/{first}"), Value::Null).await.0, StatusCode::CONFLICT);

    let audit = sqlx::query_scalar("SELECT event FROM audit WHERE credential_id = $1 ORDER BY event_id").bind(first);
    let audit: Vec<String> = audit.fetch_all(&site.pool).await.unwrap();
    assert_eq!(audit, ["issued", "rotated", "overlap ended", "ended"], "each change once, and no refused one");

    sqlx::query("UPDATE agents SET suspended = true").execute(&site.pool).await.unwrap();
    assert!(!site.works(&other).await);
    let refused = site.ask(Method::POST, &format!("/{second}/rotate"), json!({})).await;
    assert_eq!(refused.0, StatusCode::CONFLICT, "{}", refused.1);
}

#[tokio::test]
async fn an_agent_cannot_reach_the_credential_of_another() {
    let mut site = site().await;
    let (id, secret) = site.issue().await;
    let other = sqlx::query_scalar("INSERT INTO agents (name) VALUES ('other') RETURNING agent_id");
    site.agent = other.fetch_one(&site.pool).await.unwrap();
    for (method, path) in [(Method::POST, format!("/{id}/rotate")), (Method::DELETE, format!("/{id}"))] {
        assert_eq!(site.ask(method, &path, json!({})).await.0, StatusCode::NOT_FOUND);
    }
    assert!(!site.works(&secret).await);
}

/// The store's primary becomes a backend that keeps the secrets: Vault, in yours. Clients move at their next login.
#[tokio::test]
async fn a_client_moves_from_bcrypt_at_its_next_login() {
    let mut site = site().await;
    let (id, secret) = site.issue().await;
    assert!(site.record(id).await.starts_with("{bcrypt}"));

    let store = SecretStore::builder(Memory::new()).accepts(bcrypt()).build().unwrap();
    site.idp = idp(store, site.pool.clone());
    site.address = serve(site.idp.clone()).await;
    assert!(site.works(&secret).await);
    until("the record to move", async || site.record(id).await.starts_with("{memory}")).await;
    assert!(site.works(&secret).await, "the agent has noticed nothing");

    let (_, body) = site.ask(Method::POST, &format!("/{id}/rotate"), json!({ "overlap_seconds": 3600 })).await;
    assert!(site.works(&secret).await && site.works(&text(&body, "secret")).await);
    assert_eq!(site.ask(Method::DELETE, &format!("/{id}"), Value::Null).await.0, StatusCode::NO_CONTENT);
    assert!(!site.works(&secret).await);
}

/// The way back from a backend that keeps the secrets: nobody has to log in for it, and the report says who did.
#[tokio::test]
async fn secrets_that_can_be_read_move_without_their_clients() {
    let mut site = site().await;
    let memory = Arc::new(Memory::new());
    let store = SecretStore::builder(Arc::clone(&memory)).accepts(bcrypt()).build().unwrap();
    site.idp = idp(store, site.pool.clone());
    site.address = serve(site.idp.clone()).await;
    let ((used, secret), (unused, other)) = (site.issue().await, site.issue().await);
    assert!(site.works(&secret).await);
    assert_eq!(site.idp.write_uses().await, 1);

    let idp = idp(SecretStore::builder(bcrypt()).accepts(memory).build().unwrap(), site.pool.clone());
    let mut needing = Vec::new();
    let note = &mut |reported: &Reported| {
        if reported.needs(&BackendId::MEMORY) {
            needing.push((reported.row.key.credential_id().to_string(), reported.usage.last_used_at.is_some()));
        }
    };
    assert_eq!(idp.report(note).await.unwrap(), 2);
    assert_eq!(needing, [(used.to_string(), true), (unused.to_string(), false)]);
    let mut all = idp.move_all().at_once(4);
    while let Some(moved) = all.next().await.unwrap() {
        assert!(matches!(moved.outcome, MoveOutcome::Moved), "{moved:?}");
    }
    for id in [used, unused] {
        assert!(site.record(id).await.starts_with("{bcrypt}"));
    }
    site.address = serve(idp).await;
    assert!(site.works(&secret).await && site.works(&other).await);
}

/// Without blank lines and comments.
#[test]
fn the_ledger_has_at_most_150_lines() {
    let code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let lines = include_str!("../../src/ledger.rs").lines().filter(code).count();
    assert!(lines <= 150, "{lines} lines");
}
