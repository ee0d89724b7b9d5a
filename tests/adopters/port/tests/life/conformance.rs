//! The contract of a ledger. This is all that a ledger of yours needs, too.

use adopter_port::AgentLedger;
use agentidp_secrets::testkit::{LedgerHarness, check_folder_rows};
use agentidp_secrets::{ClientId, CredentialId, CredentialKey};
use async_trait::async_trait;

use crate::support::fresh_pool;

agentidp_secrets::ledger_conformance!(agent_ledger, Database(AgentLedger(fresh_pool().await)));
agentidp_secrets::usage_conformance!(agent_usage, Database(AgentLedger(fresh_pool().await)));

#[tokio::test]
async fn the_rows_of_folders_keep_their_contract() {
    check_folder_rows(&AgentLedger(fresh_pool().await)).await;
}

struct Database(AgentLedger);

#[async_trait]
impl LedgerHarness for Database {
    type Ledger = AgentLedger;

    async fn ledger(&self) -> AgentLedger {
        self.0.clone()
    }

    async fn client(&self) -> ClientId {
        let agent = sqlx::query_scalar("INSERT INTO agents (name) VALUES ('reporter') RETURNING agent_id");
        let agent: i64 = agent.fetch_one(&self.0.0).await.unwrap();
        ClientId::parse(&agent.to_string()).unwrap()
    }

    fn unknown_client(&self) -> ClientId {
        ClientId::parse("999").unwrap()
    }

    async fn credential_id(&self) -> CredentialId {
        let id: i64 = sqlx::query_scalar("SELECT nextval('credential_ids')").fetch_one(&self.0.0).await.unwrap();
        CredentialId::parse(&id.to_string()).unwrap()
    }

    async fn expire(&self, key: &CredentialKey) -> bool {
        self.set("UPDATE credentials SET expires_at = now() WHERE credential_id = $1::text::bigint", key).await
    }

    async fn damage(&self, key: &CredentialKey) -> bool {
        self.set("UPDATE credentials SET record = '' WHERE credential_id = $1::text::bigint", key).await
    }

    async fn suspend(&self, client: &ClientId) -> bool {
        let suspend = sqlx::query("UPDATE agents SET suspended = true WHERE agent_id = $1::text::bigint");
        suspend.bind(client.as_str()).execute(&self.0.0).await.unwrap().rows_affected() == 1
    }
}

impl Database {
    async fn set(&self, sql: &'static str, key: &CredentialKey) -> bool {
        let set = sqlx::query(sql).bind(key.credential_id().as_str());
        set.execute(&self.0.0).await.unwrap().rows_affected() == 1
    }
}
