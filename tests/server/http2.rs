//! HTTP/2 by prior knowledge, on the same port, and pipelining on HTTP/1.1: the same answers under the same bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentidp_server::server::Bounds;
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::limits::Held;
use crate::requests::grant_form;
use crate::site::Site;
use crate::support::process::until;
use crate::wire::{Served, TOKEN_BODY, TOKEN_REQUEST};

const FORM: &str = "application/x-www-form-urlencoded";

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A connection, and the task that drives it to its end.
struct Http2 {
    sender: SendRequest<Body>,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    async fn connect(served: &Served) -> Self {
        Self::connect_with(served, Builder::new(TokioExecutor::new())).await
    }

    async fn connect_with(served: &Served, client: Builder<TokioExecutor>) -> Self {
        let stream = tokio::net::TcpStream::connect(served.address()).await.unwrap();
        let (sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
        Self { sender, driver: tokio::spawn(connection) }
    }

    async fn send(&self, method: &str, path: &str, body: Body) -> hyper::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://idp.test:3000{path}"))
            .header(CONTENT_TYPE, FORM)
            .body(body)
            .unwrap();
        let answer = self.sender.clone().send_request(request).await?;
        assert_eq!(answer.version(), Version::HTTP_2);
        assert!(answer.headers().get("connection").is_none(), "HTTP/2 knows no such header");
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    async fn token(&self, form: String) -> (StatusCode, Value) {
        let (status, body) = self.send("POST", "/api/v1/token", full(form)).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed()
}

#[tokio::test]
async fn a_hundred_streams_of_one_connection_get_their_own_answers() {
    let site = Site::bcrypt().await;
    let mut clients = Vec::new();
    for number in 0..4 {
        let agent = site.agent(&format!("{number}@example.com")).await;
        clients.push((agent, site.credential(agent).await.1));
    }
    let served = Served::within(Bounds::default(), &site.app).await;
    let http2 = Http2::connect(&served).await;
    let answers = join_all((0..100).map(|number| {
        let (agent, secret) = &clients[number % clients.len()];
        http2.token(grant_form(agent, if number % 10 == 9 { "wrong" } else { secret }))
    }));
    for (number, (status, body)) in answers.await.into_iter().enumerate() {
        if number % 10 == 9 {
            assert_eq!((status.as_u16(), &body["error"]), (401, &Value::from("invalid_client")));
            continue;
        }
        let claims = site.app.tokens.verify(body["access_token"].as_str().unwrap()).unwrap();
        assert_eq!(claims.sub, clients[number % clients.len()].0.to_string());
    }
    let (status, _) = http2.send("GET", "/.well-known/jwks.json", full("")).await.unwrap();
    assert_eq!(status.as_u16(), 200, "its host comes from the target");
}

#[tokio::test]
async fn refused_requests_do_not_harm_their_connection() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let http2 = Http2::connect(&served).await;
    let too_large = vec![b'a'; site.app.settings.body_limit + 1];
    assert_eq!(http2.send("POST", "/api/v1/token", full(too_large)).await.unwrap().0, 413);
    assert_eq!(http2.send("POST", "/api/v1/token", full(TOKEN_BODY)).await.unwrap().0, 400);
    assert_eq!(http2.send("GET", "/nowhere", full("")).await.unwrap().0, 404);
    assert_eq!(http2.send("GET", "/health", full("")).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let http2 = Http2::connect(&served).await;
    let head = |bytes| Request::get("http://a/health").header("x-long", "a".repeat(bytes)).body(full("")).unwrap();
    // Either the client heeds the limit that it was told, or the server answers.
    let refused = http2.sender.clone().send_request(head(17 * 1024)).await;
    assert!(refused.is_err() || refused.is_ok_and(|response| response.status() == 431));
    assert_eq!(http2.sender.clone().send_request(head(15 * 1024)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn whoever_sends_no_request_gives_its_place_back() {
    let site = Site::bcrypt().await;
    let short = Duration::from_millis(100);
    let bounds = Bounds { connections: 1, header_timeout: short, idle_timeout: short, ..Bounds::default() };
    let served = Served::within(bounds, &site.app).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let silent = served.client(beginning).await;
        // It is the only place: this waits for it.
        let http2 = Http2::connect(&served).await;
        assert_eq!(http2.send("GET", "/health", full("")).await.unwrap().0, 200, "{beginning:?}");
        drop(silent);
        // And this one is closed because it is idle.
        let _ended = http2.driver.await.unwrap();
    }
}

/// Ten connections with a hundred unfinished bodies each took all places (B6 of the field trial).
#[tokio::test]
async fn streams_take_a_place_when_their_request_is_whole() {
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let held = Held { permits: Arc::clone(&permits), entered: Arc::clone(&entered) };
    let site = Site::build(|app| app.repos.audit = Arc::new(held)).await;
    let served = Served::within(Bounds { connections: 2, ..Bounds::default() }, &site.app).await;
    let flood = Http2::connect(&served).await;
    let mut unfinished = Vec::new();
    for _ in 0..90 {
        let (sender, body) = Channel::<Bytes>::new(1);
        unfinished.push((sender, Box::pin(flood.send("POST", "/api/v1/token", body.boxed()))));
        let (_, sent) = unfinished.last_mut().unwrap();
        assert!(futures_util::poll!(sent).is_pending());
    }
    let other = Http2::connect(&served).await;
    assert_eq!(other.send("GET", "/nowhere", full("")).await.unwrap().0, 404);
    let (sender, sent) = unfinished.remove(0);
    drop(sender);
    assert_eq!(sent.await.unwrap().0, 400);

    // Whole requests take places, and no more than there are.
    let audit = || {
        let request =
            Request::get("http://a/api/v1/audit").header("authorization", format!("Bearer {}", site.operator));
        other.sender.clone().send_request(request.body(full("")).unwrap())
    };
    let requests = tokio::spawn(join_all((0..5).map(|_| audit())));
    until("two of them", async || entered.load(Ordering::SeqCst) == 2).await;
    assert_eq!(flood.send("GET", "/ready", full("")).await.unwrap().0, 200, "probes need none");
    assert_eq!(entered.load(Ordering::SeqCst), 2);
    permits.add_permits(5);
    assert!(requests.await.unwrap().into_iter().all(|answer| answer.unwrap().status() == 200));
    assert_eq!(entered.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_client_that_takes_no_answer_loses_its_connection() {
    let short = Duration::from_millis(50);
    let site = Site::build(|app| (app.settings.body_timeout, app.settings.request_timeout) = (short, short)).await;
    let bounds = Bounds { connections: 1, write_timeout: short, ..Bounds::default() };
    let served = Served::within(bounds, &site.app).await;
    let mut client = Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(0);
    let stalled = Http2::connect_with(&served, client).await;
    stalled.send("GET", "/metrics", full("")).await.unwrap_err();
    // Its places are free again: there is one of each.
    let http2 = Http2::connect(&served).await;
    assert_eq!(http2.send("GET", "/metrics", full("")).await.unwrap().0, 200);
}

/// One that takes no answer has no place of others meanwhile. There is one place.
#[tokio::test]
async fn an_answer_that_is_not_taken_keeps_no_place() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds { connections: 1, ..Bounds::default() }, &site.app).await;
    let mut client = Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(0);
    let stalled = Http2::connect_with(&served, client).await;
    let mut unread = Box::pin(stalled.send("GET", "/nowhere", full("")));
    assert!(futures_util::poll!(&mut unread).is_pending());
    until("it is answered", async || site.app.metrics.render().contains(r#"status_code="404""#)).await;
    let http2 = Http2::connect(&served).await;
    let asked = tokio::time::timeout(Duration::from_secs(20), http2.send("GET", "/api/v1/agents", full("")));
    assert_eq!(asked.await.expect("there is a place").unwrap().0, 401);
}

#[tokio::test]
async fn a_stop_lets_streams_finish() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let http2 = Http2::connect(&served).await;
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let mut busy = Box::pin(http2.send("POST", "/api/v1/token", body.boxed()));
    assert!(futures_util::poll!(&mut busy).is_pending());
    assert_eq!(http2.send("GET", "/health", full("")).await.unwrap().0, 200, "the other one has arrived before");
    let server = served.stop().await;
    sender.send_data(TOKEN_BODY.into()).await.unwrap();
    drop(sender);
    assert_eq!(busy.await.unwrap().0, 400);
    server.await.unwrap().unwrap();
    let _ended = http2.driver.await.unwrap();
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let request = |secret: &str| {
        let form = grant_form(agent, secret);
        let length = form.len();
        format!(
            "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n{form}"
        )
    };
    let last = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let together = [&request(&secret), &request("wrong"), &request(&secret), last].concat();
    let answers = served.client(&together).await.rest().await;
    let order: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(order, ["200", "401", "200", "404"], "{answers}");

    // What follows a body that is not read is no request.
    let limit = site.app.settings.body_limit + 1;
    let head = TOKEN_REQUEST.replace("Content-Length: 29", &format!("Content-Length: {limit}"));
    let answers = served.client(&format!("{}{last}", head.replace("Expect: 100-continue\r\n", ""))).await.rest().await;
    assert!(answers.starts_with("HTTP/1.1 413 ") && answers.matches("HTTP/1.1").count() == 1, "{answers}");
}
