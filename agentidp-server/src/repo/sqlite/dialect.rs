//! What the statements of `shared` need of SQLite.

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, SqlitePool};

use crate::domain::AuditEvent;
use crate::repo::Leadership;
use crate::repo::columns::Id;
use crate::repo::usage::note_uses;

/// The database that `shared` is compiled for here.
pub(super) type Db = sqlx::Sqlite;

/// Takes the write lock at once: a transaction that reads first and asks for it later could be refused it.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// A transaction that writes is alone here.
pub(super) const FOR_UPDATE: &str = "";

/// Reads an agent, which nobody else can change until the transaction ends.
pub(super) const LOCK_AGENT: &str = "SELECT status, updated_at FROM agents WHERE agent_id = $1";

/// Every write transaction is alone.
pub(super) const LOCK_REGISTRATION: Option<&str> = None;

/// Every write transaction is alone.
pub(super) const LOCK_ABSENT: Option<&str> = None;

/// Whether a COMMIT that ended so may have been carried out: the disk has failed (SQLITE_IOERR), and what it has of the commit may count
/// after a crash.
pub(super) fn is_unknown(error: &dyn DatabaseError) -> bool {
    const IO_ERROR: u32 = 10;
    // The lowest byte of an extended code (<https://www.sqlite.org/rescode.html>).
    error.code().and_then(|code| code.parse::<u32>().ok()).is_none_or(|code| code & 0xff == IO_ERROR)
}

/// The id of the key in a keyed digest. The `$` behind it is there in every one.
pub(super) const KEY_ID: &str = "substr(secret_hash, instr(secret_hash, '$keyid=') + 7, \
     instr(substr(secret_hash, instr(secret_hash, '$keyid=') + 7), '$') - 1)";

pub(super) const NOTE_USES: &str =
    note_uses!("SELECT value->>0, value->>1, value->>2 FROM json_each($1) WHERE true", "max");

/// Inserts events in one statement, which is its own transaction; those that are there already stay as they are. At eight
/// values each, 4000 events are as many as a statement takes.
pub(super) async fn insert_events(connection: &mut SqliteConnection, events: &[AuditEvent]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Db>::new(
        "INSERT INTO audit_events (event_id, agent_id, action, outcome, ip_address, user_agent, metadata, timestamp) ",
    );
    insert.push_values(events, |mut row, event| {
        row.push_bind(Id(event.event_id))
            .push_bind(event.agent_id.map(Id))
            .push_bind(event.action)
            .push_bind(event.outcome)
            .push_bind(event.ip_address.as_str())
            .push_bind(event.user_agent.as_str())
            .push_bind(event.metadata.as_str())
            .push_bind(event.timestamp);
    });
    insert.push(" ON CONFLICT (event_id) DO NOTHING");
    // One text for each number of events: not worth to be kept.
    insert.build().persistent(false).execute(connection).await?;
    Ok(())
}

/// Overwrites a row that says nothing, which takes nearly as long as inserting one event: one commit.
pub(super) async fn overwrite(connection: &mut SqliteConnection, row: u8) -> sqlx::Result<()> {
    const FILLER: usize = 256;
    let write = "INSERT INTO unrecorded (id, filler) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET filler = $2";
    let write = sqlx::query(write).bind(i16::from(row)).bind(vec![row; FILLER]);
    write.persistent(false).execute(connection).await.map(drop)
}

/// The file is one server's.
pub(super) async fn lead(_pool: &SqlitePool) -> sqlx::Result<Option<Box<dyn Leadership>>> {
    Ok(Some(Box::new(Alone)))
}

struct Alone;

#[async_trait]
impl Leadership for Alone {
    async fn holds(&mut self) -> bool {
        true
    }
}
