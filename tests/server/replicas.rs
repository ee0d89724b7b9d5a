//! Several servers with rows in memory: what one has acknowledged, all obey.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agentidp_secrets::backends::KeyedDigest;
use agentidp_secrets::{MacKeys, SecretStore};
use agentidp_secrets_sqlx::replicas::{LeaseClock, Obeyed};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use super::deaf::{deaf_to, slow};
use super::log::Log;
use super::row_cache::{cached, client, signal, sql, wrap};
use super::site::Site;
use super::support;
use super::support::process::until;

/// Changes of each kind: `ACKNOWLEDGED_CHANGES`, or these.
const CHANGES: usize = 100;

/// Where each takes its time.
const FEW_CHANGES: usize = 12;

/// Threads that take the processor from servers and database.
const BUSY: usize = 2;

/// Three servers, on a busy machine. The leases never end by themselves: the clock of the servers stands still. So only what was
/// heard of counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_obeyed_by_every_server() {
    let changes = std::env::var_os("ACKNOWLEDGED_CHANGES");
    let changes = changes.map_or(CHANGES, |number| number.to_str().unwrap().parse().unwrap());
    let url = support::postgres().fresh_database().await;
    let stale = disobeyed([quick(&url).await, quick(&url).await, quick(&url).await], changes, &url).await;
    assert!(stale.values().all(|number| *number == 0), "{stale:?}");
}

/// On a fast line a notification is there before the next request is, whoever waits for it. On a slow one the answers count: this
/// is red where a change is acknowledged without any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_obeyed_over_slow_lines() {
    let url = support::postgres().fresh_database().await;
    let slow = slow(&url, Duration::from_millis(50)).await;
    let stale = disobeyed([quick(&slow).await, quick(&slow).await, quick(&slow).await], FEW_CHANGES, &url).await;
    assert!(stale.values().all(|number| *number == 0), "{stale:?}");
}

/// The check above finds a server that answers without having forgotten its rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_a_server_was_not_told_of_is_not_obeyed_there() {
    let url = support::postgres().fresh_database().await;
    let deaf = deaf_to(&url, b"agentidp_clients").await;
    let stale = disobeyed([quick(&url).await, quick(&deaf).await, quick(&url).await], FEW_CHANGES, &url).await;
    for change in ["retired", "ended", "suspended"] {
        assert!(stale[change] >= FEW_CHANGES / 4, "{stale:?}");
    }
    assert_eq!(stale["fresh"], 0, "rows in memory refuse nobody: {stale:?}");
}

/// Makes changes of each kind, at each server in turn, and counts after how many of each another server decided by what was before.
async fn disobeyed(sites: [Site; 3], changes: usize, url: &str) -> BTreeMap<&'static str, usize> {
    until("all servers", async || listed(url).await.len() == 3).await;
    let agent = sites[0].agent("a@example.com").await;
    let (credential, mut secret) = sites[0].credential(agent).await;
    let _busy = Busy::begin();
    let mut stale = BTreeMap::new();
    for n in 0..changes {
        // Each server in turn, and every other one.
        let (at, other) = (&sites[n % 3], &sites[(n + 1 + n / 3 % 2) % 3]);
        let is_let_in = async |secret: &str| usize::from(other.grant(agent, secret).await.status == 200);

        other.warmed_up(agent, &secret).await;
        let fresh = at.rotate(agent, credential).await.secret();
        *stale.entry("retired").or_default() += is_let_in(&secret).await;
        *stale.entry("fresh").or_default() += 1 - is_let_in(&fresh).await;
        secret = fresh;

        let (ending, ended) = at.credential(agent).await;
        other.warmed_up(agent, &ended).await;
        assert_eq!(at.revoke(agent, ending).await.status, 204);
        *stale.entry("ended").or_default() += is_let_in(&ended).await;

        other.warmed_up(agent, &secret).await;
        set_status(at, agent, "suspended").await;
        *stale.entry("suspended").or_default() += is_let_in(&secret).await;
        set_status(at, agent, "active").await;
    }
    println!("of {changes} changes of each kind were not obeyed: {stale:?}");
    stale
}

