//! Rows in memory: every change counts, whoever makes it and whatever happens to the connection that tells of it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets_sqlx::replicas::LeaseClock;
use agentidp_server::app::App;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use super::deaf::deaf_to;
use super::log::Log;
use super::site::Site;
use super::support::process::until;
use super::support::{self, Postgres};

/// Longer than the lease.
const OVER: Duration = Duration::from_millis(751);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_through_the_same_server_counts_from_the_next_request() {
    let url = support::postgres().fresh_database().await;
    let site = cached(&url).await;
    let agent = site.agent("a@example.com").await;
    let (credential, first) = site.credential(agent).await;
    site.warmed_up(agent, &first).await;

    let second = site.rotate(agent, credential).await.secret();
    assert_eq!(site.grant(agent, &first).await.status, 401);
    site.warmed_up(agent, &second).await;
    let (other, third) = site.credential(agent).await;
    site.granted(agent, &third).await;
    site.warmed_up(agent, &third).await;
    assert_eq!(site.revoke(agent, other).await.status, 204);
    assert_eq!(site.grant(agent, &third).await.status, 401);

    for (status, expected) in [("suspended", 403), ("active", 200), ("decommissioned", 401)] {
        site.warmed_up(agent, &second).await;
        let reply = site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": status })).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(site.grant(agent, &second).await.status, expected, "{status}");
        if status == "suspended" {
            // Kept as suspended, too.
            assert_eq!(site.grant(agent, &second).await.status, 403);
            site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": "active" })).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_through_another_server_or_by_plain_sql_is_heard_of() {
    let url = support::postgres().fresh_database().await;
    let (site, other) = (cached(&url).await, cached(&url).await);
    for (n, change) in [
        "revoke",
        "rotate",
        "suspend",
        "UPDATE credentials SET status = 'revoked', revoked_at = now() WHERE client_id = '$1'",
        "UPDATE credentials SET expires_at = '2000-01-01T00:00:00Z' WHERE client_id = '$1'",
        "UPDATE credentials SET secret_hash = '$2b$04$abcdefghijklmnopqrstuuYwS2zgrvSyfKyM5TbXiUR0DwGbIzzVG'",
        "DELETE FROM credentials WHERE client_id = '$1'",
        "SET session_replication_role = replica; DELETE FROM credentials WHERE client_id = '$1'",
        "UPDATE agents SET status = 'suspended' WHERE agent_id = '$1'",
        "DELETE FROM agents WHERE agent_id = '$1'",
        "TRUNCATE credentials",
        "TRUNCATE agents CASCADE",
    ]
    .into_iter()
    .enumerate()
    {
        let agent = site.agent(&format!("{n}@example.com")).await;
        let (credential, secret) = site.credential(agent).await;
        site.warmed_up(agent, &secret).await;
        match change {
            "revoke" => assert_eq!(other.revoke(agent, credential).await.status, 204),
            "rotate" => assert_eq!(other.rotate(agent, credential).await.status, 200),
            "suspend" => {
                let path = format!("/agents/{agent}");
                assert_eq!(other.call("PATCH", &path, json!({ "status": "suspended" })).await.status, 200);
            }
            change => sql(&url, &change.replace("$1", &agent.to_string())).await,
        }
        until(change, async || site.grant(agent, &secret).await.status != 200).await;
        assert_ne!(site.grant(agent, &secret).await.status, 200, "{change}: once refused it stays refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_another_server_makes_works_here_at_once() {
    let url = support::postgres().fresh_database().await;
    let (site, other) = (cached(&url).await, cached(&url).await);
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.warmed_up(agent, &secret).await;
    let (_, new) = other.credential(agent).await;
    assert_eq!(site.grant(agent, &new).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_nobody_is_heard_counts() {
    let url = support::postgres().fresh_database().await;
    let site = cached(&url).await;
    let (other, others) = client(&site).await;
    for _ in 0..3 {
        let (agent, secret) = client(&site).await;
        site.warmed_up(agent, &secret).await;
        // In one transaction: nobody is there to be told when it commits.
        let hang_up = format!("SELECT pg_terminate_backend(pid) {LISTENERS}");
        let change = format!("UPDATE credentials SET status = 'revoked' WHERE client_id = '{agent}'");
        sql(&url, &format!("BEGIN; {hang_up}; {change}; COMMIT")).await;
        until("the change", async || site.grant(agent, &secret).await.status == 401).await;
        // What was held before the listener came back does not count after it.
        site.warmed_up(other, &others).await;
        assert_eq!(site.grant(agent, &secret).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_without_a_sign_of_life_ends_the_lease() {
    let url = support::postgres().fresh_database().await;
    let site = cached(&url).await;
    let ((agent, secret), (other, others)) = (client(&site).await, client(&site).await);
    site.warmed_up(agent, &secret).await;

    let process = listener(&url).await;
    signal("STOP", process);
    sql(&url, &format!("UPDATE credentials SET status = 'revoked' WHERE client_id = '{agent}'")).await;
    site.clock.advance(OVER);
    let off = site.looked("off");
    assert_eq!(site.grant(agent, &secret).await.status, 401, "it cannot have been told");
    assert_eq!(site.looked("off"), off + 1);

    signal("CONT", process);
    site.warmed_up(other, &others).await;
    assert_eq!(site.grant(agent, &secret).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_postgres_is_survived() {
    let mut postgres = Postgres::start_own().await;
    let url = postgres.fresh_database().await;
    let site = cached(&url).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.warmed_up(agent, &secret).await;
    postgres.kill().await;
    postgres.start_again().await;
    site.granted(agent, &secret).await;
    site.warmed_up(agent, &secret).await;
    sql(&url, "UPDATE credentials SET status = 'revoked'").await;
    until("the change", async || site.grant(agent, &secret).await.status == 401).await;
}

#[tokio::test]
async fn without_the_triggers_nothing_is_served_from_memory() {
    let (log, _listening) = Log::of_this_thread();
    let url = support::postgres().fresh_database().await;
    let direct = Site::build_at(&url, |_| {}).await;
    let (agent, secret) = client(&direct).await;
    sql(&url, "ALTER TABLE credentials DISABLE TRIGGER agentidp_credential_changed").await;
    let site = cached(&url).await;
    until("the warning", async || log.text().contains("triggers of migration 0011 are missing or disabled")).await;
    site.granted(agent, &secret).await;
    site.granted(agent, &secret).await;
    assert_eq!((site.looked("hit"), site.looked("miss")), (0, 0));
    sql(&url, "ALTER TABLE credentials ENABLE ALWAYS TRIGGER agentidp_credential_changed").await;
    site.warmed_up(agent, &secret).await;
}

/// As behind a pooler in transaction mode: LISTEN is taken, questions are answered, and nothing is ever told.
#[tokio::test]
async fn where_notifications_do_not_arrive_nothing_is_served_from_memory() {
    let (log, _listening) = Log::of_this_thread();
    let url = support::postgres().fresh_database().await;
    let direct = Site::build_at(&url, |_| {}).await;
    let (agent, secret) = client(&direct).await;
    let site = cached(&deaf_to(&url, b"").await).await;
    until("the warning", async || log.text().contains("notifications do not arrive")).await;
    site.granted(agent, &secret).await;
    site.granted(agent, &secret).await;
    sql(&url, "UPDATE credentials SET status = 'revoked'").await;
    assert_eq!(site.grant(agent, &secret).await.status, 401);
    assert_eq!((site.looked("hit"), site.looked("miss")), (0, 0));
}

#[tokio::test]
async fn sqlite_and_a_capacity_of_zero_read_every_time() {
    let zero = support::postgres().fresh_database().await;
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("agentidp.db").display());
    for (url, capacity) in [(zero, 0), (sqlite, 1000)] {
        let site = Site::build_at(&url, |app| wrap(app, &url, capacity, LeaseClock::machine())).await;
        let agent = site.agent("a@example.com").await;
        let (_, secret) = site.credential(agent).await;
        site.granted(agent, &secret).await;
        assert_eq!(["hit", "miss", "off"].map(|outcome| site.looked(outcome)), [0; 3]);
    }
}

/// An agent and its secret.
pub(crate) async fn client(site: &Site) -> (Uuid, String) {
    let agent = site.agent(&format!("{}@example.com", Uuid::new_v4())).await;
    (agent, site.credential(agent).await.1)
}

pub(crate) fn wrap(app: &mut App, url: &str, capacity: usize, clock: LeaseClock) {
    let metrics = Arc::new(app.metrics.clone());
    app.repos = app.repos.clone().with_row_cache(url, capacity, clock, metrics).unwrap();
}

/// A server with rows in memory.
pub(crate) async fn cached(url: &str) -> Site {
    Site::build_at(url, |app| {
        let clock = LeaseClock::of(Arc::clone(&app.clock));
        wrap(app, url, 1000, clock);
    })
    .await
}

impl Site {
    /// How many looks for rows in memory ended so.
    pub(crate) fn looked(&self, outcome: &str) -> u64 {
        let name = format!("agentidp_row_cache_total{{outcome=\"{outcome}\"}} ");
        let text = self.app.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }

    /// Asks for tokens, which must be granted, until one was without reading.
    pub(crate) async fn warmed_up(&self, agent: Uuid, secret: &str) {
        let hits = self.looked("hit");
        until("a hit", async || {
            self.granted(agent, secret).await;
            self.looked("hit") > hits
        })
        .await;
    }
}

pub(crate) async fn sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

const LISTENERS: &str = "FROM pg_stat_activity WHERE datname = current_database() \
                         AND application_name = 'agentidp-server replica'";

/// The server process that tells of changes.
async fn listener(url: &str) -> i32 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = AssertSqlSafe(format!("SELECT pid {LISTENERS}"));
    sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
}

pub(crate) fn signal(signal: &str, process: i32) {
    let sent = Command::new("/bin/sh").args(["-c", "kill -s $0 $1", signal, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}
