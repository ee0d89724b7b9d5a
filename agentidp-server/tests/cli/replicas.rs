//! Several server processes on one PostgreSQL and one OpenBao.

use reqwest::Method;
use serde_json::Value;

use crate::binary::{Client, Place, Running};
use crate::support::process::until;
use crate::support::{self, bao::Mount};

/// What replicas share: the database, the key, and Vault.
pub(crate) struct Shared {
    pub(crate) place: Place,
    settings: Vec<(&'static str, String)>,
    pub(crate) operator: String,
}

impl Shared {
    pub(crate) async fn on(url: &str, mount: Option<&Mount>) -> Self {
        let place = Place::new();
        // Also makes the key that all of them are given.
        let operator = place.operator(&[]).await;
        let key = place.data("jwt-key.pem").to_str().unwrap().to_owned();
        let mut settings = vec![
            ("DATABASE_URL", url.to_owned()),
            ("JWT_PRIVATE_KEY_FILE", key),
            ("RATE_LIMIT_PER_MINUTE", "0".to_owned()),
        ];
        if let Some(mount) = mount {
            settings.extend([
                ("VAULT_ADDR", support::bao().address().to_owned()),
                ("VAULT_TOKEN", mount.policy_token.clone()),
                ("VAULT_KV_MOUNT", mount.name.clone()),
            ]);
        }
        Self { place, settings, operator }
    }

    pub(crate) async fn serve(&self, more: &[(&str, &str)]) -> Running {
        self.place.serve(&self.settings(more)).await
    }

    /// What they share, and more.
    pub(crate) fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect()
    }
}

/// Of `GET /ready`; none when nobody answers.
pub(crate) async fn ready(client: &reqwest::Client, origin: &str) -> Option<u16> {
    Some(client.get(format!("{origin}/ready")).send().await.ok()?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_that_start_at_once_on_an_empty_database_are_one_service() {
    let (url, mount) = (support::postgres().fresh_database().await, support::bao().fresh_mount(2).await);
    let shared = Shared::on(&url, Some(&mount)).await;
    let (a, b, c) = tokio::join!(shared.serve(&[]), shared.serve(&[]), shared.serve(&[]));
    let (http, all) = (reqwest::Client::new(), [&a, &b, &c]);
    for server in all {
        assert_eq!(ready(&http, &server.origin).await, Some(200), "{}", shared.place.log());
    }

    // What one makes the others know, and what one ends the others refuse.
    let client = a.agent_with_credential(&shared.operator).await;
    let token = a.granted(&client).await;
    for server in all {
        assert_eq!(server.token(&client).await.0, 200);
        assert_eq!(server.status(&token, Method::GET, "/api/v1/agents").await, 200, "one key");
    }
    b.revoke_token(&shared.operator, &token).await;
    for server in all {
        assert_eq!(server.status(&token, Method::GET, "/api/v1/agents").await, 401);
    }
    let credential = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
    assert_eq!(c.status(&shared.operator, Method::DELETE, &credential).await, 204);
    for server in all {
        until("the revocation", async || server.token(&client).await.0 == 401).await;
        assert_eq!(server.token(&client).await.0, 401, "once refused it stays refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_suspended_at_one_is_refused_at_the_other() {
    let url = support::postgres().fresh_database().await;
    let shared = Shared::on(&url, None).await;
    let (a, b) = tokio::join!(shared.serve(&[]), shared.serve(&[]));
    let client = a.agent_with_credential(&shared.operator).await;
    let token = b.granted(&client).await;
    let suspend = reqwest::Client::new().patch(format!("{}/api/v1/agents/{}", a.origin, client.id));
    let suspended = suspend.bearer_auth(&shared.operator).json(&serde_json::json!({ "status": "suspended" }));
    assert_eq!(suspended.send().await.unwrap().status(), 200);
    until("the suspension", async || b.token(&client).await.0 == 403).await;
    assert_eq!(b.status(&token, Method::GET, "/api/v1/agents").await, 401);
}

/// Each is tried at once, and the other replica has the client's rows in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_secret_is_accepted_by_the_other_replica_at_once() {
    let (url, mount) = (support::postgres().fresh_database().await, support::bao().fresh_mount(2).await);
    let shared = Shared::on(&url, Some(&mount)).await;
    let (a, b) = tokio::join!(shared.serve(&[]), shared.serve(&[]));
    let mut client = a.agent_with_credential(&shared.operator).await;
    b.granted(&client).await;
    for n in 0..10 {
        let credentials = format!("/api/v1/agents/{}/credentials", client.id);
        let made = a.post(&shared.operator, &credentials, &Value::Null).await;
        assert_eq!(b.token(&Client::shown(client.id.clone(), &made)).await.0, 200, "{n}: a new one");
        let rotation = format!("{credentials}/{}/rotate", client.credential);
        let rotated = a.post(&shared.operator, &rotation, &Value::Null).await;
        client = Client::shown(client.id, &rotated);
        assert_eq!(b.token(&client).await.0, 200, "{n}: a rotated one");
    }
}

/// As the guide says: each replica counts for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limits_are_each_replicas_own() {
    let url = support::postgres().fresh_database().await;
    let shared = Shared::on(&url, None).await;
    let (a, b) = tokio::join!(shared.serve(&[]), shared.serve(&[]));
    let client = a.agent_with_credential(&shared.operator).await;
    drop((a, b));
    let limit = [("RATE_LIMIT_PER_MINUTE", "2")];
    let (a, b) = tokio::join!(shared.serve(&limit), shared.serve(&limit));
    for server in [&a, &b] {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(server.token(&client).await.0);
        }
        assert_eq!(statuses, [200, 200, 429]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_two_replicas_makes_one_credential() {
    let (url, mount) = (support::postgres().fresh_database().await, support::bao().fresh_mount(2).await);
    let shared = Shared::on(&url, Some(&mount)).await;
    let (a, b) = tokio::join!(shared.serve(&[]), shared.serve(&[]));
    let agent = a.agent(&shared.operator).await;
    let http = reqwest::Client::new();
    let create = async |origin: &str| loop {
        let request = http.post(format!("{origin}/api/v1/agents/{agent}/credentials")).bearer_auth(&shared.operator);
        let reply = request.header("Idempotency-Key", "at-two").send().await.unwrap();
        if reply.status() == 201 {
            return reply.json::<Value>().await.unwrap();
        }
        assert_eq!((reply.status().as_u16(), &reply.headers()["retry-after"]), (409, &"1".parse().unwrap()));
    };
    let (one, other) = tokio::join!(create(&a.origin), create(&b.origin));
    assert_eq!(one, other);
    let client = Client::shown(agent, &one);
    assert_eq!((a.token(&client).await.0, b.token(&client).await.0), (200, 200));
}
