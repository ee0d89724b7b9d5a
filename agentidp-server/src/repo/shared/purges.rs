//! Vault paths to forget.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Connection, Store};
use crate::domain::{PurgeClaim, PurgeJob, Timestamp};
use crate::repo::columns::Id;
use crate::repo::rows::PurgeRow;
use crate::repo::{PurgeRepo, Result};

#[async_trait]
impl PurgeRepo for Store {
    async fn schedule(&self, job: &PurgeJob) -> Result<()> {
        let work = || async {
            let mut connection = self.write.acquire().await?;
            schedule(&mut connection, job).await
        };
        self.watch.again("purges.schedule", work).await
    }

    async fn intend(&self, job: &PurgeJob, now: Timestamp) -> Result<bool> {
        let work = || async {
            let scheduled = sqlx::query(
                "INSERT INTO purge_jobs (credential_id, client_id, vault_path, due_at, attempts) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (credential_id) DO UPDATE \
                 SET vault_path = excluded.vault_path, due_at = excluded.due_at, claimed_until = NULL \
                 WHERE purge_jobs.claimed_until IS NULL OR purge_jobs.claimed_until <= $6",
            )
            .bind(Id(job.credential_id))
            .bind(Id(job.client_id))
            .bind(&job.vault_path)
            .bind(job.due_at)
            .bind(i64::from(job.attempts))
            .bind(now)
            .execute(&self.write)
            .await?;
            Ok(scheduled.rows_affected() == 1)
        };
        self.watch.again("purges.intend", work).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<PurgeJob>> {
        let work = || async {
            // Its commit did come, by a way that did not drop the job.
            sqlx::query(
                "DELETE FROM purge_jobs WHERE due_at <= $1 AND EXISTS (SELECT 1 FROM credentials c \
                 WHERE c.credential_id = purge_jobs.credential_id AND c.vault_path = purge_jobs.vault_path \
                 AND c.status = 'active')",
            )
            .bind(now)
            .execute(&self.write)
            .await?;
            let rows: Vec<PurgeRow> = sqlx::query_as(
                "SELECT credential_id, client_id, vault_path, due_at, attempts FROM purge_jobs \
                 WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1) \
                 ORDER BY due_at, credential_id LIMIT $2",
            )
            .bind(now)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
            Ok(rows.into_iter().map(Into::into).collect())
        };
        self.watch.again("purges.due", work).await
    }

    async fn claim(&self, job: &PurgeJob, now: Timestamp, until: Timestamp) -> Result<Option<PurgeClaim>> {
        // Done twice it finds its own claim and is in vain: the job is done when that has ended.
        let work = || async {
            let claimed = sqlx::query(
                "UPDATE purge_jobs SET claimed_until = $4, due_at = $4 \
                 WHERE credential_id = $1 AND vault_path = $2 AND due_at <= $3 \
                 AND (claimed_until IS NULL OR claimed_until <= $3) AND NOT EXISTS (SELECT 1 FROM credentials c \
                 WHERE c.credential_id = $1 AND c.vault_path = $2 AND c.status = 'active')",
            )
            .bind(Id(job.credential_id))
            .bind(&job.vault_path)
            .bind(now)
            .bind(until)
            .execute(&self.write)
            .await?;
            Ok((claimed.rows_affected() == 1).then_some(PurgeClaim { credential_id: job.credential_id, until }))
        };
        self.watch.again("purges.claim", work).await
    }

    async fn done(&self, claim: PurgeClaim) -> Result<()> {
        // The claim has set the due time: another one means that the job was scheduled again meanwhile.
        let statements = [
            "DELETE FROM purge_jobs WHERE credential_id = $1 AND claimed_until = $2 AND due_at = $2",
            "UPDATE purge_jobs SET claimed_until = NULL WHERE credential_id = $1 AND claimed_until = $2",
        ];
        let work = || async {
            for statement in statements {
                sqlx::query(statement).bind(Id(claim.credential_id)).bind(claim.until).execute(&self.write).await?;
            }
            Ok(())
        };
        self.watch.again("purges.done", work).await
    }

    async fn failed(&self, claim: PurgeClaim, next: Timestamp) -> Result<()> {
        let work = || async {
            sqlx::query(
                "UPDATE purge_jobs SET due_at = $3, attempts = attempts + 1, claimed_until = NULL \
                 WHERE credential_id = $1 AND claimed_until = $2",
            )
            .bind(Id(claim.credential_id))
            .bind(claim.until)
            .bind(next)
            .execute(&self.write)
            .await
            .map(drop)
        };
        self.watch.again("purges.failed", work).await
    }

    async fn pending(&self) -> Result<u64> {
        let work = || async {
            let pending: i64 = sqlx::query_scalar("SELECT count(*) FROM purge_jobs").fetch_one(&self.read).await?;
            Ok(pending.unsigned_abs())
        };
        self.watch.again("purges.pending", work).await
    }
}

/// Schedules a job; one that the credential has already takes its due time.
pub(super) async fn schedule(connection: &mut Connection, job: &PurgeJob) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO purge_jobs (credential_id, client_id, vault_path, due_at, attempts) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (credential_id) DO UPDATE SET vault_path = excluded.vault_path, due_at = excluded.due_at",
    )
    .bind(Id(job.credential_id))
    .bind(Id(job.client_id))
    .bind(&job.vault_path)
    .bind(job.due_at)
    .bind(i64::from(job.attempts))
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes away the intent of a path that is about to count; says whether it was there and unclaimed.
pub(super) async fn redeem_intent(
    connection: &mut Connection,
    credential_id: Uuid,
    vault_path: &str,
) -> sqlx::Result<bool> {
    let redeemed =
        sqlx::query("DELETE FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2 AND claimed_until IS NULL")
            .bind(Id(credential_id))
            .bind(vault_path)
            .execute(connection)
            .await?;
    Ok(redeemed.rows_affected() == 1)
}
