//! The audit trail.

use std::slice;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::types::Json;
use sqlx::{Pool, QueryBuilder};
use uuid::Uuid;

use super::list::List;
use super::{Connection, Db, Store, insert_events, overwrite};
use crate::domain::{AuditEvent, Page, Paged, Timestamp};
use crate::repo::columns::Id;
use crate::repo::rows::AuditRow;
use crate::repo::{AuditFilter, AuditRepo, Result};

const EVENTS: List = List {
    select: "SELECT event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp \
             FROM audit_events WHERE true",
    from: "FROM audit_events WHERE true",
    key: ["timestamp", "event_id"],
};

/// Events pruned by one statement: few enough that nobody waits for it, even when years of events have to go.
const PRUNE_CHUNK: u64 = 1000;

#[async_trait]
impl AuditRepo for Store {
    async fn append(&self, event: &AuditEvent) -> Result<()> {
        self.append_all(slice::from_ref(event)).await
    }

    async fn append_all(&self, events: &[AuditEvent]) -> Result<()> {
        let work = || async {
            let mut connection = self.write.acquire().await?;
            insert_events(&mut connection, events).await
        };
        self.watch.again("audit.append", work).await
    }

    async fn pretend(&self) -> Result<()> {
        let work = || async {
            let mut connection = self.write.acquire().await?;
            overwrite(&mut connection, self.writes.fetch_add(1, Ordering::Relaxed)).await
        };
        self.watch.again("audit.append", work).await
    }

    async fn find(&self, event_id: Uuid, not_before: Timestamp) -> Result<Option<AuditEvent>> {
        let work = || async {
            let mut query = QueryBuilder::<Db>::new(EVENTS.select);
            query.push(" AND event_id = ").push_bind(Id(event_id));
            query.push(" AND timestamp >= ").push_bind(not_before);
            let row: Option<AuditRow> = query.build_query_as().fetch_optional(&self.read).await?;
            Ok(row.map(Into::into))
        };
        self.watch.again("audit.find", work).await
    }

    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditEvent>> {
        let matching = |query: &mut QueryBuilder<Db>| {
            if let Some(agent_id) = filter.agent_id {
                query.push(" AND agent_id = ").push_bind(Id(agent_id));
            }
            // Both databases know this operator.
            if let Some(credential_id) = filter.credential_id {
                query.push(" AND metadata ->> 'credentialId' = ").push_bind(credential_id.to_string());
            }
            if let Some(actor) = &filter.actor {
                query.push(" AND metadata ->> 'actor' = ").push_bind(actor.clone());
            }
            if let Some(action) = filter.action {
                query.push(" AND action = ").push_bind(action);
            }
            if let Some(outcome) = filter.outcome {
                query.push(" AND outcome = ").push_bind(outcome);
            }
            if let Some(from) = filter.from {
                query.push(" AND timestamp >= ").push_bind(from);
            }
            if let Some(to) = filter.to {
                query.push(" AND timestamp <= ").push_bind(to);
            }
        };
        self.watch.again("audit.list", || self.page_of::<AuditRow, _>(&EVENTS, &matching, page)).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64> {
        let work = || async {
            // The table's trigger lets go only of what is older than this.
            sqlx::query("UPDATE audit_retention SET keep_from = $1 WHERE keep_from < $1")
                .bind(before)
                .execute(&self.write)
                .await?;
            let mut pruned = 0;
            loop {
                let chunk = prune_chunk(&self.write, before).await?;
                pruned += chunk;
                if chunk < PRUNE_CHUNK {
                    return Ok(pruned);
                }
            }
        };
        self.watch.again("audit.prune", work).await
    }
}

/// Appends an event in the transaction of the change that it records.
pub(super) async fn append(connection: &mut Connection, event: &AuditEvent) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO audit_events (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(Id(event.event_id))
    .bind(event.agent_id.map(Id))
    .bind(event.action)
    .bind(event.outcome)
    .bind(&event.ip_address)
    .bind(&event.user_agent)
    .bind(Json(event.metadata.to_value()))
    .bind(event.timestamp)
    .execute(connection)
    .await?;
    Ok(())
}

async fn prune_chunk(pool: &Pool<Db>, before: Timestamp) -> sqlx::Result<u64> {
    let pruned = sqlx::query(
        "DELETE FROM audit_events WHERE event_id IN (SELECT event_id FROM audit_events WHERE timestamp < $1 LIMIT $2)",
    )
    .bind(before)
    .bind(PRUNE_CHUNK.cast_signed())
    .execute(pool)
    .await?;
    Ok(pruned.rows_affected())
}
