//! The end of a server: requests in progress are finished, and nothing holds it up for ever.

use std::time::Duration;

use agentidp_server::server::Bounds;

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

#[tokio::test]
async fn a_server_without_clients_ends_at_once() {
    let bounds = Bounds { drain: Duration::MAX, ..Bounds::default() };
    let site = Site::bcrypt().await;
    Served::within(bounds, &site.app).await.stop().await.await.unwrap().unwrap();
}