/// PostgreSQL's process for a server's listener stands still: the server hears nothing, and its lease goes on.
#[tokio::test]
async fn a_server_that_hears_nothing_for_a_while_decides_by_no_older_rows() {
    let (log, _listening) = Log::of_this_thread();
    let url = support::postgres().fresh_database().await;
    let at = real(&url).await;
    until("the server", async || listed(&url).await.len() == 1).await;
    let of_at = listeners(&url).await;
    let held = real(&url).await;
    until("both servers", async || listed(&url).await.len() == 2).await;
    let mut of_held = listeners(&url).await;
    of_held.retain(|process| !of_at.contains(process));
    let [process] = &of_held[..] else { panic!("{of_held:?}") };
    let process = process.parse().unwrap();
    let ((agent, secret), (other, others)) = (client(&at).await, client(&at).await);
    held.warmed_up(agent, &secret).await;
    held.warmed_up(other, &others).await;
    let own = at.app.repos.replicas.as_ref().unwrap();
    signal("STOP", process);
    let _goes_on = GoesOn(process);

    set_status(&at, agent, "suspended").await;
    assert_eq!(held.grant(agent, &secret).await.status, 403, "its lease was waited for");
    until("the warning", async || log.text().contains("servers did not say")).await;
    until("its end on the list", async || texts(&url, "SELECT replica FROM agentidp_replicas").await.len() == 1).await;
    assert_eq!(own.acknowledge().await, Obeyed::Answered, "nobody waits for it any more");

    signal("CONT", process);
    assert_eq!(held.grant(agent, &secret).await.status, 403);
    until("both servers", async || listed(&url).await.len() == 2).await;
    assert_eq!(held.grant(agent, &secret).await.status, 403);
    held.warmed_up(other, &others).await;
    assert_eq!(own.acknowledge().await, Obeyed::Answered, "it answers again");
}

/// A server that hears of no change finds itself taken off. Its clock stands still, so its lease would not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_taken_off_forgets_its_rows() {
    let url = support::postgres().fresh_database().await;
    let site = cached(&deaf_to(&url, b"agentidp_clients").await).await;
    let (agent, secret) = client(&site).await;
    site.warmed_up(agent, &secret).await;
    sql(&url, "UPDATE credentials SET status = 'revoked'").await;
    assert_eq!(site.grant(agent, &secret).await.status, 200, "it has not heard of it");
    let before = listed(&url).await;
    sql(&url, "UPDATE agentidp_replicas SET is_off = true").await;
    until("its return", async || listed(&url).await != before && listed(&url).await.len() == 1).await;
    until("the change", async || site.grant(agent, &secret).await.status == 401).await;

    let before = listed(&url).await;
    sql(&url, "DELETE FROM agentidp_replicas").await;
    until("its return", async || listed(&url).await.len() == 1).await;
    assert_ne!(listed(&url).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_no_answers_waits_for_the_leases_of_others() {
    let url = support::postgres().fresh_database().await;
    let zero = Site::build_at(&url, |app| wrap(app, &url, 0, LeaseClock::machine())).await;
    let of_zero = zero.app.repos.replicas.clone().unwrap();
    assert_eq!(of_zero.acknowledge().await, Obeyed::Answered, "alone");
    let site = cached(&url).await;
    let own = site.app.repos.replicas.clone().unwrap();
    until("the server", async || listed(&url).await.len() == 1).await;
    assert_eq!(own.acknowledge().await, Obeyed::Answered, "alone but for one without rows in memory");
    assert_eq!(of_zero.acknowledge().await, Obeyed::Waited);
    assert_eq!(listed(&url).await.len(), 1, "it takes nobody off");

    // A server of the release before says nothing.
    let old = format!("{url}?application_name=agentidp-server%20listener");
    let old = PgConnection::connect(&old).await.unwrap();
    assert_eq!(own.acknowledge().await, Obeyed::Waited);
    old.close().await.unwrap();
    until("its end", async || own.acknowledge().await == Obeyed::Answered).await;

    site.app.repos.database.close().await;
    assert_eq!(listed(&url).await.len(), 0, "it leaves the list when it stops");
}

/// A login of a known client writes its audit event, and that is all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_asks_nobody() {
    let url = support::postgres().fresh_database().await;
    let (site, _other) = (cached(&url).await, cached(&url).await);
    let (agent, secret) = client(&site).await;
    until("both servers", async || listed(&url).await.len() == 2).await;
    site.warmed_up(agent, &secret).await;
    let (before, written) = (site.operations(), committed(&url).await);
    for _ in 0..10 {
        site.granted(agent, &secret).await;
    }
    assert_eq!(site.since(&before), BTreeMap::from([("audit.append".to_owned(), 10)]));
    assert_eq!(written, committed(&url).await, "nothing was written to the list");
}

