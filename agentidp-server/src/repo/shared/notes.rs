//! What the lifecycle has noted of credentials, in the two tables that releases before it share: `open_writes` and `purge_debts`.

use std::time::{Duration, SystemTime};

use agentidp_secrets::StoredSecret;
use agentidp_secrets::lifecycle::{Debt, DebtKind, Note, OpenWrite, OpenWriteKind, Revision, SecretDigest};
use sqlx::FromRow;
use uuid::Uuid;

use super::{Connection, FOR_UPDATE, old_jobs};
use crate::domain::{SecretColumns, Timestamp};
use crate::repo::columns::Id;

/// No lease and no claim lasts longer. One that ends later was made by a wrong clock, and is over.
const LONGEST_LEASE: Duration = Duration::from_secs(1800);

#[derive(FromRow)]
struct OpenWriteRow {
    kind: String,
    vault_path: String,
    base: i64,
    attempt: Id,
    digests: String,
    lease_until: Timestamp,
}

#[derive(FromRow)]
struct DebtRow {
    vault_path: String,
    kind: String,
    due_at: Timestamp,
    attempts: i64,
    deletions: i64,
    claimed_until: Option<Timestamp>,
}

impl OpenWriteRow {
    fn into_open_write(self) -> sqlx::Result<OpenWrite> {
        Ok(OpenWrite {
            kind: OpenWriteKind::parse(&self.kind).ok_or_else(|| unknown("open_writes.kind"))?,
            place: place(&self.vault_path)?,
            base: self.base.unsigned_abs(),
            attempt: Revision::from_bytes(self.attempt.0.into_bytes()),
            digests: self.digests.split_whitespace().map(SecretDigest::parse).collect(),
            lease_until: self.lease_until.into(),
        })
    }
}

impl DebtRow {
    fn into_debt(self) -> sqlx::Result<Debt> {
        Ok(Debt {
            place: place(&self.vault_path)?,
            kind: DebtKind::parse(&self.kind).ok_or_else(|| unknown("purge_debts.kind"))?,
            due: self.due_at.into(),
            claimed_until: self.claimed_until.map(SystemTime::from),
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            deletions: u32::try_from(self.deletions).unwrap_or(u32::MAX),
        })
    }
}

/// Reads and locks the notes of a credential.
pub(super) async fn lock(connection: &mut Connection, credential_id: Uuid) -> sqlx::Result<Option<Note>> {
    let open = format!(
        "SELECT kind, vault_path, base, attempt, digests, lease_until FROM open_writes WHERE credential_id = $1{FOR_UPDATE}"
    );
    let debts = format!(
        "SELECT vault_path, kind, due_at, attempts, deletions, claimed_until FROM purge_debts WHERE credential_id = $1 \
         ORDER BY vault_path{FOR_UPDATE}"
    );
    let open: Option<OpenWriteRow> =
        sqlx::query_as(sqlx::AssertSqlSafe(open)).bind(Id(credential_id)).fetch_optional(&mut *connection).await?;
    let debts: Vec<DebtRow> =
        sqlx::query_as(sqlx::AssertSqlSafe(debts)).bind(Id(credential_id)).fetch_all(&mut *connection).await?;
    let mut note = Note {
        open: open.map(OpenWriteRow::into_open_write).transpose()?,
        debts: debts.into_iter().map(DebtRow::into_debt).collect::<sqlx::Result<_>>()?,
    };
    // A server of an older release may be moving the credential to a place that is to be blanked: it holds that debt.
    for debt in note.debts.iter_mut().filter(|debt| debt.kind == DebtKind::Blank) {
        if let Some(until) = old_jobs::held_until(&mut *connection, credential_id, debt.place.payload()).await? {
            debt.claimed_until = Some(until.into());
        }
    }
    Ok(Some(note).filter(|note| !note.is_empty()))
}

