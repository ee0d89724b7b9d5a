//! What a connection has to begin with, and how it may end.

use std::time::Duration;

use agentidp_server::server::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::site::Site;
use super::wire::{Served, TOKEN_BODY};

/// RFC 9112 §3.2.
#[tokio::test]
async fn a_request_names_one_host() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let status = async |line: &str, headers: &str| {
        let text = format!("GET {line}\r\n{headers}Connection: close\r\n\r\n");
        let answer = served.client(&text).await.rest().await;
        (answer.split(' ').nth(1).unwrap_or_default().to_owned(), answer)
    };
    for headers in ["Host: localhost\r\n", "Host: [::1]:3000\r\n"] {
        assert_eq!(status("/.well-known/jwks.json HTTP/1.1", headers).await.0, "200", "{headers}");
    }
    assert_eq!(status("/.well-known/jwks.json HTTP/1.0", "").await.0, "200");
    for headers in ["", "Host: \r\n", "Host: a b\r\n", "Host: a/b\r\n", "Host: a:b\r\n", "Host: a\r\nHost: a\r\n"] {
        for path in ["/.well-known/jwks.json", "/health", "/api/v1/agents", "/nowhere"] {
            let (status, answer) = status(&format!("{path} HTTP/1.1"), headers).await;
            assert!(status == "400" && answer.contains("VALIDATION_ERROR"), "{path} {headers}: {answer}");
            assert!(answer.contains("x-request-id"), "{answer}");
        }
    }
    assert_eq!(status("http://localhost/health HTTP/1.1", "").await.0, "400", "the target does not replace it");
}

#[tokio::test]
async fn a_client_that_closes_its_half_is_answered() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let form = super::requests::grant_form(agent, &secret);
    let request = format!(
        "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    // A login waits for its digest and its audit event: without the setting the end is often noticed first.
    for _ in 0..20 {
        let mut wire = served.client(&request).await;
        wire.0.shutdown().await.unwrap();
        let answer = wire.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// The head of a POST whose body has so many bytes.
fn post(path: &str, bytes: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{FORM}Content-Length: {bytes}\r\n\r\n")
}

/// What is written after a refusal met a closed socket, whose reset may cost the client the answer.
#[tokio::test]
async fn a_refusal_meets_a_client_that_is_still_sending() {
    const PIECE: usize = 8 * 1024;
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let mut wire = served.client(&post("/api/v1/token", 25 * PIECE)).await;
    let head = wire.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 413 ") && head.contains("connection: close"), "{head}");
    for _ in 0..25 {
        wire.write(&"a".repeat(PIECE)).await;
        tokio::task::yield_now().await;
    }
    let mut rest = String::new();
    wire.0.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("PAYLOAD_TOO_LARGE"), "and then an end without a reset: {rest}");
}

#[tokio::test]
async fn a_connection_outlives_a_refusal_whose_body_was_read() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    for (path, refusal) in [("/nowhere", "404"), ("/health", "405"), ("/api/v1/agents", "401")] {
        let mut wire = served.client(&post(path, 29)).await;
        for _ in 0..2 {
            let head = wire.read_until("\r\n\r\n").await;
            assert!(head.starts_with(&format!("HTTP/1.1 {refusal} ")) && !head.contains("connection: close"), "{head}");
            wire.read_until("}").await;
            wire.write(TOKEN_BODY).await;
            wire.write(&post(path, 29)).await;
        }
    }
    // A client that waits to be asked is not asked, and one that has announced too much is told to stop.
    let expects = post("/api/v1/agents", 29).replace(FORM, "Expect: 100-continue\r\n");
    let chunked = post("/api/v1/agents", 29).replace("Content-Length: 29", "Transfer-Encoding: chunked");
    for head in [post("/api/v1/agents", 5_000_000), expects, chunked] {
        let answer = served.client(&head).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{head}{answer}");
    }
}

/// Slow senders are read without a place, and not for long.
#[tokio::test]
async fn the_rest_of_a_body_takes_nobody_s_place() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds { connections: 1, ..Bounds::default() }, &site.app).await;
    let (mut slow, start) = (Vec::new(), Instant::now());
    for _ in 0..20 {
        let mut wire = served.client(&post("/nowhere", 29)).await;
        wire.read_until("}").await;
        slow.push(wire);
    }
    let other = served.client("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.rest().await;
    assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
    assert!(start.elapsed() < Duration::from_secs(20), "nobody waited for another one's two seconds");
    assert_eq!(slow.pop().unwrap().rest().await, "", "its time is over");
}

/// One connection takes turns with the others, however many requests were sent on it at once.
#[tokio::test]
async fn requests_sent_at_once_are_answered_in_turns_with_those_of_others() {
    const FLOODS: usize = 20;
    const EACH: usize = 40;
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let mut floods = Vec::new();
    for _ in 0..FLOODS {
        floods.push(served.client("").await);
    }
    let mut other = served.client("").await;
    // Nothing of it is read before all of it is written: the test runs on one thread, and waits for nothing here.
    for flood in &mut floods {
        flood.write(&"GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(EACH)).await;
    }
    other.write("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").await;
    other.read_until("\r\n\r\n").await;
    let metrics = site.app.metrics.render();
    let counts = metrics.lines().filter(|line| line.starts_with("agentidp_http_requests_total{"));
    let answered: usize = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert!(answered > 0 && answered < FLOODS * EACH / 4, "{answered} were answered before it");
}
