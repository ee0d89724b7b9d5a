//! Keys that come without a client id, over both databases.

use agentidp_secrets::backends::Memory;
use agentidp_secrets::lifecycle::{Decision, Ledger, Lifecycle, Unmatched};
use agentidp_secrets::{ClientSecret, CredentialKey, MacKeys, SecretStore, SharedBackend};
use sqlx::{PgPool, SqlitePool};
use std::sync::Arc;

use crate::site::{Site, on_postgres, on_sqlite, over};

const KEYS: &str = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

async fn owner<L: Ledger>(life: &Lifecycle<L>, secret: &ClientSecret) -> Option<String> {
    match life.authenticate_key(secret).await.unwrap() {
        Decision::Proved(proof) => Some(proof.key().client_id().to_string()),
        Decision::NotActive | Decision::Mismatch { .. } => None,
    }
}

async fn bare_keys_find_their_rows<L: Ledger + Clone, P: Sync>(site: &Site<L, P>) {
    let memory: SharedBackend = Arc::new(Memory::new());
    let store = SecretStore::builder(memory).selector_keys(MacKeys::parse(KEYS).unwrap()).look_up_by_key();
    let life = over(site.ledger.clone(), store.build().unwrap()).with_bare_keys(Unmatched::Undecided, 0);
    let mut shown = Vec::new();
    for client in ["agent-1", "https://idp.example/2", "agent-3"] {
        let key = CredentialKey::parse(client, "c1").unwrap();
        shown.push((client, key.clone(), life.issue(&key, ()).await.unwrap().secret));
    }
    for (client, _, secret) in &shown {
        assert_eq!(owner(&life, secret).await.as_deref(), Some(*client));
    }
    assert_eq!(owner(&life, &ClientSecret::generate().unwrap()).await, None);
    let rotated = life.rotate(&shown[0].1, std::time::Duration::from_secs(3600), ()).await.unwrap();
    for secret in [&shown[0].2, &rotated.secret] {
        assert_eq!(owner(&life, secret).await.as_deref(), Some("agent-1"), "within the overlap both find it");
    }
    life.end(&shown[1].1, ()).await.unwrap();
    assert_eq!(owner(&life, &shown[1].2).await, None);

    // The site's own store makes no selectors.
    let before = site.life.issue(&site.key, ()).await.unwrap();
    life.authenticate_key(&before.secret).await.unwrap_err();
}

/// What the planner says of both statements, with a table large enough for an index to be worth it.
const FIND: &str =
    "SELECT client_id FROM agentidp_credentials WHERE state = 'active' AND selector IN ('k1::0', 'k2::0')";
const UNFINDABLE: &str = "SELECT DISTINCT client_id FROM agentidp_credentials WHERE state = 'active' AND (selector IS NULL \
    OR selector NOT LIKE '%::%' OR previous_record IS NOT NULL \
    AND (previous_selector IS NULL OR previous_selector NOT LIKE '%::%')) LIMIT 1";

async fn on_postgres_by_index(pool: &PgPool) {
    let fill = "INSERT INTO agentidp_clients SELECT 'client-' || n FROM generate_series(1, 20000) n; \
                INSERT INTO agentidp_credentials (client_id, credential_id, record, selector) \
                SELECT 'client-' || n, 'c', '{memory}x', 'k1::' || lpad(n::text, 16, '0') FROM generate_series(1, 20000) n; \
                ANALYZE agentidp_credentials";
    sqlx::raw_sql(fill).execute(pool).await.unwrap();
    for (query, index) in [(FIND, "agentidp_credentials_selector"), (UNFINDABLE, "agentidp_credentials_unfindable")] {
        let plan: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {query}"))).fetch_all(pool).await.unwrap();
        assert!(plan.join("\n").contains(index), "{plan:#?}");
    }
}

async fn on_sqlite_by_index(pool: &SqlitePool) {
    for (query, index) in [(FIND, "agentidp_credentials_selector"), (UNFINDABLE, "agentidp_credentials_unfindable")] {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(pool).await.unwrap();
        assert!(plan.iter().any(|(.., step)| step.contains(index)), "{plan:#?}");
    }
}

#[tokio::test]
async fn a_bare_key_finds_its_row_by_an_index_on_postgresql() {
    let site = on_postgres().await;
    bare_keys_find_their_rows(&site).await;
    on_postgres_by_index(&site.pool).await;
}

#[tokio::test]
async fn a_bare_key_finds_its_row_by_an_index_on_sqlite() {
    let site = on_sqlite().await;
    bare_keys_find_their_rows(&site).await;
    on_sqlite_by_index(&site.pool).await;
}
