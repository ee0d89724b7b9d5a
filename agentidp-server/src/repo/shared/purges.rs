//! Places in Vault to forget.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use uuid::Uuid;

use super::open_writes::LONGEST_LEASE;
use super::{Connection, Store, leftovers};
use crate::domain::{Credential, PurgeClaim, PurgeJob, PurgeKind, Timestamp};
use crate::repo::columns::Id;
use crate::repo::rows::PurgeRow;
use crate::repo::{PurgeRepo, Result};

/// A place is deleted once more so long after each deletion. Vault ends a request after 90 s unless set; the later
/// ones catch what a proxy or a paused machine held back.
const REPEATED_AFTER: [Duration; 3] =
    [Duration::from_secs(90), Duration::from_secs(3600), Duration::from_secs(24 * 3600)];

#[async_trait]
impl PurgeRepo for Store {
    async fn schedule(&self, job: &PurgeJob) -> Result<()> {
        let work = || async {
            let mut connection = self.write.acquire().await?;
            schedule(&mut connection, job).await
        };
        self.watch.again("purges.schedule", work).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<PurgeJob>> {
        let work = || async {
            // Each in a transaction of its own: together they would lock in another order than commits do.
            let mut tx = self.begin().await?;
            leftovers::take_over_old_jobs(&mut tx, now).await?;
            tx.commit().await?;
            let mut tx = self.begin().await?;
            leftovers::give_up_unfinished(&mut tx, now).await?;
            // An active row points to the place, so the job is void.
            sqlx::query(
                "DELETE FROM purge_debts WHERE kind <> 'rest' AND due_at <= $1 AND EXISTS (SELECT 1 FROM credentials c \
                 WHERE c.credential_id = purge_debts.credential_id AND c.vault_path = purge_debts.vault_path \
                 AND c.status = 'active')",
            )
            .bind(now)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            let rows: Vec<PurgeRow> = sqlx::query_as(
                "SELECT credential_id, client_id, vault_path, kind, due_at, attempts FROM purge_debts \
                 WHERE kind <> 'rest' AND ((due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)) \
                 OR claimed_until > $2) ORDER BY due_at, credential_id LIMIT $3",
            )
            .bind(now)
            .bind(now.plus(LONGEST_LEASE))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
            Ok(rows.into_iter().map(Into::into).collect())
        };
        self.watch.again("purges.due", work).await
    }

    async fn claim(&self, job: &PurgeJob, now: Timestamp, until: Timestamp) -> Result<Option<PurgeClaim>> {
        // A repeated claim finds the first one and returns nothing; the job runs when that claim has ended.
        let work = || async {
            let claimed = sqlx::query(
                "UPDATE purge_debts SET claimed_until = $5, due_at = $5 \
                 WHERE credential_id = $1 AND vault_path = $2 AND kind = $3 \
                 AND ((due_at <= $4 AND (claimed_until IS NULL OR claimed_until <= $4)) OR claimed_until > $6) \
                 AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.credential_id = $1 AND c.status = 'active' \
                 AND (purge_debts.kind = 'delete' OR c.vault_path = $2))",
            )
            .bind(Id(job.credential_id))
            .bind(&job.vault_path)
            .bind(job.kind)
            .bind(now)
            .bind(until)
            .bind(now.plus(LONGEST_LEASE))
            .execute(&self.write)
            .await?;
            let (credential_id, vault_path) = (job.credential_id, job.vault_path.clone());
            Ok((claimed.rows_affected() == 1).then_some(PurgeClaim { credential_id, vault_path, until }))
        };
        self.watch.again("purges.claim", work).await
    }

    async fn done(&self, claim: &PurgeClaim, now: Timestamp) -> Result<()> {
        // The claim has set the due time: another one means that the job was scheduled again meanwhile.
        let last = i64::try_from(REPEATED_AFTER.len()).unwrap_or(i64::MAX);
        let [first, second, third] = REPEATED_AFTER.map(|wait| now.plus(wait));
        let work = || async {
            let mut tx = self.begin().await?;
            sqlx::query(
                "DELETE FROM purge_debts WHERE credential_id = $1 AND vault_path = $2 AND claimed_until = $3 \
                 AND due_at = $3 AND kind = 'delete' AND deletions >= $4",
            )
            .bind(Id(claim.credential_id))
            .bind(&claim.vault_path)
            .bind(claim.until)
            .bind(last)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "UPDATE purge_debts SET deletions = deletions + 1, attempts = 0, claimed_until = NULL, \
                 kind = CASE kind WHEN 'blank' THEN 'rest' ELSE kind END, \
                 due_at = CASE deletions WHEN 0 THEN $4 WHEN 1 THEN $5 ELSE $6 END \
                 WHERE credential_id = $1 AND vault_path = $2 AND claimed_until = $3 AND due_at = $3",
            )
            .bind(Id(claim.credential_id))
            .bind(&claim.vault_path)
            .bind(claim.until)
            .bind(first)
            .bind(second)
            .bind(third)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "UPDATE purge_debts SET claimed_until = NULL \
                 WHERE credential_id = $1 AND vault_path = $2 AND claimed_until = $3",
            )
            .bind(Id(claim.credential_id))
            .bind(&claim.vault_path)
            .bind(claim.until)
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        };
        self.watch.again("purges.done", work).await
    }

    async fn failed(&self, claim: &PurgeClaim, next: Timestamp) -> Result<()> {
        let work = || async {
            sqlx::query(
                "UPDATE purge_debts SET due_at = $4, attempts = attempts + 1, claimed_until = NULL \
                 WHERE credential_id = $1 AND vault_path = $2 AND claimed_until = $3",
            )
            .bind(Id(claim.credential_id))
            .bind(&claim.vault_path)
            .bind(claim.until)
            .bind(next)
            .execute(&self.write)
            .await
            .map(drop)
        };
        self.watch.again("purges.failed", work).await
    }

    async fn is_moving_in(&self, job: &PurgeJob) -> Result<bool> {
        // One statement, so one moment: its job turns into its row by one commit.
        let work = || async {
            let moving: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2) \
                 OR EXISTS (SELECT 1 FROM credentials WHERE credential_id = $1 AND vault_path = $2 AND status = 'active')",
            )
            .bind(Id(job.credential_id))
            .bind(&job.vault_path)
            .fetch_one(&self.write)
            .await?;
            Ok(moving)
        };
        self.watch.again("purges.is_moving_in", work).await
    }

    async fn pending(&self) -> Result<u64> {
        let work = || async {
            let pending: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM purge_debts WHERE kind <> 'rest' AND deletions = 0) \
                 + (SELECT count(*) FROM purge_jobs) + (SELECT count(*) FROM open_writes WHERE kind = 'create')",
            )
            .fetch_one(&self.read)
            .await?;
            Ok(pending.unsigned_abs())
        };
        self.watch.again("purges.pending", work).await
    }
}

