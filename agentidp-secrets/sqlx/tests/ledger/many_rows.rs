//! A key without a client id, among very many rows of every backend: one read by an index, and for a wrong key nothing else.
//!
//! CI has few rows. A million takes minutes: `BARE_KEY_ROWS=1000000 cargo test --release --package agentidp-secrets-sqlx --all-features
//! --test ledger many_rows -- --nocapture`.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentidp_secrets::backends::{Bcrypt, KeyedDigest, Memory};
use agentidp_secrets::layers::{Event, ObserveLayer, Observer};
use agentidp_secrets::lifecycle::{Decision, Lifecycle, Unmatched};
use agentidp_secrets::{
    ClientSecret, Clock, CredentialKey, MacKeys, Operation, SecretStore, SharedBackend, SystemClock, stack,
};
use agentidp_secrets_sqlx::PgLedger;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::site::over;
use crate::support::postgres;

const KEYS: &str = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const WRONG_KEYS: usize = 100;

/// Counts whatever a backend is asked, and the verifications among that.
#[derive(Debug, Default)]
struct Asked {
    all: AtomicUsize,
    verify: AtomicUsize,
}

impl Observer for Asked {
    fn record(&self, event: &Event) {
        self.all.fetch_add(1, Ordering::SeqCst);
        self.verify.fetch_add(usize::from(event.operation == Operation::Verify), Ordering::SeqCst);
    }
}

/// A digest, a keyed digest, and a pointer into a backend with custody, which stands for Vault.
fn backends(asked: &Arc<Asked>) -> [SharedBackend; 3] {
    let observe = ObserveLayer::new(Arc::<Asked>::clone(asked));
    [
        stack(Bcrypt::builder().minimum_cost_for_tests().build().unwrap(), &[&observe]),
        stack(KeyedDigest::new(MacKeys::parse(KEYS).unwrap()), &[&observe]),
        stack(Memory::new(), &[&observe]),
    ]
}

/// A store that has this one of the backends as its primary, and accepts the others.
fn store(backends: &[SharedBackend; 3], primary: usize) -> SecretStore {
    let mut builder = SecretStore::builder(Arc::clone(&backends[primary]));
    for (_, accepted) in backends.iter().enumerate().filter(|(place, _)| *place != primary) {
        builder = builder.accepts(Arc::clone(accepted));
    }
    builder.selector_keys(MacKeys::parse(KEYS).unwrap()).look_up_by_key().build().unwrap()
}

/// Rows of every form: some with an earlier secret, some that have ended.
async fn fill(pool: &PgPool, rows: u64) {
    let fill = format!(
        "INSERT INTO agentidp_clients SELECT 'client-' || n FROM generate_series(1, {rows}) n; \
         INSERT INTO agentidp_credentials (client_id, credential_id, state, record, selector, previous_record, previous_selector, \
         previous_until) SELECT 'client-' || n, 'c', CASE WHEN n % 10 = 0 THEN 'ended' ELSE 'active' END, \
         CASE n % 3 WHEN 0 THEN '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy' \
         WHEN 1 THEN '{{keyed-digest}}$hmac-sha256$v=1$keyid=k1$' || md5(n::text) || '$' || md5(n::text) || md5('b' || n) \
         ELSE '{{memory}}client-' || n || '/c?version=1' END, 'k1::' || left(md5('s' || n), 16), \
         CASE WHEN n % 7 = 0 THEN '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy' END, \
         CASE WHEN n % 7 = 0 THEN 'k1::' || left(md5('p' || n), 16) END, CASE WHEN n % 7 = 0 THEN (extract(epoch FROM now()) * 1000)::bigint + 86400000 END \
         FROM generate_series(1, {rows}) n; ANALYZE agentidp_clients, agentidp_credentials"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(pool).await.unwrap();
}

/// How often PostgreSQL has looked into the two indexes of selectors, and how often it has read the whole table.
async fn scans(pool: &PgPool) -> [i64; 3] {
    sqlx::query("SELECT pg_stat_force_next_flush()").execute(pool).await.unwrap();
    let of_index = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = $1";
    let mut scans = [0; 3];
    for (scan, index) in
        scans.iter_mut().zip(["agentidp_credentials_selector", "agentidp_credentials_previous_selector"])
    {
        *scan = sqlx::query_scalar(of_index).bind(index).fetch_one(pool).await.unwrap();
    }
    let of_table = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'agentidp_credentials'";
    scans[2] = sqlx::query_scalar(of_table).fetch_one(pool).await.unwrap();
    scans
}

async fn owner(life: &Lifecycle<PgLedger>, secret: &ClientSecret) -> Option<String> {
    match life.authenticate_key(secret).await.unwrap() {
        Decision::Proved(proof) => Some(proof.key().client_id().to_string()),
        Decision::NotActive | Decision::Mismatch { .. } => None,
    }
}

#[tokio::test]
async fn a_key_costs_one_indexed_read_and_a_wrong_one_nothing_else() {
    let rows = std::env::var_os("BARE_KEY_ROWS").map(OsString::into_string).transpose().expect("a number");
    let rows = rows.map_or(20_000, |rows| rows.parse().expect("a number"));
    // One connection: it alone is counted.
    let pool = PgPoolOptions::new().max_connections(1).connect(&postgres().fresh_database().await).await.unwrap();
    let ledger = PgLedger::new(pool.clone());
    ledger.migrate().await.unwrap();
    fill(&pool, rows).await;

    let asked = Arc::<Asked>::default();
    let backends = backends(&asked);
    let life = |primary| over(ledger.clone(), store(&backends, primary)).with_bare_keys(Unmatched::Wrong, 0);
    let mut shown = Vec::new();
    for primary in 0..backends.len() {
        let key = CredentialKey::parse(&format!("agent-{primary}"), "c").unwrap();
        shown.push((key.client_id().to_string(), life(primary).issue(&key, ()).await.unwrap().secret));
    }

    let life = life(1);
    let wrong: Vec<_> = (0..WRONG_KEYS).map(|_| ClientSecret::generate().unwrap()).collect();
    let (before, asked_before) = (scans(&pool).await, asked.all.load(Ordering::SeqCst));
    let began = SystemClock::default().instant();
    for secret in &wrong {
        assert_eq!(owner(&life, secret).await, None);
    }
    println!("{rows} rows, a wrong key: {:?}", (SystemClock::default().instant() - began) / WRONG_KEYS as u32);
    let after = scans(&pool).await;
    assert_eq!(asked.all.load(Ordering::SeqCst), asked_before, "no digest, and no request to the backend with custody");
    let looked: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(looked, [WRONG_KEYS as i64, WRONG_KEYS as i64, 0], "one look into each index, none into the table");

    for (client, secret) in &shown {
        let asked_before = asked.verify.load(Ordering::SeqCst);
        let began = SystemClock::default().instant();
        assert_eq!(owner(&life, secret).await.as_ref(), Some(client));
        println!("{rows} rows, the key of {client}: {:?}", (SystemClock::default().instant() - began));
        assert_eq!(asked.verify.load(Ordering::SeqCst), asked_before + 1, "one verification of one record");
    }
    assert_eq!(scans(&pool).await[2], after[2], "still none into the table");
}
