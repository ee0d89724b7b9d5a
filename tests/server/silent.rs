//! PostgreSQL behind a way on which no more answers come, as when its host has lost power: nothing is refused, and nothing ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use agentidp_secrets::lifecycle::CommitError;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::deaf::in_front_of;
use crate::site::Site;
use crate::support;
use crate::support::process::until;

/// More than the server has.
const CONNECTIONS: usize = 32;

struct Way {
    url: String,
    state: Arc<State>,
    accepts: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// How often it was cut.
    cuts: AtomicUsize,
    /// Whether the next COMMIT cuts it.
    cuts_at_commit: AtomicBool,
}

impl Way {
    async fn to(url: &str) -> Self {
        let (listener, target, url) = in_front_of(url).await;
        let state = Arc::new(State::default());
        let accepts = tokio::spawn(serve(listener, target, Arc::clone(&state)));
        Self { url, state, accepts }
    }

    /// On the connections that are open nothing arrives any more. New ones lead to the same database.
    fn cut(&self) {
        self.state.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// New connections are refused.
    async fn refuse(&self) {
        self.accepts.abort();
        until("nobody listens", async || self.accepts.is_finished()).await;
    }
}

async fn serve(listener: TcpListener, target: String, state: Arc<State>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(&target).await.unwrap();
        let cuts = state.cuts.load(Ordering::SeqCst);
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::spawn(pass(from_client, to_server, cuts, Arc::clone(&state)));
        tokio::spawn(pass(from_server, to_client, cuts, Arc::clone(&state)));
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cuts: usize, state: Arc<State>) -> std::io::Result<()> {
    let mut part = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut part).await?;
        if state.cuts.load(Ordering::SeqCst) != cuts {
            // Neither end hears of the other's.
            return std::future::pending().await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        let commits = part[..read].windows(6).any(|word| word == b"COMMIT");
        if commits && state.cuts_at_commit.swap(false, Ordering::SeqCst) {
            state.cuts.fetch_add(1, Ordering::SeqCst);
        }
        to.write_all(&part[..read]).await?;
    }
}

/// The first operation that nobody gives up ends by itself, and no later one is sent where nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_back_elsewhere_is_found_again() {
    let way = Way::to(&support::postgres().fresh_database().await).await;
    let site = Site::build_at(&way.url, |_| {}).await;
    let agent = site.agent("a@agents.example").await;
    let (_, secret) = site.credential(agent).await;
    assert!(site.accepts(agent, &secret).await);
    site.ask_dependencies().await;

    way.cut();
    // Callers go away: each leaves a connection on which an answer is awaited.
    for _ in 0..CONNECTIONS {
        assert!(site.app.repos.agents.find(agent).now_or_never().is_none());
    }
    until("the server is ready", async || {
        site.ask_dependencies().await;
        let request = hyper::Request::get("/ready").body(Default::default()).unwrap();
        site.handle(request).await.status == 200
    })
    .await;
    let credential = site.credential(agent).await;
    assert!(site.accepts(agent, &credential.1).await, "written and read on connections that lead somewhere");

    way.cut();
    let asked = site.app.repos.agents.find(agent).await;
    let error = asked.expect_err("nobody answered").to_string();
    assert_eq!(error, "the database did not carry out agents.find");
    assert!(site.accepts(agent, &secret).await, "nothing else is asked on what was open then");
}

/// The database has the COMMIT, its answer is lost, and nobody listens any more: it may have been carried out, and was.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_does_not_come_is_unknown() {
    let direct = support::postgres().fresh_database().await;
    let way = Way::to(&direct).await;
    let site = Site::build_at(&way.url, |_| {}).await;
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;

    let mut tx = site.app.repos.changes.begin().await.unwrap();
    tx.end(agent, credential, site.app.clock.now().into()).await.unwrap();
    way.state.cuts_at_commit.store(true, Ordering::SeqCst);
    way.refuse().await;
    let committed = tx.commit().await;
    assert!(matches!(committed, Err(CommitError::Unknown(_))), "{committed:?}");

    let database = sqlx::PgPool::connect(&direct).await.unwrap();
    until("the database has carried it out", async || {
        let status = "SELECT status FROM credentials WHERE credential_id = $1";
        let status: String = sqlx::query_scalar(status).bind(credential).fetch_one(&database).await.unwrap();
        status != "active"
    })
    .await;
}