/// Schedules a deletion; a job that the place has already takes its due time, and begins anew.
pub(super) async fn schedule(connection: &mut Connection, job: &PurgeJob) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO purge_debts (credential_id, client_id, vault_path, kind, due_at, attempts) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (credential_id, vault_path) DO UPDATE \
         SET kind = excluded.kind, due_at = excluded.due_at, deletions = 0",
    )
    .bind(Id(job.credential_id))
    .bind(Id(job.client_id))
    .bind(&job.vault_path)
    .bind(job.kind)
    .bind(job.due_at)
    .bind(i64::from(job.attempts))
    .execute(connection)
    .await?;
    Ok(())
}

/// The credential has left the place: its secrets have to be pushed out there, from now on.
pub(super) async fn owe_blank(connection: &mut Connection, left: &Credential, vault_path: &str) -> sqlx::Result<()> {
    let job = PurgeJob {
        kind: PurgeKind::Blank,
        ..PurgeJob::delete(left.client_id, left.credential_id, vault_path.to_owned(), long_ago())
    };
    schedule(connection, &job).await
}

/// Something may lie at the place, to be deleted when the credential ends.
pub(super) async fn keep_in_mind(
    connection: &mut Connection,
    client_id: Uuid,
    credential_id: Uuid,
    vault_path: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO purge_debts (credential_id, client_id, vault_path, kind, due_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (credential_id, vault_path) DO NOTHING",
    )
    .bind(Id(credential_id))
    .bind(Id(client_id))
    .bind(vault_path)
    .bind(PurgeKind::Rest)
    .bind(long_ago())
    .execute(connection)
    .await?;
    Ok(())
}

/// The credential has ended: all of its places are to be deleted.
pub(super) async fn delete_all(
    connection: &mut Connection,
    credential_id: Uuid,
    now: Timestamp,
) -> sqlx::Result<Vec<PurgeJob>> {
    let owed: Vec<PurgeRow> = sqlx::query_as(
        "UPDATE purge_debts SET kind = 'delete', due_at = $2, deletions = 0 WHERE credential_id = $1 \
         RETURNING credential_id, client_id, vault_path, kind, due_at, attempts",
    )
    .bind(Id(credential_id))
    .bind(now)
    .fetch_all(connection)
    .await?;
    Ok(owed.into_iter().map(Into::into).collect())
}

/// Drops what is owed at a place that is about to count; says whether that can be. It cannot while a server of an older
/// release holds a claim to delete it.
pub(super) async fn void(connection: &mut Connection, credential_id: Uuid, vault_path: &str) -> sqlx::Result<bool> {
    let statements = [
        // In the order in which the other transactions lock them.
        "DELETE FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2 AND claimed_until IS NULL",
        "DELETE FROM purge_debts WHERE credential_id = $1 AND vault_path = $2",
    ];
    for statement in statements {
        sqlx::query(statement).bind(Id(credential_id)).bind(vault_path).execute(&mut *connection).await?;
    }
    let claimed = sqlx::query("SELECT 1 FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2")
        .bind(Id(credential_id))
        .bind(vault_path)
        .fetch_optional(connection)
        .await?;
    Ok(claimed.is_none())
}

/// Due at once.
fn long_ago() -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH)
}