/// Keeps the notes of a credential in place of what there is. The caller has locked it.
pub(super) async fn keep(
    connection: &mut Connection,
    client_id: Uuid,
    credential_id: Uuid,
    note: &Note,
    now: Timestamp,
) -> sqlx::Result<()> {
    match &note.open {
        Some(open) => {
            old_jobs::hold_off(connection, credential_id, open, now).await?;
            keep_open(connection, client_id, credential_id, open).await?;
        }
        None => delete(connection, "DELETE FROM open_writes WHERE credential_id = $1", credential_id).await?,
    }
    delete(connection, "DELETE FROM purge_debts WHERE credential_id = $1", credential_id).await?;
    // A digest of a backend that this server was not given is no place, and goes with its row.
    for debt in note.debts.iter().filter(|debt| SecretColumns::is_path(&debt.place)) {
        sqlx::query(
            "INSERT INTO purge_debts (credential_id, client_id, vault_path, kind, due_at, attempts, deletions, \
             claimed_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(Id(credential_id))
        .bind(Id(client_id))
        .bind(debt.place.payload())
        .bind(debt.kind.as_str())
        .bind(Timestamp::from(debt.due))
        .bind(i64::from(debt.attempts))
        .bind(i64::from(debt.deletions))
        .bind(debt.claimed_until.map(Timestamp::from))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn keep_open(
    connection: &mut Connection,
    client_id: Uuid,
    credential_id: Uuid,
    open: &OpenWrite,
) -> sqlx::Result<()> {
    let digests: Vec<_> = open.digests.iter().map(SecretDigest::as_str).collect();
    sqlx::query(
        "INSERT INTO open_writes (credential_id, client_id, kind, vault_path, base, attempt, digests, lease_until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (credential_id) DO UPDATE SET kind = excluded.kind, \
         vault_path = excluded.vault_path, base = excluded.base, attempt = excluded.attempt, \
         digests = excluded.digests, lease_until = excluded.lease_until",
    )
    .bind(Id(credential_id))
    .bind(Id(client_id))
    .bind(open.kind.as_str())
    .bind(open.place.payload())
    .bind(i64::try_from(open.base).unwrap_or(i64::MAX))
    .bind(Id(Uuid::from_bytes(open.attempt.to_bytes())))
    .bind(digests.join(" "))
    .bind(Timestamp::from(open.lease_until))
    .execute(connection)
    .await?;
    Ok(())
}

async fn delete(connection: &mut Connection, statement: &'static str, credential_id: Uuid) -> sqlx::Result<()> {
    sqlx::query(statement).bind(Id(credential_id)).execute(connection).await.map(drop)
}

/// Credentials with a debt that is due, or a write whose holder is gone: a new credential's, a repair's, and any of a credential
/// that a server of an older release, or SQL by hand, has ended. A write of a new one that was given up only says what may be deleted, as
/// its debt asks; and a repair that failed waits as long as the place's.
pub(super) async fn due(connection: &mut Connection, now: Timestamp, limit: u32) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    let due: Vec<(Id, Id)> = sqlx::query_as(
        "SELECT client_id, credential_id FROM (\
         SELECT client_id, credential_id, due_at FROM purge_debts d WHERE (kind <> 'rest' AND (due_at <= $1 OR claimed_until > $2)) \
         OR (kind <> 'delete' AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.credential_id = d.credential_id \
         AND c.status = 'active')) \
         UNION ALL SELECT client_id, credential_id, lease_until FROM open_writes w WHERE (lease_until <= $1 OR lease_until > $2) \
         AND (digests LIKE '%current:%' OR NOT EXISTS (SELECT 1 FROM credentials c \
         WHERE c.credential_id = w.credential_id AND c.status = 'active')) \
         AND NOT EXISTS (SELECT 1 FROM purge_debts o WHERE o.credential_id = w.credential_id AND o.vault_path = w.vault_path \
         AND (w.kind = 'create' OR o.kind = 'rest' AND o.due_at > $1))) due \
         GROUP BY client_id, credential_id ORDER BY min(due_at), credential_id LIMIT $3",
    )
    .bind(now)
    .bind(now.plus(LONGEST_LEASE))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    Ok(due.into_iter().map(|(client, credential)| (client.0, credential.0)).collect())
}

pub(super) async fn pending(connection: &mut Connection) -> sqlx::Result<u64> {
    let pending: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM purge_debts WHERE kind <> 'rest' AND deletions = 0) \
         + (SELECT count(*) FROM purge_jobs) \
         + (SELECT count(*) FROM open_writes w WHERE kind = 'create' AND NOT EXISTS (SELECT 1 FROM purge_debts o \
         WHERE o.credential_id = w.credential_id AND o.vault_path = w.vault_path))",
    )
    .fetch_one(connection)
    .await?;
    Ok(pending.unsigned_abs())
}

/// The tables hold places in Vault only.
fn place(vault_path: &str) -> sqlx::Result<StoredSecret> {
    let columns = SecretColumns { vault_path: Some(vault_path.to_owned()), ..SecretColumns::default() };
    columns.to_record().map_err(|error| sqlx::Error::Decode(error.into()))
}

fn unknown(column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: "an unknown kind".into() }
}
