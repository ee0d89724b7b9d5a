//! A ledger on a database of its own, and a lifecycle over it.

use agentidp_secrets::backends::Memory;
use agentidp_secrets::lifecycle::{Decision, Ledger, Lifecycle};
use agentidp_secrets::{ClientSecret, CredentialKey, SecretStore};
use agentidp_secrets_sqlx::{PgLedger, SqliteLedger};
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;

use crate::support::postgres;

/// Whether a connection to this database waits for an advisory lock. The cluster is shared with other tests.
pub(crate) const WAITING: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

pub(crate) struct Site<L, P> {
    pub(crate) ledger: L,
    pub(crate) life: Lifecycle<L>,
    pub(crate) pool: P,
    pub(crate) key: CredentialKey,
    _folder: Option<TempDir>,
}

pub(crate) async fn pg_pool() -> PgPool {
    pool_of(&postgres().fresh_database().await).await
}

pub(crate) async fn pool_of(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(5).connect(url).await.unwrap()
}

pub(crate) async fn on_postgres() -> Site<PgLedger, PgPool> {
    let pool = pg_pool().await;
    let ledger = PgLedger::new(pool.clone());
    ledger.migrate().await.unwrap();
    Site::new(ledger, pool, None)
}

pub(crate) fn sqlite_pool(folder: &TempDir) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(folder.path().join("idp.db")).create_if_missing(true);
    SqlitePoolOptions::new().max_connections(5).connect_lazy_with(options.journal_mode(SqliteJournalMode::Wal))
}

pub(crate) async fn on_sqlite() -> Site<SqliteLedger, SqlitePool> {
    let folder = TempDir::new().unwrap();
    let pool = sqlite_pool(&folder);
    let ledger = SqliteLedger::new(pool.clone());
    ledger.migrate().await.unwrap();
    Site::new(ledger, pool, Some(folder))
}

impl<L: Ledger + Clone, P: Sync> Site<L, P> {
    pub(crate) fn new(ledger: L, pool: P, folder: Option<TempDir>) -> Self {
        let life = over(ledger.clone(), SecretStore::builder(Memory::new()).build().unwrap());
        let key = CredentialKey::parse("agent-7", "credential-1").unwrap();
        Self { ledger, life, pool, key, _folder: folder }
    }

    pub(crate) async fn works(&self, secret: &ClientSecret) -> bool {
        match self.life.authenticate(self.key.client_id(), secret).await.unwrap() {
            Decision::Proved(proof) => {
                matches!(self.life.still_counts(proof, secret).await.unwrap(), Decision::Proved(_))
            }
            Decision::NotActive | Decision::Mismatch { .. } => false,
        }
    }
}

pub(crate) fn over<L: Ledger>(ledger: L, store: SecretStore) -> Lifecycle<L> {
    Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task)))
}