/// Prints what an acknowledgement costs beside two idle servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_beside_two_idle_servers_is_measured() {
    let url = support::postgres().fresh_database().await;
    let site = quick(&url).await;
    until("the server", async || listed(&url).await.len() == 1).await;
    let alone = median_of_acknowledgements(&site).await;
    let _idle = [quick(&url).await, quick(&url).await];
    until("three servers", async || listed(&url).await.len() == 3).await;
    let beside = median_of_acknowledgements(&site).await;
    println!("an acknowledgement: {alone} µs alone, {beside} µs beside two idle servers (medians)");
}

async fn median_of_acknowledgements(site: &Site) -> u128 {
    let (replicas, mut times) = (site.app.repos.replicas.as_ref().unwrap(), Vec::new());
    for _ in 0..301 {
        #[expect(clippy::disallowed_methods, reason = "it is measured, and printed")]
        let begun = Instant::now();
        assert_eq!(replicas.acknowledge().await, Obeyed::Answered);
        #[expect(clippy::disallowed_methods, reason = "it is measured, and printed")]
        times.push(begun.elapsed().as_micros());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Prints what a rotation costs, waits for the disk included where `TEST_POSTGRES_DURABLE` is set: alone, and beside two idle
/// servers. In turn, so that both meet the same machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_beside_two_idle_servers_is_measured() {
    let (alone, beside) = (support::postgres().fresh_database().await, support::postgres().fresh_database().await);
    let sites = [quick(&alone).await, quick(&beside).await];
    let _idle = [quick(&beside).await, quick(&beside).await];
    until("three servers", async || listed(&beside).await.len() == 3).await;
    until("one server", async || listed(&alone).await.len() == 1).await;
    let agents = [sites[0].agent("a@example.com").await, sites[1].agent("a@example.com").await];
    let credentials = [sites[0].credential(agents[0]).await.0, sites[1].credential(agents[1]).await.0];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        for n in 0..2 {
            #[expect(clippy::disallowed_methods, reason = "it is measured, and printed")]
            let begun = Instant::now();
            assert_eq!(sites[n].rotate(agents[n], credentials[n]).await.status, 200);
            #[expect(clippy::disallowed_methods, reason = "it is measured, and printed")]
            times[n].push(begun.elapsed().as_micros());
        }
    }
    let mut more: Vec<_> =
        times[1].iter().zip(&times[0]).map(|(beside, alone)| beside.cast_signed() - alone.cast_signed()).collect();
    more.sort_unstable();
    let [alone, beside] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!(
        "a rotation: {alone} µs alone, {beside} µs beside two idle servers, {} µs more (medians)",
        more[more.len() / 2]
    );
}

async fn set_status(site: &Site, agent: Uuid, status: &str) {
    let reply = site.call("PATCH", &format!("/agents/{agent}"), json!({ "status": status })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A server with rows in memory that verifies in microseconds.
async fn quick(url: &str) -> Site {
    Site::build_at(url, |app| {
        wrap(app, url, 1000, LeaseClock::of(Arc::clone(&app.clock)));
        let keys = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        app.store = SecretStore::builder(KeyedDigest::new(MacKeys::parse(keys).unwrap())).build().unwrap();
    })
    .await
}

/// A server with rows in memory whose leases go by the machine's clock.
async fn real(url: &str) -> Site {
    Site::build_at(url, |app| wrap(app, url, 1000, LeaseClock::machine())).await
}

async fn texts(url: &str, query: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.unwrap()
}

/// The servers on the list.
async fn listed(url: &str) -> Vec<String> {
    texts(url, "SELECT replica FROM agentidp_replicas WHERE NOT is_off ORDER BY replica").await
}

/// Transactions that have written the list.
async fn committed(url: &str) -> Vec<String> {
    texts(url, "SELECT xmin::text FROM agentidp_replicas ORDER BY replica").await
}

/// The database's processes that servers listen to.
async fn listeners(url: &str) -> Vec<String> {
    let listeners = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = 'agentidp-server replica'";
    texts(url, listeners).await
}

/// Lets a process go on, whatever becomes of the test.
struct GoesOn(i32);

impl Drop for GoesOn {
    fn drop(&mut self) {
        // It may have ended since.
        let _ = std::process::Command::new("/bin/sh").args(["-c", "kill -s CONT $0", &self.0.to_string()]).status();
    }
}

/// Threads that do nothing, as fast as they can, until it is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..BUSY {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(over)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
