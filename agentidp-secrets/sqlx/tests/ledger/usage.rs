//! What uses cost the database.

use std::time::Duration;

use agentidp_secrets::backends::KeyedDigest;
use agentidp_secrets::lifecycle::{Decision, Freshness, Ledger as _};
use agentidp_secrets::{Clock as _, CredentialKey, MacKeys, SecretStore, SystemClock};
use agentidp_secrets_sqlx::PgLedger;
use tokio::sync::oneshot;

use crate::site::{over, pg_pool};
use crate::support::process::until;

const KEYS: &str = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A second of work, without optimisation.
const LOGINS: usize = 100_000;

/// Each row that is written leaves another one.
const COUNTED: &str = "CREATE TABLE written (client_id text); \
    CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN INSERT INTO written VALUES (new.client_id); RETURN NULL; END $$; \
    CREATE TRIGGER counted AFTER INSERT OR UPDATE ON agentidp_usage FOR EACH ROW EXECUTE FUNCTION note_written()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_a_credential_is_used_it_is_written_once_a_minute() {
    let pool = pg_pool().await;
    let ledger = PgLedger::new(pool.clone()).with_row_cache(100);
    ledger.migrate().await.unwrap();
    sqlx::raw_sql(COUNTED).execute(&pool).await.unwrap();
    let store = SecretStore::builder(KeyedDigest::new(MacKeys::parse(KEYS).unwrap())).build().unwrap();
    let life = over(ledger.clone(), store).with_usage();
    let key = CredentialKey::parse("agent-7", "credential-1").unwrap();
    let secret = life.issue(&key, ()).await.unwrap().secret;
    let listens = tokio::spawn(ledger.listen(|_| ()));
    let cached = async || ledger.rows(key.client_id(), Freshness::Cached).await.unwrap().from_memory;
    until("rows in memory", cached).await;

    let clock = SystemClock::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let (keeper, began) = (life.clone(), clock.now());
    let keeps = tokio::spawn(async move { keeper.keep_usage(async { drop(stopped.await) }).await });
    for _ in 0..LOGINS {
        let decision = life.authenticate(key.client_id(), &secret).await.unwrap();
        assert!(matches!(decision, Decision::Proved(_)));
    }
    let minutes = clock.now().duration_since(began).unwrap().as_secs() / 60;
    stop.send(()).unwrap();
    keeps.await.unwrap();
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM written").fetch_one(&pool).await.unwrap();
    assert!((1..=1 + minutes.cast_signed()).contains(&written), "{written} rows written of {LOGINS} logins");
    let last = life.usage(&key).await.unwrap().last_used_at.unwrap();
    assert!(last + Duration::from_millis(1) >= began, "{last:?}");
    listens.abort();
}
