//! Getting along with servers of a release that knows `purge_jobs` only: a job there may delete the place of a credential that
//! moves in.

use std::time::Duration;

use agentidp_secrets::lifecycle::OpenWrite;
use uuid::Uuid;

use super::Connection;
use crate::domain::Timestamp;
use crate::repo::columns::Id;

/// How long a claim of such a server counts after its end: its DELETE may reach Vault late.
const CLAIM_MARGIN: Duration = Duration::from_secs(120);

/// How long such a server waits for the commit of a write before it deletes the place.
const INTENT_LIFE: Duration = Duration::from_secs(600);

/// Keeps such servers from deleting the place while `open` writes there. Every job that they make from now on is due only later,
/// and the commit voids it.
///
/// # Errors
/// While one of them holds a claim.
pub(super) async fn hold_off(
    connection: &mut Connection,
    credential_id: Uuid,
    open: &OpenWrite,
    now: Timestamp,
) -> sqlx::Result<()> {
    let path = open.place.payload();
    let counts = now.minus(CLAIM_MARGIN);
    sqlx::query(
        "UPDATE purge_jobs SET due_at = $3, claimed_until = NULL WHERE credential_id = $1 AND vault_path = $2 \
         AND (claimed_until IS NULL OR claimed_until <= $4)",
    )
    .bind(Id(credential_id))
    .bind(path)
    .bind(now.plus(INTENT_LIFE))
    .bind(counts)
    .execute(&mut *connection)
    .await?;
    let claimed =
        sqlx::query("SELECT 1 FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2 AND claimed_until > $3")
            .bind(Id(credential_id))
            .bind(path)
            .bind(counts)
            .fetch_optional(connection)
            .await?;
    refuse_while(claimed.is_some())
}

/// Drops a job at a place that is about to count.
///
/// # Errors
/// While such a server holds a claim.
pub(super) async fn void(
    connection: &mut Connection,
    credential_id: Uuid,
    vault_path: Option<&str>,
) -> sqlx::Result<()> {
    let Some(path) = vault_path else { return Ok(()) };
    sqlx::query("DELETE FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2 AND claimed_until IS NULL")
        .bind(Id(credential_id))
        .bind(path)
        .execute(&mut *connection)
        .await?;
    refuse_while(has_job(connection, credential_id, path).await?)
}

/// Jobs that are due and not claimed become debts. They delete places that can come back: of a credential that counts elsewhere
/// the place is only kept in mind.
pub(super) async fn take_over(connection: &mut Connection, now: Timestamp) -> sqlx::Result<()> {
    let due: Vec<(Id, Id, String)> = sqlx::query_as(
        "DELETE FROM purge_jobs WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $2) \
         RETURNING credential_id, client_id, vault_path",
    )
    .bind(now)
    .bind(now.minus(CLAIM_MARGIN))
    .fetch_all(&mut *connection)
    .await?;
    for (credential_id, client_id, vault_path) in due {
        let active: Option<(Option<String>,)> =
            sqlx::query_as("SELECT vault_path FROM credentials WHERE credential_id = $1 AND status = 'active'")
                .bind(credential_id)
                .fetch_optional(&mut *connection)
                .await?;
        let kind = match active {
            Some((path,)) if path.as_deref() == Some(&vault_path) => continue,
            Some(_) => "rest",
            None => "delete",
        };
        sqlx::query(
            "INSERT INTO purge_debts (credential_id, client_id, vault_path, kind, due_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (credential_id, vault_path) DO NOTHING",
        )
        .bind(credential_id)
        .bind(client_id)
        .bind(vault_path)
        .bind(kind)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Until when such a server may be moving the credential to a place, or deleting it: it has a job there from before its write to
/// Vault until its commit.
pub(super) async fn held_until(
    connection: &mut Connection,
    credential_id: Uuid,
    path: &str,
) -> sqlx::Result<Option<Timestamp>> {
    let job: Option<(Timestamp, Option<Timestamp>)> =
        sqlx::query_as("SELECT due_at, claimed_until FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2")
            .bind(Id(credential_id))
            .bind(path)
            .fetch_optional(connection)
            .await?;
    Ok(job.map(|(due_at, claimed_until)| claimed_until.map_or(due_at, |until| until.plus(CLAIM_MARGIN).max(due_at))))
}

async fn has_job(connection: &mut Connection, credential_id: Uuid, path: &str) -> sqlx::Result<bool> {
    let job = sqlx::query("SELECT 1 FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2")
        .bind(Id(credential_id))
        .bind(path)
        .fetch_optional(connection)
        .await?;
    Ok(job.is_some())
}

/// The client is told to try again.
fn refuse_while(held: bool) -> sqlx::Result<()> {
    if held {
        return Err(sqlx::Error::Io(std::io::Error::other(
            "a server of an older release holds the place of the credential",
        )));
    }
    Ok(())
}
