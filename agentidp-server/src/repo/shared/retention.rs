//! The horizon up to which rows are deleted by their age.

use async_trait::async_trait;

use super::{Connection, Store};
use crate::domain::{AuditEvent, Timestamp};
use crate::repo::{Result, RetentionRepo};

#[async_trait]
impl RetentionRepo for Store {
    async fn horizon(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let work = || async {
            if let Some(horizon) = read(&mut *self.read.acquire().await?).await? {
                return Ok(Some(horizon));
            }
            let mut tx = self.begin().await?;
            let began = begin(&mut tx, now).await?;
            let horizon = read(&mut tx).await?;
            if let (true, Some(horizon)) = (began, horizon) {
                // An earlier release may have run with a clock that was ahead.
                sqlx::query("UPDATE audit_retention SET keep_from = $1 WHERE keep_from > $1")
                    .bind(horizon.minus(AuditEvent::RETENTION))
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            Ok(horizon)
        };
        self.watch.again("retention.horizon", work).await
    }

    async fn advance(&self, to: Timestamp) -> Result<Option<Timestamp>> {
        let work = || async {
            // One statement, so that of several servers the one that is ahead wins.
            sqlx::query_scalar(
                "UPDATE retention_horizon SET horizon = CASE WHEN horizon < $1 THEN $1 ELSE horizon END RETURNING horizon",
            )
            .bind(to)
            .fetch_one(&self.write)
            .await
        };
        self.watch.again("retention.advance", work).await
    }
}

async fn read(connection: &mut Connection) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar("SELECT horizon FROM retention_horizon").fetch_one(connection).await
}

/// Sets the first horizon; says whether it did. Every change leaves an event, and agents outlive their events.
async fn begin(connection: &mut Connection, now: Timestamp) -> sqlx::Result<bool> {
    let began = sqlx::query(
        "UPDATE retention_horizon SET horizon = (SELECT CASE WHEN newest < $1 THEN newest ELSE $1 END FROM \
         (SELECT max(at) AS newest FROM (SELECT max(timestamp) AS at FROM audit_events \
         UNION ALL SELECT max(revoked_at) FROM token_revocations \
         UNION ALL SELECT max(updated_at) FROM agents) AS rows_of_each) AS evidence WHERE newest IS NOT NULL) \
         WHERE horizon IS NULL",
    )
    .bind(now)
    .execute(connection)
    .await?;
    Ok(began.rows_affected() == 1)
}
