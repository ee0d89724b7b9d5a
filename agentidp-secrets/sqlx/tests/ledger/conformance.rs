//! The contract of a ledger, over both databases.

use agentidp_secrets::testkit::LedgerHarness;
use agentidp_secrets::{ClientId, CredentialKey};
use agentidp_secrets_sqlx::{PgLedger, SqliteLedger};
use async_trait::async_trait;
use sqlx::{PgPool, SqlitePool};

use crate::site::{Site, on_postgres, on_sqlite};

agentidp_secrets::ledger_conformance!(postgresql, on_postgres().await);
agentidp_secrets::ledger_conformance!(sqlite, on_sqlite().await);
agentidp_secrets::usage_conformance!(postgresql_usage, on_postgres().await);
agentidp_secrets::usage_conformance!(sqlite_usage, on_sqlite().await);

const EXPIRE: &str = "UPDATE agentidp_credentials SET expires_at = 1 WHERE client_id = $1 AND credential_id = $2";
const DAMAGE: &str = "UPDATE agentidp_credentials SET record = '' WHERE client_id = $1 AND credential_id = $2";
const SUSPEND: &str = "UPDATE agentidp_clients SET active = false WHERE client_id = $1";

macro_rules! harness {
    ($ledger:ty, $pool:ty, $has_one_writer:literal) => {
        #[async_trait]
        impl LedgerHarness for Site<$ledger, $pool> {
            type Ledger = $ledger;

            async fn ledger(&self) -> $ledger {
                self.ledger.clone()
            }

            fn has_one_writer(&self) -> bool {
                $has_one_writer
            }

            async fn expire(&self, key: &CredentialKey) -> bool {
                let expire = sqlx::query(EXPIRE).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
                expire.execute(&self.pool).await.unwrap().rows_affected() == 1
            }

            async fn suspend(&self, client: &ClientId) -> bool {
                let suspend = sqlx::query(SUSPEND).bind(client.as_str());
                suspend.execute(&self.pool).await.unwrap().rows_affected() == 1
            }

            async fn damage(&self, key: &CredentialKey) -> bool {
                let damage = sqlx::query(DAMAGE).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
                damage.execute(&self.pool).await.unwrap().rows_affected() == 1
            }
        }
    };
}

harness!(PgLedger, PgPool, false);
harness!(SqliteLedger, SqlitePool, true);
