//! Pages of lists, near and deep (B8 of the field trial).

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::site::{Reply, Site};
use crate::support;
use crate::support::process::until;

/// More events than are counted.
const EVENTS: u32 = 100_300;

/// Agents of that test, and credentials of one of them.
const ROWS: u32 = 5_000;

/// How many rows and index entries of `table` the database has read for one request; and what was answered.
async fn cost(url: &str, table: &str, path: &str) -> (i64, Reply) {
    let mut observer = PgConnection::connect(url).await.unwrap();
    sqlx::query("SELECT pg_stat_reset()").execute(&mut observer).await.unwrap();
    let site = Site::build_at(url, |_| {}).await;
    let reply = site.get(path).await;
    // Whoever hangs up tells the statistics first.
    site.app.repos.database.close().await;
    let observer = tokio::sync::Mutex::new(observer);
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND backend_type = 'client backend'";
    until("the server's connections to end", async || {
        sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *observer.lock().await).await.unwrap() == 0
    })
    .await;
    let read = "SELECT (SELECT seq_tup_read::bigint FROM pg_stat_user_tables WHERE relname = $1) \
                + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = $1)";
    (sqlx::query_scalar(read).bind(table).fetch_one(&mut *observer.lock().await).await.unwrap(), reply)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_page_costs_no_more_than_a_near_one_and_no_page_costs_all_of_them() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let agent = site.agent("a@agents.example").await;
    let newest = site.app.now();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO audit_events (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp) \
         SELECT gen_random_uuid(), $1, 'token.issued', 'success', '192.0.2.7', '', '{}', \
         $2 - n * interval '1 second' FROM generate_series(1, $3) AS n",
    )
    .bind(agent)
    .bind(newest.to_offset())
    .bind(EVENTS.cast_signed())
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::raw_sql("VACUUM ANALYZE audit_events").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    site.app.repos.database.close().await;

    let list = format!("/audit?agentId={agent}&limit=200");
    let (near, first) = cost(&url, "audit_events", &list).await;
    assert_eq!((first.status, first.json()["total"].as_u64()), (200, Some(100_000)));
    let (last_page, _) = cost(&url, "audit_events", &format!("{list}&page=500")).await;
    assert!(last_page < i64::from(EVENTS) * 2 + 500, "{last_page}: the deepest page by its number");
    let (_, beyond) = cost(&url, "audit_events", &format!("{list}&page=501")).await;
    assert_eq!(beyond.fields(), ["page"]);
    assert!(beyond.text.contains("Link"), "{beyond:?}");

    // Not the first: a hundred events before the last one.
    let at = newest.minus(std::time::Duration::from_secs(u64::from(EVENTS) - 100));
    let deep = format!("{list}&before={at}_ffffffff-ffff-4fff-bfff-ffffffffffff");
    let (deep, reply) = cost(&url, "audit_events", &deep).await;
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 101);
    assert!(deep * 10 < near, "{deep} were read for a deep page, and {near} for the first");
    assert_eq!(reply.headers.get("link"), None, "it was the last page");

    // The trail of one credential or actor among all of these.
    let (credential, _) = Site::build_at(&url, |_| {}).await.credential(agent).await;
    for filter in [format!("credentialId={credential}"), "actor=operator".to_owned()] {
        let (read, found) = cost(&url, "audit_events", &format!("/audit?{filter}")).await;
        assert!(found.json()["total"].as_u64().is_some_and(|total| (1..=2).contains(&total)), "{found:?}");
        assert!(read < 20, "{read} were read for {filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_page_of_agents_and_of_credentials_costs_no_more_than_a_near_one() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |_| {}).await;
    let agent = site.agent("a@agents.example").await;
    let newest = site.app.now();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let fill = format!(
        "INSERT INTO agents (agent_id, email, agent_type, version, capabilities, owner, deployment_env, created_at, updated_at) \
         SELECT gen_random_uuid(), n || '@agents.example', agent_type, version, capabilities, owner, deployment_env, \
         created_at - n * interval '1 second', updated_at FROM agents, generate_series(1, {ROWS}) AS n; \
         INSERT INTO credentials (credential_id, client_id, secret_hash, created_at) \
         SELECT gen_random_uuid(), '{agent}', 'digest', timestamptz '{newest}' - n * interval '1 second' \
         FROM generate_series(0, {ROWS}) AS n; ANALYZE agents, credentials"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut connection).await.unwrap();
    sqlx::raw_sql("VACUUM agents").execute(&mut connection).await.unwrap();
    sqlx::raw_sql("VACUUM credentials").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    site.app.repos.database.close().await;

    let at = newest.minus(std::time::Duration::from_secs(u64::from(ROWS) - 100));
    for (table, path) in [("agents", "/agents".to_owned()), ("credentials", format!("/agents/{agent}/credentials"))] {
        let (near, first) = cost(&url, table, &format!("{path}?limit=100")).await;
        assert_eq!((first.status, first.json()["total"].as_u64()), (200, Some(u64::from(ROWS) + 1)), "{table}");
        assert!(first.headers.contains_key("link"), "{table}");
        let deep = format!("{path}?limit=100&before={at}_{}", Uuid::nil());
        let (deep, reply) = cost(&url, table, &deep).await;
        assert_eq!(reply.json()["data"].as_array().unwrap().len(), 100, "{table}");
        assert!(deep * 10 < near, "{table}: {deep} were read for a deep page, and {near} for the first");
    }
}

/// As [`a_deep_page_costs_no_more_than_a_near_one_and_no_page_costs_all_of_them`], where rows read are not counted.
#[tokio::test]
async fn sqlite_plans_the_trail_of_a_credential_or_an_actor_with_its_index() {
    let site = Site::bcrypt().await;
    let mut connection = SqliteConnection::connect(&site.url).await.unwrap();
    for (member, index) in [("credentialId", "of_credential"), ("actor", "of_actor")] {
        let plan = format!(
            "EXPLAIN QUERY PLAN SELECT * FROM audit_events WHERE true AND metadata ->> '{member}' = $1 AND timestamp >= $2 \
             ORDER BY timestamp DESC, event_id DESC LIMIT $3 OFFSET $4"
        );
        let plan: (i64, i64, i64, String) =
            sqlx::query_as(AssertSqlSafe(plan)).fetch_one(&mut connection).await.unwrap();
        assert!(plan.3.contains(&format!("USING INDEX idx_audit_events_list_{index}")), "{}", plan.3);
    }
}

#[tokio::test]
async fn the_link_leads_through_all_rows_once() {
    let site = Site::bcrypt().await;
    let mut agent = Uuid::nil();
    for n in 0..7 {
        // Two at a time have the same time: the id decides between them.
        agent = site.agent(&format!("agent-{n}@agents.example")).await;
        if n % 2 == 0 {
            site.tick();
        }
    }
    for n in 0..7 {
        site.credential(agent).await;
        if n % 2 == 0 {
            site.tick();
        }
    }
    let credentials = format!("/agents/{agent}/credentials");
    for (path, filter, id) in [
        ("/audit", "action=agent.created", "eventId"),
        ("/agents", "status=active", "agentId"),
        (&credentials, "status=active", "credentialId"),
    ] {
        let ids = |reply: &Reply| -> Vec<String> {
            let json = reply.json();
            json["data"].as_array().unwrap().iter().map(|row| row[id].as_str().unwrap().to_owned()).collect()
        };
        let all = ids(&site.get(&format!("{path}?{filter}")).await);
        let (mut next, mut found) = (format!("{path}?{filter}&limit=3&page=1"), Vec::new());
        loop {
            let reply = site.get(&next).await;
            found.extend(ids(&reply));
            let Some(link) = reply.headers.get("link") else { break };
            let link = link.to_str().unwrap().strip_prefix('<').unwrap();
            assert!(link.starts_with(&format!("?{filter}&limit=3&")) && !link.contains("page="), "{link}");
            // RFC 3986 §5.2.2: a reference that is a query alone keeps the path of the request.
            next = format!("{path}{}", link.strip_suffix(">; rel=\"next\"").unwrap());
        }
        assert_eq!((found.len(), found), (7, all), "{path}");
    }
}
