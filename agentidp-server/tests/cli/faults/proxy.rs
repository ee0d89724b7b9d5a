//! A Vault that carries out calls late: a proxy in front of each node, which holds up writes and lets them through later.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::now;
use crate::support::process::pause;

/// Longest request head and body that are read.
const LONGEST: usize = 64 * 1024;

/// The proxies of one server. They end when dropped.
pub(super) struct Proxies {
    pub(super) addresses: Vec<String>,
    calls: Arc<Calls>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Calls(Mutex<State>);

#[derive(Default)]
struct State {
    holds_up: bool,
    held_up: Vec<Call>,
}

/// A request that Vault has not seen yet. Its caller gives up meanwhile.
struct Call {
    node: SocketAddr,
    request: Vec<u8>,
    since: Instant,
}

impl Proxies {
    /// In front of these `http://127.0.0.1:port`.
    pub(super) async fn start(nodes: &[&str]) -> Self {
        let (mut addresses, mut tasks, calls) = (Vec::new(), JoinSet::new(), Arc::new(Calls::default()));
        for node in nodes {
            let node: SocketAddr = node.strip_prefix("http://").unwrap().parse().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(format!("http://{}", listener.local_addr().unwrap()));
            tasks.spawn(serve(listener, node, Arc::clone(&calls)));
        }
        Self { addresses, calls, _tasks: tasks }
    }

    /// From now on writes and deletions of credentials are held up, or not any more.
    pub(super) fn hold_up(&self, holds_up: bool) {
        self.calls.0.lock().unwrap().holds_up = holds_up;
    }

    /// How many calls are held up whose request line begins like that.
    pub(super) fn held_up(&self, method: &str) -> usize {
        let state = self.calls.0.lock().unwrap();
        state.held_up.iter().filter(|call| call.request.starts_with(method.as_bytes())).count()
    }

    /// Lets each call through once it is `age` old. Gives how many there were, and how many Vault has answered with success.
    pub(super) async fn carry_out(&self, age: Duration) -> (usize, usize) {
        let calls = std::mem::take(&mut self.calls.0.lock().unwrap().held_up);
        let (all, mut done) = (calls.len(), 0);
        for call in calls {
            while now() - call.since < age {
                pause().await;
            }
            done += usize::from(call.carry_out().await.starts_with("HTTP/1.1 20"));
        }
        (all, done)
    }
}

impl Call {
    /// The answer, of which nobody hears.
    async fn carry_out(self) -> String {
        let Ok(mut node) = TcpStream::connect(self.node).await else { return String::new() };
        let mut answer = vec![0; LONGEST];
        node.write_all(&self.request).await.unwrap();
        let length = node.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

impl Calls {
    /// Whether the request is held up.
    fn takes(&self, node: SocketAddr, request: &[u8]) -> bool {
        let line = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap()).into_owned();
        let changes = !line.starts_with("GET ") && !line.starts_with("LIST ") && line.contains("/agents/");
        let mut state = self.0.lock().unwrap();
        if !state.holds_up || !changes {
            return false;
        }
        state.held_up.push(Call { node, request: request.to_vec(), since: now() });
        true
    }
}

async fn serve(listener: TcpListener, node: SocketAddr, calls: Arc<Calls>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(relay(client, node, Arc::clone(&calls)));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection: requests one after the other to the node, answers back. It ends when either side has closed.
async fn relay(client: TcpStream, node: SocketAddr, calls: Arc<Calls>) {
    let Ok(upstream) = TcpStream::connect(node).await else { return };
    let ((mut from_client, mut to_client), (mut from_node, mut to_node)) = (client.into_split(), upstream.into_split());
    let requests = async {
        while let Some(request) = read_request(&mut from_client).await {
            if !calls.takes(node, &request) && to_node.write_all(&request).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = copy(&mut from_node, &mut to_client) => {}
    }
}

/// Head and body; nothing when the client has closed.
async fn read_request(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            assert!(!head.contains("transfer-encoding"), "a request without a length");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if request.len() >= end + 4 + length {
                return Some(request);
            }
        }
        let read = from.read(&mut part).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&part[..read]);
        assert!(request.len() < LONGEST, "a request that is too long");
    }
}
