//! `GET /ready`, and a stop that a load balancer hears of first.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::server::Bounds;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::health::Gone;
use crate::site::Site;
use crate::support;
use crate::support::process::until;
use crate::wire::Served;

/// The status, and the checks.
async fn ready(site: &Site) -> (u16, Value) {
    site.ask_dependencies().await;
    known_ready(site).await
}

/// The same by what the background task found last.
async fn known_ready(site: &Site) -> (u16, Value) {
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

/// The background task waits for the database. `/ready`, `/health` and `/metrics` do not.
#[tokio::test]
async fn probes_are_answered_from_memory() {
    let site = Site::build(|app| app.repos.database = Arc::new(Gone { hangs: true })).await;
    for path in ["/ready", "/health", "/metrics"] {
        let request = hyper::Request::get(path).body(Default::default()).unwrap();
        let answer = site.handle(request).now_or_never().unwrap_or_else(|| panic!("{path} waits"));
        assert_eq!(answer.status, if path == "/metrics" { 200 } else { 503 }, "{path}: nothing is known yet");
    }
    let site = Site::bcrypt().await;
    assert_eq!(ready(&site).await.0, 200);
    site.clock.advance(Duration::from_secs(10));
    assert_eq!(known_ready(&site).await.0, 503, "the background task has stopped");
}

/// Every login writes an event. The tries leave none.
#[tokio::test]
async fn a_server_whose_logins_cannot_be_recorded_is_not_ready() {
    let site = Site::bcrypt().await;
    let database = sqlx::SqlitePool::connect(&site.url).await.unwrap();
    let run = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&database).await.unwrap();
    };
    assert_eq!(ready(&site).await.0, 200);
    run("CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no room'); END").await;
    assert_eq!(ready(&site).await, (503, checks("yes", "refuses_writes", "current")));
    run("DROP TRIGGER refuse").await;
    assert_eq!(ready(&site).await.0, 200);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(&database).await.unwrap();
    assert_eq!(events, 0);
}

/// After a failover a connection may lead to a server that is read-only, while new ones lead to the primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_write_ends_the_connection_and_a_read_only_database_is_not_ready() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let name = url.rsplit('/').next().unwrap();
    let run = async |sql: String| {
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.options([("default_transaction_read_only", "off")]);
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    };
    let email = std::sync::atomic::AtomicU32::new(0);
    let writes = async || {
        let number = email.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let agent = crate::site::an_agent(&format!("{number}@example.com"));
        site.call("POST", "/agents", agent).await.status
    };
    assert_eq!((ready(&site).await.0, writes().await), (200, 201));

    run(format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let drop_connections = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";
    run(drop_connections.to_owned()).await;
    assert_eq!((ready(&site).await, writes().await), ((503, checks("yes", "refuses_writes", "current")), 503));
    let health = site.get_health().await;
    assert_eq!((&health["status"], &health["services"]["database"]), (&json!("degraded"), &json!("connected")));
    let metrics = site.app.metrics.render();
    assert!(
        metrics.contains("agentidp_database_up 1") && metrics.contains("agentidp_database_writable 0"),
        "{metrics}"
    );

    // Nobody ends the connections that were opened meanwhile.
    run(format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await;
    until("a write", async || writes().await == 201).await;
    until("the server to be ready", async || ready(&site).await.0 == 200).await;
}

/// A pool would try to connect for five seconds, and each request would hold its place for as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_fails_at_once_while_the_database_refuses_connections() {
    let mut postgres = support::Postgres::start_own().await;
    let url = postgres.fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    assert_eq!(ready(&site).await.0, 200);
    postgres.stop().await;
    let requests = futures_util::future::join_all((0..50).map(|_| site.get("/agents")));
    let answers = tokio::time::timeout(Duration::from_secs(2), requests).await.expect("no request waits for the pool");
    assert!(answers.iter().all(|answer| answer.status == 503), "{answers:?}");
    assert_eq!(ready(&site).await, (503, checks("yes", "disconnected", "unknown")));
    postgres.start_again().await;
    until("the database", async || ready(&site).await.0 == 200).await;
    assert_eq!(site.get("/agents").await.status, 200);
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
        if status == 200 {
            site.app.repos.database.migrate().await.expect("a server of before starts on it");
        }
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
