//! The real server on a database whose clock differs from the machine's.

use std::time::Duration;

use agentidp_secrets::{Clock as _, SystemClock};
use agentidp_server::domain::Timestamp;
use reqwest::Method;
use serde_json::Value;

use crate::binary::{Running, claims};
use crate::database_clock::set_database_clock;
use crate::replicas::Shared;
use crate::support;

/// How many audit events the server shows.
async fn events(server: &Running, operator: &str) -> u64 {
    let list = reqwest::Client::new().get(format!("{}/api/v1/audit", server.origin)).bearer_auth(operator);
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    list["total"].as_u64().unwrap()
}

#[tokio::test]
async fn tokens_carry_the_database_s_time() {
    let url = support::postgres().fresh_database().await;
    set_database_clock(&url, "pg_catalog.clock_timestamp() - interval '2 hours'").await;
    let shared = Shared::on(&url, None).await;
    let server = shared.serve(&[]).await;
    let client = server.agent_with_credential(&shared.operator).await;
    let token = server.granted(&client).await;
    let issued = claims(&token)["iat"].as_i64().unwrap();
    let expected = Timestamp::from(SystemClock::default().now()).minus(Duration::from_secs(7200)).unix_seconds();
    assert!((issued - expected).abs() < 60, "{issued} is not about {expected}");
    assert_eq!(server.status(&token, Method::GET, "/api/v1/agents").await, 200);
    server.stop().await;
}

#[tokio::test]
async fn one_start_on_a_database_91_days_ahead_destroys_nothing() {
    let url = support::postgres().fresh_database().await;
    set_database_clock(&url, "pg_catalog.clock_timestamp()").await;
    let shared = Shared::on(&url, None).await;
    let server = shared.serve(&[]).await;
    let client = server.agent_with_credential(&shared.operator).await;
    let token = server.granted(&client).await;
    server.revoke_token(&shared.operator, &token).await;
    let before = events(&server, &shared.operator).await;
    server.stop().await;

    set_database_clock(&url, "pg_catalog.clock_timestamp() + interval '91 days'").await;
    shared.serve(&[]).await.stop().await;

    set_database_clock(&url, "pg_catalog.clock_timestamp()").await;
    let server = shared.serve(&[]).await;
    assert!(before > 0 && events(&server, &shared.operator).await == before);
    assert_eq!(server.status(&token, Method::GET, "/api/v1/agents").await, 401);
    server.stop().await;
}
