//! A server that gives the answers a real Vault cannot be made to give.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Answers requests from a queue, in the order they arrive, and remembers what it was asked. Ends when dropped.
pub(crate) struct ScriptedVault {
    address: String,
    script: Arc<Script>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Seen>>,
    arrived: Notify,
    connections: AtomicUsize,
}

/// A request as it arrived, body read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the server does with one request.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    after: Option<Arc<Notify>>,
    ending: Ending,
}

enum Ending {
    Whole,
    Reset,
    Hang,
    CutAfter(usize),
    StallAfter(usize),
}

impl Answer {
    /// A body as it is; say `Answer::new(200, json!(…).to_string())` for JSON.
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), after: None, ending: Ending::Whole }
    }

    /// Vault's error body with this text.
    pub(crate) fn error(status: u16, text: &str) -> Self {
        Self::new(status, serde_json::json!({ "errors": [text] }).to_string())
    }

    /// The connection is closed without an answer.
    pub(crate) fn reset() -> Self {
        Self { ending: Ending::Reset, ..Self::new(0, "") }
    }

    /// The request is taken and never answered.
    pub(crate) fn hang() -> Self {
        Self { ending: Ending::Hang, ..Self::new(0, "") }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The answer waits until the test says `notify_one`.
    pub(crate) fn after(mut self, signal: &Arc<Notify>) -> Self {
        self.after = Some(Arc::clone(signal));
        self
    }

    /// The connection breaks after this many bytes of the body.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::CutAfter(bytes);
        self
    }

    /// The body stops after this many bytes and the connection stays open.
    pub(crate) fn stall_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::StallAfter(bytes);
        self
    }
}

impl ScriptedVault {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let script = Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), ..Script::default() });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&script)));
        Self { address, script, _accepting: accepting }
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Adds an answer to the end of the queue. A request that finds the queue empty gets 501.
    pub(crate) fn push(&self, answer: Answer) {
        self.script.answers.lock().expect("no panic holds it").push_back(answer);
    }

    /// Everything asked so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.script.requests.lock().expect("no panic holds it").clone()
    }

    /// How many connections there were so far.
    pub(crate) fn connections(&self) -> usize {
        self.script.connections.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have arrived, answered or not.
    pub(crate) async fn arrived(&self, count: usize) {
        while self.requests().len() < count {
            self.script.arrived.notified().await;
        }
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        script.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(stream, Arc::clone(&script)));
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>) {
    let service = service_fn(|request| answer(request, &script));
    // A broken connection is often what the test asked for.
    let _broken = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn answer(request: Request<Incoming>, script: &Script) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = Seen { method: head.method, target, headers: head.headers, body };
    script.requests.lock().expect("no panic holds it").push(seen);
    script.arrived.notify_one();
    let next = script.answers.lock().expect("no panic holds it").pop_front();
    let answer = next.unwrap_or_else(|| Answer::error(501, "the script has no answer left"));
    if let Some(signal) = &answer.after {
        signal.notified().await;
    }
    respond(answer).await
}

async fn respond(answer: Answer) -> io::Result<Response<Body>> {
    let length = answer.body.len();
    let start = |bytes| Ok(answer.body.slice(..bytes));
    let body = match answer.ending {
        Ending::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
        Ending::Hang => std::future::pending().await,
        Ending::Whole => stream::iter([start(length)]).boxed(),
        Ending::CutAfter(bytes) => stream::iter([start(bytes)]).chain(stream::once(broken())).boxed(),
        Ending::StallAfter(bytes) => stream::iter([start(bytes)]).chain(stream::pending()).boxed(),
    };
    let mut response = Response::builder().status(answer.status).header(CONTENT_LENGTH, length);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = StreamBody::new(body.map(|chunk| chunk.map(Frame::data)));
    response.body(BodyExt::boxed_unsync(body)).map_err(io::Error::other)
}

/// Being pending once lets hyper send what it has before it hears of the end.
async fn broken() -> io::Result<Bytes> {
    tokio::task::yield_now().await;
    Err(io::ErrorKind::ConnectionReset.into())
}
