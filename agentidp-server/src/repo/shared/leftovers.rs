//! What crashes and servers of an older release leave, which becomes jobs here.

use super::open_writes::{LONGEST_LEASE, OLD_CLAIM_MARGIN};
use super::{Connection, purges};
use crate::domain::{PurgeJob, Timestamp};
use crate::repo::columns::Id;

/// Jobs of servers of an older release that are due and not claimed. They delete places that can come back: of a credential
/// that counts elsewhere the place is only kept in mind.
pub(super) async fn take_over_old_jobs(connection: &mut Connection, now: Timestamp) -> sqlx::Result<()> {
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

/// New credentials whose server died before the commit: their ids are never used again. With them whatever else is kept in mind
/// of credentials that have ended, where a server of an older release or an operator's SQL ended them.
pub(super) async fn give_up_unfinished(connection: &mut Connection, now: Timestamp) -> sqlx::Result<()> {
    let dead: Vec<(Id, Id, String)> = sqlx::query_as(
        "DELETE FROM open_writes WHERE (lease_until <= $1 OR lease_until > $2) AND NOT EXISTS (SELECT 1 \
         FROM credentials c WHERE c.credential_id = open_writes.credential_id AND c.status = 'active') \
         RETURNING credential_id, client_id, vault_path",
    )
    .bind(now)
    .bind(now.plus(LONGEST_LEASE))
    .fetch_all(&mut *connection)
    .await?;
    for (Id(credential_id), Id(client_id), vault_path) in dead {
        purges::schedule(connection, &PurgeJob::delete(client_id, credential_id, vault_path, now)).await?;
    }
    sqlx::query(
        "UPDATE purge_debts SET kind = 'delete', due_at = $1, deletions = 0 WHERE kind <> 'delete' \
         AND claimed_until IS NULL AND NOT EXISTS (SELECT 1 FROM credentials c \
         WHERE c.credential_id = purge_debts.credential_id AND c.status = 'active')",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
