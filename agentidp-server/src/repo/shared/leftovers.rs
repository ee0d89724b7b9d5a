//! What crashes and servers of an older release leave, which becomes jobs here.

use std::time::Duration;

use super::open_writes::OLD_CLAIM_MARGIN;
use super::{Connection, purges};
use crate::domain::{PurgeJob, Timestamp};
use crate::repo::columns::Id;

/// Turns all of it into jobs, as far as its time has come. No lease lasts longer than `longest`.
pub(super) async fn take_over(connection: &mut Connection, now: Timestamp, longest: Duration) -> sqlx::Result<()> {
    // In the order in which a commit locks the tables.
    give_up_unfinished(connection, now, longest).await?;
    delete_what_ended(connection, now).await?;
    take_over_old_jobs(connection, now).await
}

/// New credentials whose server died before the commit: their ids are never used again. And writes to credentials that have
/// ended: an older release ends them without a look at their open writes.
async fn give_up_unfinished(connection: &mut Connection, now: Timestamp, longest: Duration) -> sqlx::Result<()> {
    let dead: Vec<(Id, Id, String)> = sqlx::query_as(
        "DELETE FROM open_writes WHERE (lease_until <= $1 OR lease_until > $2) AND (kind = 'create' OR EXISTS \
         (SELECT 1 FROM credentials c WHERE c.credential_id = open_writes.credential_id AND c.status = 'revoked')) \
         RETURNING credential_id, client_id, vault_path",
    )
    .bind(now)
    .bind(now.plus(longest))
    .fetch_all(&mut *connection)
    .await?;
    for (Id(credential_id), Id(client_id), vault_path) in dead {
        purges::schedule(connection, &PurgeJob::delete(client_id, credential_id, vault_path, now)).await?;
    }
    Ok(())
}

/// Places that an ended credential had left: an older release ends it without a look at what is owed there.
async fn delete_what_ended(connection: &mut Connection, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE purge_debts SET kind = 'delete', due_at = $1, deletions = 0 WHERE kind <> 'delete' AND EXISTS \
         (SELECT 1 FROM credentials c WHERE c.credential_id = purge_debts.credential_id AND c.status = 'revoked')",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Jobs of servers of an older release that are due and not claimed. They delete places that can come back: of a credential
/// that counts elsewhere the place is only kept in mind.
async fn take_over_old_jobs(connection: &mut Connection, now: Timestamp) -> sqlx::Result<()> {
    let due: Vec<(Id, Id, String)> = sqlx::query_as(
        "DELETE FROM purge_jobs WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $2) \
         RETURNING credential_id, client_id, vault_path",
    )
    .bind(now)
    .bind(now.minus(OLD_CLAIM_MARGIN))
    .fetch_all(&mut *connection)
    .await?;
    for (Id(credential_id), Id(client_id), vault_path) in due {
        let active: Option<(Option<String>,)> =
            sqlx::query_as("SELECT vault_path FROM credentials WHERE credential_id = $1 AND status = 'active'")
                .bind(Id(credential_id))
                .fetch_optional(&mut *connection)
                .await?;
        match active {
            Some((path,)) if path.as_deref() == Some(&vault_path) => {}
            Some(_) => purges::keep_in_mind(connection, client_id, credential_id, &vault_path).await?,
            None => purges::schedule(connection, &PurgeJob::delete(client_id, credential_id, vault_path, now)).await?,
        }
    }
    Ok(())
}
