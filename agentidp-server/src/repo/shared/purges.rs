//! Vault paths to forget.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Connection, Store};
use crate::domain::{PurgeJob, Timestamp};
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
                 WHERE due_at <= $1 ORDER BY due_at, credential_id LIMIT $2",
            )
            .bind(now)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
            Ok(rows.into_iter().map(Into::into).collect())
        };
        self.watch.again("purges.due", work).await
    }

    async fn done(&self, credential_id: Uuid) -> Result<()> {
        let work = || async {
            let mut connection = self.write.acquire().await?;
            drop_job(&mut connection, credential_id).await
        };
        self.watch.again("purges.done", work).await
    }

    async fn failed(&self, credential_id: Uuid, next: Timestamp) -> Result<()> {
        // Done twice it counts an attempt too many, which only makes the next pause longer.
        let work = || async {
            sqlx::query("UPDATE purge_jobs SET due_at = $2, attempts = attempts + 1 WHERE credential_id = $1")
                .bind(Id(credential_id))
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

pub(super) async fn drop_job(connection: &mut Connection, credential_id: Uuid) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM purge_jobs WHERE credential_id = $1").bind(Id(credential_id)).execute(connection).await?;
    Ok(())
}
