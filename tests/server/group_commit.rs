//! Audit events share commits, and no token goes out without its event.

use std::sync::Arc;

use agentidp_server::domain::{AuditAction, AuditEvent, Origin, Outcome};
use agentidp_server::repo::AuditMode;
use futures_util::future::join_all;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use super::requests::PEER;
use super::site::Site;
use super::support;
use super::support::process::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_meet_share_a_commit() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let (read, written) = (operations(&site, "credentials.authenticate"), operations(&site, "audit.append"));

    let lock = locked(&url).await;
    let release = async {
        until("the requests to have read their rows", async || {
            operations(&site, "credentials.authenticate") == read + 64
        })
        .await;
        lock.close().await.unwrap();
    };
    let grants = join_all((0..64).map(|_| site.grant(agent, &secret)));
    let (replies, ()) = tokio::join!(grants, release);
    for reply in replies {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(issued(&site, agent).await, 64);
    let statements = operations(&site, "audit.append") - written;
    assert!(statements < 64, "{statements} commits for 64 events");
}

/// Without what happens before: all that wait are there when the first commit ends.
#[tokio::test]
async fn while_one_commit_is_awaited_all_others_become_one() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let lock = locked(&url).await;
    let client = Uuid::new_v4();
    let events: Vec<_> = (0..64).map(|_| event(&site, client)).collect();
    let record = join_all(events.iter().map(|event| site.app.repos.tokens.issued(client, None, event)));
    let mut monitor = PgConnection::connect(&url).await.unwrap();
    let release = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut monitor).await.unwrap() == 0 {}
        lock.close().await.unwrap();
    };
    let (recorded, ()) = tokio::join!(record, release);
    assert!(recorded.into_iter().all(Result::unwrap));
    let statements = operations(&site, "audit.append");
    assert!((1..=2).contains(&statements), "{statements}");
    assert_eq!(issued(&site, client).await, 64);
}

#[tokio::test]
async fn a_token_whose_event_cannot_be_written_does_not_go_out() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    sql(&url, "ALTER TABLE audit_events RENAME TO elsewhere").await;
    for secret in [secret.as_str(), "wrong"] {
        let reply = site.grant(agent, secret).await;
        assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
        assert!(!reply.text.contains("access_token"), "{reply:?}");
    }
    sql(&url, "ALTER TABLE elsewhere RENAME TO audit_events").await;
    site.granted(agent, &secret).await;
    assert_eq!(issued(&site, agent).await, 1);
}

#[tokio::test]
async fn an_event_that_the_database_refuses_costs_no_other_its_token() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let (agent, refused) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let (secret, refused_secret) = (site.credential(agent).await.1, site.credential(refused).await.1);
    let check = format!("ALTER TABLE audit_events ADD CHECK (agent_id <> '{refused}' OR action <> 'token.issued')");
    sql(&url, &check).await;
    let grants =
        (0..20).map(|n| if n == 7 { site.grant(refused, &refused_secret) } else { site.grant(agent, &secret) });
    let grants: Vec<_> = grants.collect();
    for (n, reply) in join_all(grants).await.into_iter().enumerate() {
        assert_eq!(reply.status, if n == 7 { 500 } else { 200 }, "{reply:?}");
    }
    assert_eq!((issued(&site, agent).await, issued(&site, refused).await), (19, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_mode_answers_before_the_commit_and_closing_waits_for_it() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |app| {
        let repos = app.repos.clone();
        app.repos = repos.with_group_commit(AuditMode::Async, Arc::new(app.metrics.clone()));
    })
    .await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let lock = locked(&url).await;
    for _ in 0..3 {
        site.granted(agent, &secret).await;
    }
    assert_eq!(site.grant(agent, "wrong").await.status, 401);
    let closing = tokio::spawn({
        let database = Arc::clone(&site.app.repos.database);
        async move { database.close().await }
    });
    lock.close().await.unwrap();
    closing.await.unwrap();
    let again = Site::build_at(&url, |_| {}).await;
    assert_eq!(issued(&again, agent).await, 3);
    assert!(again.actions(agent).await.contains(&"auth.failed".to_owned()));
}

/// A connection whose transaction keeps everybody from writing events until it is closed.
async fn locked(url: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE audit_events IN EXCLUSIVE MODE").execute(&mut connection).await.unwrap();
    connection
}

async fn sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

/// How often an operation was carried out.
fn operations(site: &Site, operation: &str) -> u64 {
    let name = format!("agentidp_db_query_duration_seconds_count{{operation=\"{operation}\"}} ");
    let text = site.app.metrics.render();
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

/// How many `token.issued` events of an agent are on the trail.
async fn issued(site: &Site, agent: Uuid) -> u64 {
    let trail = site.get(&format!("/audit?agentId={agent}&action=token.issued&outcome=success")).await.json();
    trail["total"].as_u64().unwrap()
}

fn event(site: &Site, client: Uuid) -> AuditEvent {
    let origin = Origin { ip_address: PEER.0.into(), user_agent: String::new() };
    AuditEvent::new(AuditAction::TokenIssued, Outcome::Success, Some(client), &origin, json!({}), site.app.now())
}
