//! PostgreSQL dies under load and comes back: nothing that was acknowledged is lost, and no right secret was ever wrong.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::binary::{Client, Running, token_id};
use crate::replicas::{Shared, ready};
use crate::support::Postgres;
use crate::support::process::until;

/// What the servers have said was done.
#[derive(Default)]
struct Acknowledged {
    credentials: Mutex<BTreeSet<String>>,
    tokens: Mutex<Vec<String>>,
    revoked: Mutex<Vec<String>>,
    outages: AtomicU64,
    over: AtomicBool,
}

impl Acknowledged {
    /// The answer, or none when the database could not be asked. Nothing else may happen.
    async fn send(&self, request: RequestBuilder, expected: StatusCode) -> Option<Value> {
        let reply = request.send().await.expect("the servers live on");
        let (status, text) = (reply.status(), reply.text().await.unwrap());
        if status == expected {
            return Some(serde_json::from_str(&text).unwrap_or_default());
        }
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "an outage is an outage, and nothing wrong: {text}");
        assert!(text.contains("SERVICE_UNAVAILABLE"), "{text}");
        self.outages.fetch_add(1, Ordering::SeqCst);
        None
    }

    fn counts(&self) -> (usize, usize, usize) {
        let (credentials, tokens) = (self.credentials.lock().unwrap(), self.tokens.lock().unwrap());
        (credentials.len(), tokens.len(), self.revoked.lock().unwrap().len())
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }
}

