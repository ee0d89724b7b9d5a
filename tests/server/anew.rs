//! Rows in memory let clients in and keep none out: before a refusal they are read anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use agentidp_secrets::SecretStore;
use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::stack;
use agentidp_secrets_sqlx::replicas::LeaseClock;
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::barrier::{Barrier, Point};
use super::deaf::deaf_to;
use super::row_cache::{cached, wrap};
use super::site::Site;
use super::support;

/// The channel of the triggers: on such a way the lease lives, and no change is ever heard of.
const CHANGES: &[u8] = b"agentidp_clients";

/// Fresh secrets that are tried: `FRESH_SECRETS`, or these.
const FRESH: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_secret_of_another_server_is_accepted_at_once() {
    let url = support::postgres().fresh_database().await;
    let (site, other) = (cached(&deaf_to(&url, CHANGES).await).await, cached(&url).await);
    let agent = other.agent("a@example.com").await;
    let (credential, mut secret) = other.credential(agent).await;
    let fresh = std::env::var_os("FRESH_SECRETS").map_or(FRESH, |number| number.to_str().unwrap().parse().unwrap());
    let mut refused = 0;
    for n in 0..fresh {
        site.warmed_up(agent, &secret).await;
        let old = match n % 2 {
            0 => other.credential(agent).await,
            _ => (credential, other.rotate(agent, credential).await.secret()),
        };
        refused += usize::from(site.grant(agent, &old.1).await.status != 200);
        if n % 2 == 0 {
            assert_eq!(other.revoke(agent, old.0).await.status, 204);
        } else {
            secret = old.1;
        }
    }
    println!("{refused} of {fresh} fresh secrets were refused");
    assert_eq!(refused, 0);
}

/// Nor does a suspension that is over keep one out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_another_server_activates_is_let_in_at_once() {
    let url = support::postgres().fresh_database().await;
    let (site, other) = (cached(&deaf_to(&url, CHANGES).await).await, cached(&url).await);
    let agent = other.agent("a@example.com").await;
    let (_, secret) = other.credential(agent).await;
    site.warmed_up(agent, &secret).await;
    let path = format!("/agents/{agent}");
    // Through this server, which knows what it does.
    assert_eq!(site.call("PATCH", &path, json!({ "status": "suspended" })).await.status, 200);
    assert_eq!([site.grant(agent, &secret).await.status, site.grant(agent, &secret).await.status], [403, 403]);
    assert_eq!(other.call("PATCH", &path, json!({ "status": "active" })).await.status, 200);
    assert_eq!(site.grant(agent, &secret).await.status, 200);
}

#[tokio::test]
async fn a_flood_of_wrong_secrets_costs_one_read() {
    let url = support::postgres().fresh_database().await;
    let barrier = Barrier::default();
    let site = Site::build_at(&url, |app| {
        let clock = Arc::clone(&app.clock);
        wrap(app, &url, 1000, LeaseClock::of(Arc::clone(&clock)));
        let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
        app.store = SecretStore::builder(stack(bcrypt, &[&barrier])).clock(clock).build().unwrap();
    })
    .await;
    let site = Arc::new(site);
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.warmed_up(agent, &secret).await;
    let (before, hits) = (site.operations(), site.looked("hit"));
    // The first is held up until all of them have got their rows, and so are those behind it.
    let served = Arc::clone(&site);
    barrier.at(Point::BeforeVerify, async move {
        support::process::until("all rows", async || served.looked("hit") == hits + 200).await;
    });
    let mut flood = JoinSet::new();
    for _ in 0..200 {
        let site = Arc::clone(&site);
        flood.spawn(async move { site.grant(agent, "wrong").await.status });
    }
    let statuses = flood.join_all().await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    let reads = site.since(&before)["credentials.authenticate"];
    assert!((1..=2).contains(&reads), "{reads} reads for 200 wrong secrets");
    assert_eq!(site.looked("anew"), reads);
}

/// One after the other: each costs the read that a client who does not exist costs.
#[tokio::test]
async fn each_refusal_has_read_rows_once() {
    let url = support::postgres().fresh_database().await;
    let site = cached(&url).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.warmed_up(agent, &secret).await;
    for client in [agent, Uuid::new_v4()] {
        for _ in 0..3 {
            let before = site.operations();
            assert_eq!(site.grant(client, "wrong").await.status, 401);
            assert_eq!(
                site.since(&before),
                BTreeMap::from([("credentials.authenticate".to_owned(), 1), ("audit.append".to_owned(), 1)])
            );
        }
    }
}

#[tokio::test]
async fn without_a_lease_a_wrong_secret_costs_no_second_read() {
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |app| {
        let clock = Arc::clone(&app.clock);
        wrap(app, &url, 0, LeaseClock::of(clock));
    })
    .await;
    let agent = site.agent("a@example.com").await;
    site.credential(agent).await;
    let before = site.operations();
    assert_eq!(site.grant(agent, "wrong").await.status, 401);
    assert_eq!(site.since(&before)["credentials.authenticate"], 1);
}

/// The last look costs nothing where nothing has changed.
#[tokio::test]
async fn a_login_of_a_client_in_memory_only_writes_its_event() {
    let url = support::postgres().fresh_database().await;
    let site = cached(&url).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.warmed_up(agent, &secret).await;
    let before = site.operations();
    for _ in 0..10 {
        site.granted(agent, &secret).await;
    }
    assert_eq!(site.since(&before), BTreeMap::from([("audit.append".to_owned(), 10)]));
}

impl Site {
    /// How often each operation of the database was carried out.
    pub(crate) fn operations(&self) -> BTreeMap<String, u64> {
        let text = self.app.metrics.render();
        let count = |line: &str| {
            let rest = line.strip_prefix("agentidp_db_query_duration_seconds_count{operation=\"")?;
            let (operation, count) = rest.split_once("\"} ")?;
            Some((operation.to_owned(), count.parse().ok()?))
        };
        text.lines().filter_map(count).collect()
    }

    /// How often since then.
    pub(crate) fn since(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let more = |(name, count): (String, u64)| {
            let more = count - before.get(&name).copied().unwrap_or_default();
            (more > 0).then_some((name, more))
        };
        self.operations().into_iter().filter_map(more).collect()
    }
}
