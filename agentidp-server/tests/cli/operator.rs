//! What an operator meets on PostgreSQL and OpenBao: each fault is named by a probe, a metric or a start line, and is over by
//! itself once its cause is. A full disk is in `full_disk.rs`, a missing migration in `check.rs`.

use std::fs;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::binary::Running;
use crate::database_clock::set_database_clock;
use crate::replicas::Shared;
use crate::support::process::until;
use crate::support::{Bao, Postgres};

/// What one server says.
struct Watched<'a>(&'a Running);

impl Watched<'_> {
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.0.origin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits for a status and a part of the text.
    async fn says(&self, path: &str, status: u16, part: &str) {
        let what = format!("{path} to be {status} and say {part}");
        until(&what, async || {
            let (found, text) = self.get(path).await;
            found == status && text.contains(part)
        })
        .await;
    }

    /// Waits for a line of the metrics that begins so.
    async fn counts(&self, line: &str) {
        self.says("/metrics", 200, &format!("\n{line}")).await;
    }
}

async fn sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

async fn read_only(url: &str, switch: &str) {
    // In a session that may: otherwise there would be no way back.
    sql(url, &format!("ALTER SYSTEM SET default_transaction_read_only = {switch}")).await;
    sql(url, "SELECT pg_reload_conf()").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_the_database_is_named_and_ends_by_itself() {
    let mut postgres = Postgres::start_own().await;
    let url = postgres.fresh_database().await;
    set_database_clock(&url, "pg_catalog.clock_timestamp()").await;
    let shared = Shared::on(&url, None).await;
    let server = shared.serve(&[]).await;
    let (watched, client) = (Watched(&server), server.agent_with_credential(&shared.operator).await);

    read_only(&url, "on").await;
    watched.says("/ready", 503, "refuses_writes").await;
    watched.says("/health", 503, "the database takes no writes").await;
    watched.counts("agentidp_database_writable 0").await;
    read_only(&url, "off").await;
    watched.says("/ready", 200, "connected").await;

    postgres.kill().await;
    watched.says("/ready", 503, "disconnected").await;
    watched.counts("agentidp_database_up 0").await;
    watched.counts("agentidp_listener_up 0").await;
    postgres.start_again().await;
    watched.says("/ready", 200, "connected").await;
    watched.counts("agentidp_database_up 1").await;
    watched.counts("agentidp_listener_up 1").await;

    set_database_clock(&url, "pg_catalog.clock_timestamp() - interval '2 hours'").await;
    watched.counts("agentidp_clock_difference_seconds 7").await;
    assert_eq!(server.token(&client).await.0, 200, "the database's clock counts, for the tokens too");
    set_database_clock(&url, "pg_catalog.clock_timestamp()").await;
    until("the clocks to agree", async || {
        !watched.get("/metrics").await.1.contains("agentidp_clock_difference_seconds 7")
    })
    .await;
    assert!(shared.place.log().contains("agree again"), "{}", shared.place.log());

    let newer =
        "INSERT INTO _sqlx_migrations SELECT 9999, 'newer', now(), true, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    sql(&url, newer).await;
    let again = shared.serve(&[]).await;
    Watched(&again).says("/ready", 200, "current").await;
    assert_eq!(again.token(&client).await.0, 200);
    again.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_vault_is_named_and_ends_by_itself() {
    let (postgres, mut bao) = (Postgres::start_own().await, Bao::start_own().await);
    let (url, mount) = (postgres.fresh_database().await, bao.fresh_mount(2).await);
    let shared = Shared::on(&url, None).await;
    let file = shared.place.path().join("token");
    fs::write(&file, &mount.policy_token).unwrap();
    let address = bao.address().to_owned();
    let vault = [
        ("VAULT_ADDR", address.as_str()),
        ("VAULT_KV_MOUNT", mount.name.as_str()),
        ("VAULT_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let server = shared.serve(&vault).await;
    let (watched, client) = (Watched(&server), server.agent_with_credential(&shared.operator).await);
    watched.counts("agentidp_vault_up 1").await;

    bao.seal().await;
    watched.says("/health", 200, "\"vault\":\"disconnected\"").await;
    watched.counts("agentidp_vault_up 0").await;
    let (status, refused) = server.token(&client).await;
    assert_eq!((status, refused["code"].as_str()), (500, Some("VAULT_READ_ERROR")));
    bao.unseal().await;
    watched.counts("agentidp_vault_up 1").await;
    until("a token", async || server.token(&client).await.0 == 200).await;

    bao.revoke_token(&mount.policy_token).await;
    watched.counts("agentidp_vault_up 0").await;
    until("a line that says what to do", async || shared.place.log().contains("bao token create -orphan")).await;
    let policies = serde_json::json!({ "policies": [mount.name], "period": "768h" });
    fs::write(&file, bao.create_token(policies).await).unwrap();
    watched.counts("agentidp_vault_up 1").await;
    until("a token", async || server.token(&client).await.0 == 200).await;
    server.stop().await;

    // Started without VAULT_ADDR.
    let lost = shared.serve(&[]).await;
    assert_eq!(shared.place.log().matches("1 active credentials need vault-kv2").count(), 1, "{}", shared.place.log());
    Watched(&lost).counts("agentidp_credentials_unconfigured{backend=\"vault-kv2\"} 1").await;
    lost.stop().await;
    let found = shared.serve(&vault).await;
    assert_eq!(found.token(&client).await.0, 200);
    found.stop().await;
}
