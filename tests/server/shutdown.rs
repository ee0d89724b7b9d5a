//! The end of a server: requests in progress are finished, and nothing holds it up for ever.

use std::time::Duration;

use agentidp_server::server::Bounds;

use serde_json::Value;

use crate::site::Site;
use crate::wire::{Served, TOKEN_BODY};

#[tokio::test]
async fn a_request_in_progress_is_answered_and_idle_connections_are_closed() {
    let site = Site::bcrypt().await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let mut busy = served.request_in_progress().await;
    let idle = served.client("").await;
    let server = served.stop().await;
    assert_eq!(idle.rest().await, "");
    busy.write(TOKEN_BODY).await;
    let answer = busy.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"), "{answer}");
    server.await.unwrap().unwrap();
    assert!(site.app.repos.database.ping().await.is_err(), "the database is closed");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cut() {
    let bounds = Bounds { drain: Duration::from_millis(100), ..Bounds::default() };
    let site = Site::bcrypt().await;
    let served = Served::within(bounds, &site.app).await;
    let stuck = served.request_in_progress().await;
    served.stop().await.await.unwrap().unwrap();
    assert_eq!(stuck.rest().await, "");
}

/// The worker writes what it knows of as soon as the stop begins.
#[tokio::test]
async fn the_last_use_of_a_login_that_the_stop_waits_for_is_written() {
    let site = Site::build_on_postgres(|_| {}).await;
    let agent = site.agent("a@agents.example").await;
    let (_, secret) = site.credential(agent).await;
    let served = Served::within(Bounds::default(), &site.app).await;
    let body = format!("{TOKEN_BODY}&client_id={agent}&client_secret={secret}&scope=agents:read");
    let head = format!(
        "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n",
        body.len()
    );
    let mut login = served.client(&head).await;
    assert_eq!(login.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    let server = served.stop().await;
    login.write(&body).await;
    let answer = login.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.await.unwrap().unwrap();
    let next = Site::build_at(&site.url, |_| {}).await;
    let shown = next.get(&format!("/agents/{agent}/credentials")).await.json();
    assert_ne!(shown["data"][0]["lastUsedAt"], Value::Null, "{shown}");
}

#[tokio::test]
async fn a_server_without_clients_ends_at_once() {
    let bounds = Bounds { drain: Duration::MAX, ..Bounds::default() };
    let site = Site::bcrypt().await;
    Served::within(bounds, &site.app).await.stop().await.await.unwrap().unwrap();
}
