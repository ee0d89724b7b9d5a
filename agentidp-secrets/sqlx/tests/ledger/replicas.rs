//! Processes that keep rows in memory: what one has acknowledged, all obey.

use std::time::{Duration, SystemTime};

use agentidp_secrets::SecretStore;
use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::lifecycle::{ClientRows, Freshness, Ledger as _};
use agentidp_secrets_sqlx::PgLedger;
use tokio::task::JoinHandle;

use crate::deaf::{deaf_to, slow};
use crate::site::{Site, over, pool_of};
use crate::support::postgres;
use crate::support::process::until;

/// Changes of each kind.
const CHANGES: usize = 12;

struct Replica {
    site: Site<PgLedger, sqlx::PgPool>,
    listens: JoinHandle<()>,
}

impl Replica {
    /// Two on one database and one store.
    async fn two() -> [Self; 2] {
        let url = postgres().fresh_database().await;
        Self::at([&url, &url]).await
    }

    /// At two ways to one database.
    async fn at(urls: [&str; 2]) -> [Self; 2] {
        let pools = [pool_of(urls[0]).await, pool_of(urls[1]).await];
        PgLedger::new(pools[0].clone()).migrate().await.unwrap();
        let sites = pools.map(|pool| {
            let ledger = PgLedger::new(pool.clone()).with_row_cache(100);
            let mut site = Site::new(ledger.clone(), pool.clone(), None);
            site.life = over(
                ledger,
                SecretStore::builder(Bcrypt::builder().minimum_cost_for_tests().build().unwrap()).build().unwrap(),
            );
            site
        });
        let listening = sites.map(|site| Self { listens: tokio::spawn(site.ledger.listen(|_| ())), site });
        until("both", async || listed(&listening[0].site).await == 2).await;
        listening
    }

    async fn rows(&self) -> ClientRows {
        self.site.ledger.rows(self.site.key.client_id(), Freshness::Cached).await.unwrap()
    }

    async fn warm_up(&self) {
        until("rows in memory", async || self.rows().await.from_memory).await;
    }
}

async fn listed(site: &Site<PgLedger, sqlx::PgPool>) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM agentidp_replicas").fetch_one(&site.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_obeyed_by_every_process() {
    // On a fast line a notification is there before the next request is, whoever waits for it.
    let slow = slow(&postgres().fresh_database().await, Duration::from_millis(30)).await;
    let replicas = Replica::at([&slow, &slow]).await;
    assert_eq!(disobeyed(&replicas).await, 0);
    let [at, other] = replicas;
    let secret = at.site.life.rotate(&at.site.key, Duration::ZERO, ()).await.unwrap().secret;
    other.warm_up().await;
    at.site.life.end(&at.site.key, ()).await.unwrap();
    assert!(!other.site.works(&secret).await);
}

/// The check above finds a process that answers without having forgotten its rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_a_process_was_not_told_of_is_not_obeyed_there() {
    let url = postgres().fresh_database().await;
    let deaf = deaf_to(&url, b"agentidp_rows").await;
    let stale = disobeyed(&Replica::at([&url, &deaf]).await).await;
    assert!(stale >= CHANGES / 2, "{stale}");
}

/// Changes a secret and its owner at each process in turn, and counts how often the other one let in by what was before.
async fn disobeyed(replicas: &[Replica; 2]) -> usize {
    let key = replicas[0].site.key.clone();
    let mut secret = replicas[0].site.life.issue(&key, ()).await.unwrap().secret;
    let mut stale = 0;
    for n in 0..CHANGES {
        let (at, other) = (&replicas[n % 2].site, &replicas[(n + 1) % 2]);
        other.warm_up().await;
        let fresh = at.life.rotate(&key, Duration::ZERO, ()).await.unwrap().secret;
        stale += usize::from(other.site.works(&secret).await);
        assert!(other.site.works(&fresh).await, "rows in memory refuse nobody");
        secret = fresh;

        for active in [false, true] {
            other.warm_up().await;
            let mut tx = at.pool.begin().await.unwrap();
            at.ledger.set_active(&mut tx, key.client_id(), active).await.unwrap();
            tx.commit().await.unwrap();
            at.ledger.acknowledge(key.client_id()).await;
            stale += usize::from(other.site.works(&secret).await != active);
        }
    }
    stale
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_in_memory_expire_by_the_database_and_a_change_by_sql_is_heard_of() {
    let [replica, mut other] = Replica::two().await;
    let site = &replica.site;
    let secret = site.life.issue(&site.key, ()).await.unwrap().secret;
    replica.warm_up().await;
    let mut tx = site.pool.begin().await.unwrap();
    site.ledger.set_expiry(&mut tx, &site.key, Some(SystemTime::UNIX_EPOCH)).await.unwrap();
    tx.commit().await.unwrap();
    until("the change", async || !replica.site.works(&secret).await).await;

    other.site.ledger.leave().await;
    other.listens.abort();
    assert!((&mut other.listens).await.unwrap_err().is_cancelled());
    assert!(!other.rows().await.from_memory && !other.rows().await.from_memory, "nobody would tell");
}

/// A login of a client in memory is decided without the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_in_memory_asks_nobody() {
    let [replica, _other] = Replica::two().await;
    let site = &replica.site;
    let secret = site.life.issue(&site.key, ()).await.unwrap().secret;
    replica.warm_up().await;
    // Whoever asks waits for a connection.
    let mut held = Vec::new();
    for _ in 0..site.pool.options().get_max_connections() {
        held.push(site.pool.acquire().await.unwrap());
    }
    assert!(site.works(&secret).await);
}
