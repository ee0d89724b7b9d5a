//! Own writes are obeyed by the next request, however they ended.

use std::time::SystemTime;

use agentidp_secrets::lifecycle::{CommitError, Entry, Note, Row};

use super::super::changes::Changes;
use super::*;
use crate::domain::idempotency::Claim;
use crate::domain::{Agent, AgentType, AuditEvent, DeploymentEnv};
use crate::repo::{ChangeRepo, ChangeTx};

/// Transactions of which nobody knows whether they were committed.
struct Lost;

#[async_trait]
impl ChangeRepo for Lost {
    async fn begin(&self) -> Result<Box<dyn ChangeTx>> {
        Ok(Box::new(Self))
    }

    async fn due(&self, _: Timestamp, _: u32) -> Result<Vec<(Uuid, Uuid)>> {
        unreachable!()
    }

    async fn pending(&self) -> Result<u64> {
        unreachable!()
    }

    async fn used(&self, _: &Row) -> Result<bool> {
        Err(RepoError::unavailable("changes.used", "gone"))
    }
}

#[async_trait]
impl ChangeTx for Lost {
    async fn commit(self: Box<Self>) -> std::result::Result<(), CommitError<RepoError>> {
        Err(CommitError::Unknown(RepoError::unavailable("changes.commit", "gone")))
    }

    async fn lock_agent(&mut self, _: Uuid) -> Result<Option<(AgentStatus, Timestamp)>> {
        Ok(None)
    }

    async fn lock(&mut self, _: Uuid, _: Uuid) -> Result<Entry> {
        Ok(Entry::default())
    }

    async fn insert(&mut self, _: &Row, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn replace(&mut self, _: &Row) -> Result<()> {
        Ok(())
    }

    async fn end(&mut self, _: Uuid, _: Uuid, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn note(&mut self, _: Uuid, _: Uuid, _: &Note, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self, _: Uuid, _: Uuid, _: Option<Timestamp>, _: bool) -> Result<Credential> {
        unreachable!()
    }

    async fn rotate_usage(&mut self, _: Uuid, _: SystemTime) -> Result<()> {
        Ok(())
    }

    async fn update_agent(&mut self, _: &Agent) -> Result<()> {
        Ok(())
    }

    async fn active_credentials(&mut self, _: Uuid) -> Result<Vec<Uuid>> {
        unreachable!()
    }

    async fn append(&mut self, _: &AuditEvent) -> Result<()> {
        Ok(())
    }

    async fn carry_out(&mut self, _: &Claim, _: &Credential) -> Result<bool> {
        unreachable!()
    }

    async fn carry_out_anew(&mut self, _: &Claim, _: &Credential, _: &Credential) -> Result<bool> {
        unreachable!()
    }
}

#[tokio::test]
async fn own_writes_are_obeyed_by_the_next_request_however_they_ended() {
    let bench = Bench::new();
    let changes = Changes { inner: Arc::new(Lost), cache: Arc::clone(&bench.cache) };
    let row = credential(None).to_row().unwrap();
    let agent = Agent {
        agent_id: CLIENT,
        email: String::new(),
        agent_type: AgentType::Custom,
        version: String::new(),
        capabilities: Vec::new(),
        owner: String::new(),
        deployment_env: DeploymentEnv::Staging,
        status: AgentStatus::Active,
        created_at: bench.now(),
        updated_at: bench.now(),
    };
    for turn in 1..=5 {
        bench.read().await;
        bench.read().await;
        assert_eq!(bench.reads(), turn);
        let mut tx = changes.begin().await.unwrap();
        match turn {
            1 => tx.insert(&row, bench.now()).await.unwrap(),
            2 => tx.replace(&row).await.unwrap(),
            3 => tx.end(CLIENT, Uuid::new_v4(), bench.now()).await.unwrap(),
            4 => tx.update_agent(&agent).await.unwrap(),
            _ => drop(changes.used(&row).await.unwrap_err()),
        }
        if turn % 2 == 0 {
            drop(tx);
        } else {
            assert!(tx.commit().await.is_err());
        }
    }
    bench.read().await;
    assert_eq!(bench.reads(), 6);
}
