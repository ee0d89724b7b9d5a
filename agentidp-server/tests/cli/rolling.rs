//! Servers are replaced one after the other while clients go on: no request is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::binary::{Client, Running};
use crate::replicas::{Shared, ready};
use crate::support;
use crate::support::process::until;

/// Long enough for the balancer to hear of it on a busy machine: it asks every server all the time.
const DELAY: [(&str, &str); 1] = [("SHUTDOWN_DELAY", "3s")];

const CLIENTS: usize = 8;

/// Turns to the servers in turn that say they are ready.
#[derive(Default)]
struct Balancer {
    servers: Mutex<Vec<Arc<Server>>>,
    next: AtomicUsize,
    over: AtomicBool,
}

struct Server {
    origin: String,
    ready: AtomicBool,
    answered: AtomicU64,
}

impl Balancer {
    fn add(&self, origin: &str) -> Arc<Server> {
        let server = Server { origin: origin.to_owned(), ready: AtomicBool::new(false), answered: AtomicU64::new(0) };
        let server = Arc::new(server);
        self.servers.lock().unwrap().push(Arc::clone(&server));
        server
    }

    fn servers(&self) -> Vec<Arc<Server>> {
        self.servers.lock().unwrap().clone()
    }

    fn pick(&self) -> Arc<Server> {
        let ready: Vec<_> = self.servers().into_iter().filter(|server| server.ready.load(Ordering::SeqCst)).collect();
        assert!(!ready.is_empty(), "at least one server is ready at any time");
        Arc::clone(&ready[self.next.fetch_add(1, Ordering::SeqCst) % ready.len()])
    }

    /// Asks every server until the end.
    async fn watch(self: Arc<Self>) {
        let http = reqwest::Client::new();
        while !self.over.load(Ordering::SeqCst) {
            for server in self.servers() {
                server.ready.store(ready(&http, &server.origin).await == Some(200), Ordering::SeqCst);
            }
            tokio::task::yield_now().await;
        }
    }

    /// A client with connections that it keeps. Gives what went wrong.
    async fn load(self: Arc<Self>, client: Arc<Client>) -> Vec<String> {
        let (http, mut failures) = (reqwest::Client::new(), Vec::new());
        while !self.over.load(Ordering::SeqCst) {
            let server = self.pick();
            match http.post(format!("{}/api/v1/token", server.origin)).form(&client.form()).send().await {
                Ok(reply) if reply.status() == 200 => {
                    let token: serde_json::Value = reply.json().await.unwrap();
                    let token = token["access_token"].as_str().unwrap().to_owned();
                    let own = format!("{}/api/v1/agents/{}", server.origin, client.id);
                    match http.get(own).bearer_auth(token).send().await {
                        Ok(reply) if reply.status() == 200 => {}
                        other => failures.push(format!("{other:?}")),
                    }
                }
                other => failures.push(format!("{other:?}")),
            }
            server.answered.fetch_add(1, Ordering::SeqCst);
        }
        failures
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_request() {
    let url = support::postgres().fresh_database().await;
    let shared = Shared::on(&url, None).await;
    let (a, b) = tokio::join!(shared.serve(&DELAY), shared.serve(&DELAY));
    let client = Arc::new(a.agent_with_credential(&shared.operator).await);
    let balancer = Arc::new(Balancer::default());
    let (first, second) = (balancer.add(&a.origin), balancer.add(&b.origin));
    let watching = tokio::spawn(Arc::clone(&balancer).watch());
    until("both servers", async || [&first, &second].iter().all(|one| one.ready.load(Ordering::SeqCst))).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(Arc::clone(&balancer).load(Arc::clone(&client)));
    }

    let mut replaced = Vec::new();
    for (old, server) in [(a, first), (b, second)] {
        until("requests", async || server.answered.load(Ordering::SeqCst) > 20).await;
        replaced.push(replace(&shared, &balancer, old).await);
    }
    balancer.over.store(true, Ordering::SeqCst);
    let failures: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    watching.await.unwrap();
    assert!(failures.is_empty(), "{} failed, the first: {}\n{}", failures.len(), failures[0], shared.place.log());
    for server in replaced {
        server.stop().await;
    }
}

/// As an orchestrator does it: asks one to stop, waits for its end, starts another and waits until it gets requests.
async fn replace(shared: &Shared, balancer: &Balancer, old: Running) -> Running {
    let origin = old.origin.clone();
    old.stop().await;
    balancer.servers.lock().unwrap().retain(|server| server.origin != origin);
    let new = shared.serve(&DELAY).await;
    let server = balancer.add(&new.origin);
    until("the new server to get requests", async || server.answered.load(Ordering::SeqCst) > 20).await;
    new
}
