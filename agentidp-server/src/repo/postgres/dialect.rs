//! What the statements of `shared` need of PostgreSQL.

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgSeverity};
use sqlx::{Connection as _, PgPool};

use crate::domain::AuditEvent;
use crate::repo::Leadership;
use crate::repo::usage::note_uses;

/// The database that `shared` is compiled for here.
pub(super) type Db = sqlx::Postgres;

pub(super) const BEGIN: &str = "BEGIN";

/// Reads an agent and keeps it as it is until the transaction ends; its credentials can still be inserted.
pub(super) const LOCK_AGENT: &str = "SELECT status, updated_at FROM agents WHERE agent_id = $1 FOR NO KEY UPDATE";

/// Keeps what a select reads as it is until the transaction ends.
pub(super) const FOR_UPDATE: &str = " FOR NO KEY UPDATE";

/// Lets one registration count and insert at a time. The number is ours alone and means nothing.
pub(super) const LOCK_REGISTRATION: Option<&str> = Some("SELECT pg_advisory_xact_lock(7302119404136203)");

/// Lets one transaction at a time have the notes of a credential that has no row: there is nothing else to hold. Two ids that
/// share a number wait for each other, and no more.
pub(super) const LOCK_ABSENT: Option<&str> =
    Some("SELECT pg_advisory_xact_lock(hashtextextended($1::text, 7302119404136205))");

/// The id of the key in a keyed digest.
pub(super) const KEY_ID: &str = "split_part(split_part(secret_hash, '$keyid=', 2), '$', 1)";

/// Held by the one server that compares the rows with Vault. The number is ours alone and means nothing.
pub(super) const TRY_LEAD: &str = "SELECT pg_try_advisory_lock(7302119404136204)";

/// Whether a COMMIT that ended so may have been carried out. An error that ends the connection may come after it; and a proxy may say that it
/// does not know: 40003, and class 08.
pub(super) fn is_unknown(error: &dyn DatabaseError) -> bool {
    let error = error.downcast_ref::<PgDatabaseError>();
    let ends_connection = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    ends_connection || error.code() == "40003" || error.code().starts_with("08")
}

pub(super) const NOTE_USES: &str = note_uses!(
    "SELECT (e->>0)::uuid, (e->>1)::bigint, (e->>2)::bigint FROM jsonb_array_elements($1::jsonb) e",
    "greatest"
);

macro_rules! insert_into_events {
    ($where_there_already:literal) => {
        concat!(
            "INSERT INTO audit_events (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp) \
             SELECT event_id, agent_id, action, outcome, ip_address, user_agent, metadata::jsonb, timestamp \
             FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[]) \
             AS new (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp)",
            $where_there_already
        )
    };
}

/// Inserts events in one statement, which is its own transaction; those that are there already stay as they are. Arrays
/// instead of a list of rows, so that it is one prepared statement for any number of events.
///
/// Events are there already only when an earlier try had no answer. To look for them each time costs an eighth of PostgreSQL's work
/// on an event, so the first statement does not.
pub(super) async fn insert_events(connection: &mut PgConnection, events: &[AuditEvent]) -> sqlx::Result<()> {
    match insert(connection, insert_into_events!(""), events).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            insert(connection, insert_into_events!(" ON CONFLICT (event_id) DO NOTHING"), events).await
        }
        outcome => outcome,
    }
}

async fn insert(connection: &mut PgConnection, statement: &'static str, events: &[AuditEvent]) -> sqlx::Result<()> {
    fn each<'a, T>(events: &'a [AuditEvent], column: impl Fn(&'a AuditEvent) -> T) -> Vec<T> {
        events.iter().map(column).collect()
    }
    sqlx::query(statement)
        .bind(each(events, |event| event.event_id))
        .bind(each(events, |event| event.agent_id))
        .bind(each(events, |event| event.action.as_str()))
        .bind(each(events, |event| event.outcome.as_str()))
        .bind(each(events, |event| event.ip_address.as_str()))
        .bind(each(events, |event| event.user_agent.as_str()))
        .bind(each(events, |event| event.metadata.as_str()))
        .bind(each(events, |event| event.timestamp.to_offset()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Overwrites a row that says nothing, which takes as long as inserting one event: as many bytes as an event's row has.
pub(super) async fn overwrite(connection: &mut PgConnection, row: u8) -> sqlx::Result<()> {
    const FILLER: usize = 256;
    let write = "INSERT INTO unrecorded (id, filler) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET filler = $2";
    let write = sqlx::query(write).bind(i16::from(row)).bind(vec![row; FILLER]);
    write.execute(connection).await.map(drop)
}

/// The lock is a connection's, which leaves the pool for it. When the leader's host is gone without a word, keepalives end
/// the connection within a minute or so, and with it the lock.
pub(super) async fn lead(pool: &PgPool) -> sqlx::Result<Option<Box<dyn Leadership>>> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql("SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3")
        .execute(&mut connection)
        .await?;
    if sqlx::query_scalar(TRY_LEAD).fetch_one(&mut connection).await? {
        return Ok(Some(Box::new(Leader(connection))));
    }
    connection.close().await?;
    Ok(None)
}

struct Leader(PgConnection);

#[async_trait]
impl Leadership for Leader {
    async fn holds(&mut self) -> bool {
        sqlx::query("SELECT 1").execute(&mut self.0).await.is_ok()
    }
}
