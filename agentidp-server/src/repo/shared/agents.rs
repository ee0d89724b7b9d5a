//! Agents.

use async_trait::async_trait;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::list::List;
use super::{Connection, Db, LOCK_AGENT, LOCK_REGISTRATION, Store, audit};
use crate::domain::{Agent, AgentStatus, AuditEvent, Page, Paged, Timestamp};
use crate::repo::columns::{Id, TextList};
use crate::repo::rows::AgentRow;
use crate::repo::{AgentFilter, AgentRepo, CreateAgent, Result};

const AGENTS: List = List {
    select: "SELECT agent_id, email, agent_type, version, capabilities, owner, deployment_env, status, created_at, \
             updated_at FROM agents WHERE true",
    from: "FROM agents WHERE true",
    key: ["created_at", "agent_id"],
};

#[async_trait]
impl AgentRepo for Store {
    async fn create(&self, agent: &Agent, limit: Option<u64>, event: &AuditEvent) -> Result<CreateAgent> {
        let work = async {
            let mut tx = self.begin().await?;
            if let Some(limit) = limit
                && registered(&mut tx).await? >= limit
            {
                return Ok(CreateAgent::LimitReached);
            }
            if !insert(&mut tx, agent).await? {
                return Ok(CreateAgent::EmailTaken);
            }
            audit::append(&mut tx, event).await?;
            tx.commit().await?;
            Ok(CreateAgent::Created)
        };
        self.watch.run("agents.create", work).await
    }

    async fn find(&self, agent_id: Uuid) -> Result<Option<Agent>> {
        let work = || async {
            let mut query = QueryBuilder::<Db>::new(AGENTS.select);
            query.push(" AND agent_id = ").push_bind(Id(agent_id));
            let row: Option<AgentRow> = query.build_query_as().fetch_optional(&self.read).await?;
            Ok(row.map(Into::into))
        };
        self.watch.again("agents.find", work).await
    }

    async fn list(&self, filter: &AgentFilter, page: Page) -> Result<Paged<Agent>> {
        let matching = |query: &mut QueryBuilder<Db>| {
            if let Some(owner) = &filter.owner {
                query.push(" AND owner = ").push_bind(owner.clone());
            }
            if let Some(agent_type) = filter.agent_type {
                query.push(" AND agent_type = ").push_bind(agent_type);
            }
            if let Some(status) = filter.status {
                query.push(" AND status = ").push_bind(status);
            }
        };
        self.watch.again("agents.list", || self.page_of::<AgentRow, _>(&AGENTS, &matching, page)).await
    }
}

/// An agent's status and when it was changed; nobody changes it before the transaction ends.
pub(super) async fn lock(
    connection: &mut Connection,
    agent_id: Uuid,
) -> sqlx::Result<Option<(AgentStatus, Timestamp)>> {
    sqlx::query_as(LOCK_AGENT).bind(Id(agent_id)).fetch_optional(connection).await
}

/// How many agents count against the limit; the number stands until the transaction ends.
async fn registered(connection: &mut Connection) -> sqlx::Result<u64> {
    if let Some(lock) = LOCK_REGISTRATION {
        sqlx::query(lock).execute(&mut *connection).await?;
    }
    let registered: i64 = sqlx::query_scalar("SELECT count(*) FROM agents WHERE status <> 'decommissioned'")
        .fetch_one(connection)
        .await?;
    Ok(registered.unsigned_abs())
}

/// Says whether the e-mail was free.
async fn insert(connection: &mut Connection, agent: &Agent) -> sqlx::Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO agents (agent_id, email, agent_type, version, capabilities, owner, deployment_env, status, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (email) DO NOTHING",
    )
    .bind(Id(agent.agent_id))
    .bind(&agent.email)
    .bind(agent.agent_type)
    .bind(&agent.version)
    .bind(TextList(agent.capabilities.clone()))
    .bind(&agent.owner)
    .bind(agent.deployment_env)
    .bind(agent.status)
    .bind(agent.created_at)
    .bind(agent.updated_at)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn update(connection: &mut Connection, agent: &Agent) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE agents SET agent_type = $2, version = $3, capabilities = $4, owner = $5, deployment_env = $6, \
         status = $7, updated_at = $8 WHERE agent_id = $1",
    )
    .bind(Id(agent.agent_id))
    .bind(agent.agent_type)
    .bind(&agent.version)
    .bind(TextList(agent.capabilities.clone()))
    .bind(&agent.owner)
    .bind(agent.deployment_env)
    .bind(agent.status)
    .bind(agent.updated_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// The active credentials of an agent, in the order of their ids.
pub(super) async fn active_credentials(connection: &mut Connection, agent_id: Uuid) -> sqlx::Result<Vec<Uuid>> {
    let active: Vec<(Id,)> = sqlx::query_as(
        "SELECT credential_id FROM credentials WHERE client_id = $1 AND status = 'active' ORDER BY credential_id",
    )
    .bind(Id(agent_id))
    .fetch_all(connection)
    .await?;
    Ok(active.into_iter().map(|(id,)| id.0).collect())
}
