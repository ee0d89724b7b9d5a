//! The library's suite for ledgers over this server's tables.

use std::sync::Arc;

use agentidp_secrets::backends::VaultKv2;
use agentidp_secrets::testkit::LedgerHarness;
use agentidp_secrets::{BackendId, ClientId, CredentialId, CredentialKey, SharedBackend, StoredSecret, SystemClock};
use agentidp_server::life;
use async_trait::async_trait;
use uuid::Uuid;

use super::{Database, sql_at};
use crate::support::{self, bao::Mount};

agentidp_secrets::ledger_conformance!(sqlite, Tables::over(Database::sqlite().await).await);
agentidp_secrets::ledger_conformance!(postgres, Tables::over(Database::postgres().await).await);
agentidp_secrets::usage_conformance!(sqlite_usage, Tables::over(Database::sqlite().await).await);
agentidp_secrets::usage_conformance!(postgres_usage, Tables::over(Database::postgres().await).await);

struct Tables {
    database: Database,
    mount: Mount,
}

impl Tables {
    async fn over(database: Database) -> Self {
        Self { database, mount: support::bao().fresh_mount(2).await }
    }

    async fn credential(&self, key: &CredentialKey, set: &str) -> bool {
        let sql = format!("UPDATE credentials SET {set} WHERE credential_id = '{}'", key.credential_id());
        sql_at(&self.database.url, &sql).await.is_ok()
    }
}

#[async_trait]
impl LedgerHarness for Tables {
    type Ledger = life::Database;

    async fn ledger(&self) -> life::Database {
        let repos = agentidp_server::repo::open(&self.database.url).await.unwrap();
        life::Database::new(&repos, Arc::new(SystemClock::default()))
    }

    async fn client(&self) -> ClientId {
        ClientId::parse(&self.database.agent().await.agent_id.to_string()).unwrap()
    }

    fn unknown_client(&self) -> ClientId {
        ClientId::parse(&Uuid::new_v4().to_string()).unwrap()
    }

    async fn credential_id(&self) -> CredentialId {
        CredentialId::parse(&Uuid::new_v4().to_string()).unwrap()
    }

    /// The tables have columns for a place in Vault and for digests.
    fn record(&self, number: u64, length: usize) -> StoredSecret {
        let (folder, version) = (format!("secret/data/{number:016x}/"), "?version=3");
        let rest = length.saturating_sub("{vault-kv2}".len() + folder.len() + version.len());
        StoredSecret::new(BackendId::VAULT_KV2, format!("{folder}{}{version}", "x".repeat(rest)))
    }

    async fn backend(&self) -> SharedBackend {
        let vault = VaultKv2::builder(support::bao().address(), self.mount.policy_token.as_str());
        Arc::new(vault.mount(&self.mount.name).build().unwrap())
    }

    fn has_one_writer(&self) -> bool {
        self.database.url.starts_with("sqlite:")
    }

    async fn expire(&self, key: &CredentialKey) -> bool {
        self.credential(key, "expires_at = '2000-01-01T00:00:00.000Z'").await
    }

    async fn damage(&self, key: &CredentialKey) -> bool {
        self.credential(key, "secret_hash = 'damaged', vault_path = NULL, vault_version = NULL").await
    }

    async fn suspend(&self, client: &ClientId) -> bool {
        let sql = format!("UPDATE agents SET status = 'suspended' WHERE agent_id = '{client}'");
        sql_at(&self.database.url, &sql).await.is_ok()
    }
}
