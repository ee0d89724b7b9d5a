//! `GET /ready`, and a stop that a load balancer hears of first.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::server::Bounds;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::health::Gone;
use crate::site::Site;
use crate::support;
use crate::support::process::until;
use crate::wire::Served;

/// The status, and the checks.
async fn ready(site: &Site) -> (u16, Value) {
    let reply = site.handle(hyper::Request::get("/ready").body(Default::default()).unwrap()).await;
    let word = if reply.status == 200 { "ready" } else { "unready" };
    assert_eq!(reply.json()["status"], word, "{reply:?}");
    (reply.status, reply.json()["checks"].clone())
}

fn checks(serving: &str, database: &str, migrations: &str) -> Value {
    json!({ "serving": serving, "database": database, "migrations": migrations })
}

#[tokio::test]
async fn a_server_is_ready_until_it_is_asked_to_stop() {
    let site = Site::bcrypt().await;
    assert_eq!(ready(&site).await, (200, checks("yes", "connected", "current")));
    site.app.stopping.cancel();
    assert_eq!(ready(&site).await, (503, checks("stopping", "connected", "current")));
}

#[tokio::test]
async fn nobody_is_served_without_the_database() {
    for hangs in [false, true] {
        let site = Site::build(|app| app.repos.database = Arc::new(Gone { hangs })).await;
        let within = tokio::time::timeout(Duration::from_secs(10), ready(&site)).await;
        assert_eq!(within.expect("probes are bounded"), (503, checks("yes", "disconnected", "unknown")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_migration_is_told_and_one_of_a_newer_server_is_fine() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    for (sql, status, migrations) in [
        (
            "INSERT INTO _sqlx_migrations SELECT 9999, 'newer', now(), true, checksum, 0 FROM _sqlx_migrations LIMIT 1",
            200,
            "current",
        ),
        ("UPDATE _sqlx_migrations SET success = false WHERE version = 1", 503, "behind"),
        ("DELETE FROM _sqlx_migrations WHERE version = 1", 503, "behind"),
        ("DROP TABLE _sqlx_migrations", 503, "unknown"),
    ] {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        assert_eq!(ready(&site).await, (status, checks("yes", "connected", migrations)), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_vault_digests_are_still_served() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let site = Site::vault(&mount, &faults).await;
    faults.once(Operation::Probe, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(ready(&site).await.0, 200);
}

/// What a load balancer sees of a stop: a server that is not ready and serves on, closing each connection after its answer.
#[tokio::test]
async fn a_server_that_is_to_stop_serves_on_for_the_delay() {
    // Never over before the test is.
    let bounds = Bounds { delay: Duration::from_secs(3600), ..Bounds::default() };
    let site = Site::bcrypt().await;
    let served = Served::within(bounds, &site.app).await;
    let mut before = served.client("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = before.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("connection: close"), "{head}");

    let address = served.address();
    let server = served.ask_to_stop();
    until("the signal", async || site.app.stopping.is_cancelled()).await;
    // On the connection from before, and on new ones.
    before.write("GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (old, new) =
        (before.rest().await, crate::wire::Wire::to(address, "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").await);
    for answer in [old, new.rest().await] {
        assert!(answer.contains("HTTP/1.1 503 ") && answer.contains("connection: close"), "{answer}");
        assert!(answer.contains("\"serving\":\"stopping\""), "{answer}");
    }
    let other = crate::wire::Wire::to(address, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = other.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    assert!(!server.is_finished());
    server.abort();
}

#[tokio::test]
async fn after_the_delay_the_server_ends() {
    let bounds = Bounds { delay: Duration::from_millis(10), ..Bounds::default() };
    let site = Site::bcrypt().await;
    Served::within(bounds, &site.app).await.stop().await.await.unwrap().unwrap();
}
