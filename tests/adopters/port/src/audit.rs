//! The caller's own writes, in the transaction of a change.

use agentidp_secrets::lifecycle::{Change, Row};
use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::ledger::{AgentLedger, Tx};

/// A change of an agent's credential: refused unless the agent is active, and written to the audit.
#[derive(Debug)]
pub struct Audited {
    pub agent_id: i64,
    pub event: &'static str,
}

#[async_trait]
impl Change<AgentLedger> for Audited {
    async fn before(&self, tx: &mut Tx) -> Result<()> {
        // Locked, so that the agent stays as it is until the commit.
        let agent = sqlx::query_scalar("SELECT suspended FROM agents WHERE agent_id = $1 FOR SHARE");
        match agent.bind(self.agent_id).fetch_optional(&mut **tx).await? {
            Some(false) => Ok(()),
            Some(true) | None => Err(Error::NotActive),
        }
    }

    async fn after(&self, tx: &mut Tx, row: &Row) -> Result<()> {
        sqlx::query("INSERT INTO audit (agent_id, credential_id, event) VALUES ($1, $2::bigint, $3)")
            .bind(self.agent_id)
            .bind(row.key.credential_id().as_str().parse::<i64>().map_err(|_| Error::Damaged)?)
            .bind(self.event)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}
