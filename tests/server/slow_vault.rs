//! A Vault that answers late, and a client whose guesses fill every place before it (B9 of the field trial).
//!
//! Time stands still until it is moved: what is late is late by the test's order.

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::repo::sql_at;
use crate::site::Site;
use crate::support;
use crate::support::process::until;
use crate::wired;

const GUESSES: usize = 300;

/// Calls to Vault that the server has under way at most.
const CALLS: usize = 32;

/// Logins of the other client.
const LOGINS: usize = 9;

#[tokio::test(start_paused = true)]
async fn guesses_at_one_client_of_a_slow_vault_keep_no_other_out_and_are_no_outage() {
    let _still = stand_still();
    let (gate, _proxy, address) = Gate::before(support::bao().address()).await;
    let mount = support::bao().fresh_mount(2).await;
    let settings = [
        ("VAULT_ADDR", address.as_str()),
        ("VAULT_TOKEN", &mount.policy_token),
        ("VAULT_KV_MOUNT", &mount.name),
        ("VAULT_READ_TIMEOUT", "1s"),
        ("WARM_CAPACITY", "0"),
    ];
    let site = Arc::new(wired::site(&settings).await);
    let (guessed, other) = (site.agent("a@agents.example").await, site.agent("b@agents.example").await);
    site.credential(guessed).await;
    let (_, secret) = site.credential(other).await;
    // A selector would tell a guess without Vault.
    sql_at(&site.url, "UPDATE credentials SET secret_selector = NULL").await.unwrap();
    let log_in = |agent: Uuid, secret: &str| {
        let (site, secret) = (Arc::clone(&site), secret.to_owned());
        async move { site.grant(agent, &secret).await.status }
    };

    gate.close();
    let mut guesses = JoinSet::new();
    for _ in 0..GUESSES {
        guesses.spawn(log_in(guessed, "guess"));
    }
    until("the guesses to fill every place", async || gate.held() == CALLS && waiting(&site) == GUESSES - CALLS).await;

    for login in 0..LOGINS {
        let served = tokio::spawn(log_in(other, &secret));
        until("the login to wait", async || waiting(&site) == GUESSES - CALLS - login + 1).await;
        gate.answer_one(guessed);
        until("the login's turn", async || gate.holds(other)).await;
        gate.answer_one(other);
        assert_eq!(served.await.unwrap(), 200);
        until("the next guess", async || gate.held() == CALLS).await;
    }
    let left = GUESSES - LOGINS - 2 * CALLS;

    // Each answer comes in time. What still waits then has waited for as long as Vault may take.
    tokio::time::advance(Duration::from_millis(600)).await;
    gate.answer_all();
    until("the next guesses", async || gate.held() == CALLS && waiting(&site) == left).await;
    tokio::time::advance(Duration::from_millis(500)).await;
    until("the end of the queue", async || waiting(&site) == 0).await;
    assert!(site.app.metrics.render().contains("agentidp_vault_breaker_open 0\n"));
    gate.open();
    let answers = guesses.join_all().await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(401), count(503)), (GUESSES - left, left), "{answers:?}");
    assert_eq!(log_in(other, &secret).await, 200);
}

/// Calls that wait for a place.
fn waiting(site: &Site) -> usize {
    let metrics = site.app.metrics.render();
    let line = metrics.lines().find_map(|line| line.strip_prefix("agentidp_vault_calls_waiting "));
    line.map_or(0, |count| count.parse().unwrap())
}

/// A paused clock runs ahead when nothing is left to do but to wait for a socket; not while a blocking task is under way.
fn stand_still() -> Sender<()> {
    let (end, ended) = channel::<()>();
    tokio::task::spawn_blocking(move || ended.recv());
    end
}

/// A proxy before Vault that holds answers back.
struct Gate(Mutex<State>);

#[derive(Default)]
struct State {
    closed: bool,
    held: Vec<(String, oneshot::Sender<()>)>,
}

impl Gate {
    /// In front of `http://127.0.0.1:port`; ends with the tasks.
    async fn before(vault: &str) -> (Arc<Self>, JoinSet<()>, String) {
        let vault: SocketAddr = vault.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (gate, mut accepting) = (Arc::new(Self(Mutex::default())), JoinSet::new());
        let passing = Arc::clone(&gate);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&passing).relay(client, vault));
            }
        });
        (gate, accepting, address)
    }

    /// One request after the other; each and its answer fit into a read.
    async fn relay(self: Arc<Self>, mut client: TcpStream, vault: SocketAddr) {
        let mut vault = TcpStream::connect(vault).await.unwrap();
        let (mut request, mut answer, mut line) = ([0; 16 * 1024], [0; 16 * 1024], String::new());
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let Ok(length @ 1..) = read else { return };
                    let first = request[..length].split(|byte| *byte == b'\r').next().unwrap();
                    line = String::from_utf8_lossy(first).into_owned();
                    vault.write_all(&request[..length]).await.unwrap();
                }
                read = vault.read(&mut answer) => {
                    let Ok(length @ 1..) = read else { return };
                    self.pass(&line).await;
                    if client.write_all(&answer[..length]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until the answer to this request line may pass.
    async fn pass(&self, line: &str) {
        let passes = {
            let mut state = self.0.lock().unwrap();
            (state.closed && line.contains("/data/")).then(|| {
                let (pass, passes) = oneshot::channel();
                state.held.push((line.to_owned(), pass));
                passes
            })
        };
        if let Some(passes) = passes {
            passes.await.unwrap();
        }
    }

    fn close(&self) {
        self.0.lock().unwrap().closed = true;
    }

    fn open(&self) {
        self.0.lock().unwrap().closed = false;
        self.answer_all();
    }

    fn held(&self) -> usize {
        self.0.lock().unwrap().held.len()
    }

    fn holds(&self, agent: Uuid) -> bool {
        self.0.lock().unwrap().held.iter().any(|(line, _)| line.contains(&agent.to_string()))
    }

    fn answer_one(&self, agent: Uuid) {
        let mut state = self.0.lock().unwrap();
        let place = state.held.iter().position(|(line, _)| line.contains(&agent.to_string())).unwrap();
        state.held.swap_remove(place).1.send(()).unwrap();
    }

    fn answer_all(&self) {
        for (_, pass) in std::mem::take(&mut self.0.lock().unwrap().held) {
            pass.send(()).unwrap();
        }
    }
}
