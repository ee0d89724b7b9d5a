//! Pages of the audit trail, near and deep (B8 of the field trial).

use sqlx::{Connection as _, PgConnection};

use crate::site::{Reply, Site};
use crate::support;
use crate::support::process::until;

/// More events than are counted.
const EVENTS: u32 = 100_300;

/// How many rows and index entries of the trail the database has read for one request; and what was answered.
async fn cost(url: &str, path: &str) -> (i64, Reply) {
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
    let read = "SELECT (SELECT seq_tup_read::bigint FROM pg_stat_user_tables WHERE relname = 'audit_events') \
                + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'audit_events')";
    (sqlx::query_scalar(read).fetch_one(&mut *observer.lock().await).await.unwrap(), reply)
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
    let (near, first) = cost(&url, &list).await;
    assert_eq!((first.status, first.json()["total"].as_u64()), (200, Some(100_000)));
    let (last_page, _) = cost(&url, &format!("{list}&page=500")).await;
    assert!(last_page < i64::from(EVENTS) * 2 + 500, "{last_page}: the deepest page by its number");
    let (_, beyond) = cost(&url, &format!("{list}&page=501")).await;
    assert_eq!(beyond.fields(), ["page"]);
    assert!(beyond.text.contains("Link"), "{beyond:?}");

    // Not the first: a hundred events before the last one.
    let at = newest.minus(std::time::Duration::from_secs(u64::from(EVENTS) - 100));
    let deep = format!("{list}&before={at}_ffffffff-ffff-4fff-bfff-ffffffffffff");
    let (deep, reply) = cost(&url, &deep).await;
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 101);
    assert!(deep * 10 < near, "{deep} were read for a deep page, and {near} for the first");
    assert_eq!(reply.headers.get("link"), None, "it was the last page");
}

#[tokio::test]
async fn the_link_leads_through_all_events_once() {
    let site = Site::bcrypt().await;
    for n in 0..7 {
        // Two at a time have the same time: the id decides between them.
        site.agent(&format!("agent-{n}@agents.example")).await;
        if n % 2 == 0 {
            site.tick();
        }
    }
    let ids = |reply: &Reply| -> Vec<String> {
        let json = reply.json();
        json["data"].as_array().unwrap().iter().map(|event| event["eventId"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&site.get("/audit?action=agent.created").await);
    let (mut path, mut found) = ("/audit?action=agent.created&limit=3&page=1".to_owned(), Vec::new());
    loop {
        let reply = site.get(&path).await;
        found.extend(ids(&reply));
        let Some(link) = reply.headers.get("link") else { break };
        let link = link.to_str().unwrap().strip_prefix("</api/v1").unwrap();
        assert!(link.contains("action=agent.created&limit=3") && !link.contains("page="), "{link}");
        path = link.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!((found.len(), found), (7, all));
}