/// Creates credentials; each request is sent until it is answered.
async fn create(done: Arc<Acknowledged>, origin: String, operator: String, agent: String) {
    let (http, path) = (reqwest::Client::new(), format!("{origin}/api/v1/agents/{agent}/credentials"));
    while done.goes_on() {
        let key = uuid::Uuid::new_v4().to_string();
        loop {
            let request = http.post(&path).bearer_auth(&operator).header("Idempotency-Key", &key);
            let reply = request.send().await.expect("the servers live on");
            match reply.status().as_u16() {
                201 => {
                    let made: Value = reply.json().await.unwrap();
                    done.credentials.lock().unwrap().insert(made["credentialId"].as_str().unwrap().to_owned());
                    break;
                }
                503 => drop(done.outages.fetch_add(1, Ordering::SeqCst)),
                // The claim of the request that failed is given back as soon as the database is there again.
                409 => assert!(reply.text().await.unwrap().contains("IDEMPOTENCY_KEY_IN_USE")),
                other => panic!("{other}: {}", reply.text().await.unwrap()),
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Gets tokens and revokes every second one.
async fn tokens(done: Arc<Acknowledged>, origin: String, operator: String, client: Arc<Client>) {
    let http = reqwest::Client::new();
    for turn in 0.. {
        if !done.goes_on() {
            return;
        }
        let request = http.post(format!("{origin}/api/v1/token")).form(&client.form());
        let Some(answer) = done.send(request, StatusCode::OK).await else { continue };
        let token = answer["access_token"].as_str().unwrap().to_owned();
        done.tokens.lock().unwrap().push(token.clone());
        if turn % 2 == 0 {
            let request = http.post(format!("{origin}/api/v1/token/revoke")).bearer_auth(&operator);
            if done.send(request.form(&[("token", &token)]), StatusCode::OK).await.is_some() {
                done.revoked.lock().unwrap().push(token);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_the_death_of_postgres() {
    let mut postgres = Postgres::start_own().await;
    let url = postgres.fresh_database().await;
    let shared = Shared::on(&url, None).await;
    let (a, b) = tokio::join!(shared.serve(&[]), shared.serve(&[]));
    let client = Arc::new(a.agent_with_credential(&shared.operator).await);
    let agent = a.agent(&shared.operator).await;
    let done = Arc::new(Acknowledged::default());
    let mut load = JoinSet::new();
    for server in [&a, &b] {
        let (origin, operator) = (&server.origin, &shared.operator);
        load.spawn(create(Arc::clone(&done), origin.clone(), operator.clone(), agent.clone()));
        load.spawn(tokens(Arc::clone(&done), origin.clone(), operator.clone(), Arc::clone(&client)));
    }

    let http = reqwest::Client::new();
    for _ in 0..2 {
        more(&done).await;
        let before = done.outages.load(Ordering::SeqCst);
        postgres.kill().await;
        until("an outage that a client sees", async || done.outages.load(Ordering::SeqCst) > before).await;
        until("a server that is not ready", async || ready(&http, &a.origin).await == Some(503)).await;
        postgres.start_again().await;
        for server in [&a, &b] {
            until("a server that is ready", async || ready(&http, &server.origin).await == Some(200)).await;
        }
        more(&done).await;
    }
    done.over.store(true, Ordering::SeqCst);
    load.join_all().await;

    everything_is_there(&done, [&a, &b], &shared.operator, &agent, &client).await;
    the_row_cache_is_back(&a, &b, &shared.operator, &client).await;
}

/// Waits until more of each kind was done.
async fn more(done: &Acknowledged) {
    let (credentials, tokens, revoked) = done.counts();
    until("more of everything", async || {
        let now = done.counts();
        now.0 > credentials + 2 && now.1 > tokens + 10 && now.2 > revoked + 5
    })
    .await;
}

async fn everything_is_there(
    done: &Acknowledged,
    servers: [&Running; 2],
    operator: &str,
    agent: &str,
    client: &Client,
) {
    let made = done.credentials.lock().unwrap().clone();
    let listed = all(servers[0], operator, &format!("/api/v1/agents/{agent}/credentials?limit=100")).await;
    let listed: BTreeSet<_> = listed.iter().map(|row| row["credentialId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(made, listed, "each key has made one credential, also where its answer was lost");

    let path = format!("/api/v1/audit?agentId={}&action=token.issued&limit=200", client.id);
    let events = all(servers[1], operator, &path).await;
    let recorded: BTreeSet<_> = events.iter().map(|event| event["metadata"]["tokenId"].as_str().unwrap()).collect();
    let (tokens, revoked) = (done.tokens.lock().unwrap().clone(), done.revoked.lock().unwrap().clone());
    for token in &tokens {
        assert!(recorded.contains(token_id(token).as_str()), "a token went out without its event");
    }
    for token in &revoked {
        for server in servers {
            assert_eq!(server.status(token, Method::GET, "/api/v1/agents").await, 401, "it was revoked");
        }
    }
    let living = tokens.iter().find(|token| !revoked.contains(token)).unwrap();
    assert_eq!(servers[1].status(living, Method::GET, "/api/v1/agents").await, 200);
}

/// Rows are served from memory again, and changes are heard of.
async fn the_row_cache_is_back(a: &Running, b: &Running, operator: &str, client: &Client) {
    let hits = async || {
        let text = reqwest::get(format!("{}/metrics", b.origin)).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("agentidp_row_cache_total{outcome=\"hit\"} "));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let before = hits().await;
    until("rows from memory", async || {
        assert_eq!(b.token(client).await.0, 200);
        hits().await > before
    })
    .await;
    let credential = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
    assert_eq!(a.status(operator, Method::DELETE, &credential).await, 204);
    until("the revocation", async || b.token(client).await.0 == 401).await;
    assert_eq!(b.token(client).await.0, 401);
}

/// All pages of a list.
async fn all(server: &Running, operator: &str, path: &str) -> Vec<Value> {
    let (http, mut rows) = (reqwest::Client::new(), Vec::new());
    for page in 1.. {
        let request = http.get(format!("{}{path}&page={page}", server.origin)).bearer_auth(operator);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let data = answer["data"].as_array().unwrap();
        rows.extend(data.iter().cloned());
        if data.is_empty() {
            break;
        }
    }
    rows
}
