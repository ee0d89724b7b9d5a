//! Issued and revoked tokens.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Connection, Store, audit};
use crate::domain::{AgentStatus, AuditEvent, CredentialStatus, Timestamp};
use crate::repo::columns::Id;
use crate::repo::{Bearer, Result, TokenRepo};

/// The columns of a [`Bearer`], in its order.
type BearerColumns = (bool, Option<AgentStatus>, Option<i64>, Option<CredentialStatus>);

#[async_trait]
impl TokenRepo for Store {
    async fn issued(&self, client_id: Uuid, monthly_limit: Option<u64>, event: &AuditEvent) -> Result<bool> {
        let work = async {
            let mut tx = self.begin().await?;
            if let Some(limit) = monthly_limit
                && !count(&mut tx, client_id, &month(event.timestamp), limit).await?
            {
                return Ok(false);
            }
            audit::append(&mut tx, event).await?;
            tx.commit().await?;
            Ok(true)
        };
        self.watch.run("tokens.issued", work).await
    }

    async fn bearer(&self, token_id: Uuid, agent_id: Option<Uuid>, credential_id: Option<Uuid>) -> Result<Bearer> {
        let work = || async {
            let (revoked, agent_status, token_epoch, credential_status): BearerColumns = sqlx::query_as(
                "SELECT EXISTS (SELECT 1 FROM token_revocations WHERE jti = $1), \
                 (SELECT status FROM agents WHERE agent_id = $2), \
                 (SELECT token_epoch FROM agents WHERE agent_id = $2), \
                 (SELECT status FROM credentials WHERE credential_id = $3 AND client_id = $2)",
            )
            .bind(Id(token_id))
            .bind(agent_id.map(Id))
            .bind(credential_id.map(Id))
            .fetch_one(&self.read)
            .await?;
            Ok(Bearer { revoked, agent_status, token_epoch, credential_status })
        };
        self.watch.again("tokens.bearer", work).await
    }

    async fn revoke(&self, token_id: Uuid, expires_at: Timestamp, event: &AuditEvent) -> Result<()> {
        let work = async {
            let mut tx = self.begin().await?;
            let revoked = sqlx::query(
                "INSERT INTO token_revocations (jti, expires_at, revoked_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (jti) DO NOTHING",
            )
            .bind(Id(token_id))
            .bind(expires_at)
            .bind(event.timestamp)
            .execute(&mut *tx)
            .await?;
            if revoked.rows_affected() == 1 {
                audit::append(&mut tx, event).await?;
            }
            tx.commit().await
        };
        self.watch.run("tokens.revoke", work).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64> {
        let work = async {
            let mut tx = self.begin().await?;
            let revocations =
                sqlx::query("DELETE FROM token_revocations WHERE expires_at < $1").bind(now).execute(&mut *tx).await?;
            let counters =
                sqlx::query("DELETE FROM monthly_tokens WHERE month < $1").bind(month(now)).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(revocations.rows_affected() + counters.rows_affected())
        };
        self.watch.run("tokens.prune", work).await
    }
}

/// `2026-03`. Months sort as text.
fn month(at: Timestamp) -> String {
    at.to_string().chars().take("2026-03".len()).collect()
}

/// Counts one more token of the month unless there are `limit`; says whether it did. One statement, so that two servers
/// cannot both count the last one.
async fn count(connection: &mut Connection, client_id: Uuid, month: &str, limit: u64) -> sqlx::Result<bool> {
    if limit == 0 {
        return Ok(false);
    }
    let counted = sqlx::query(
        "INSERT INTO monthly_tokens (client_id, month, issued) VALUES ($1, $2, 1) ON CONFLICT (client_id, month) \
         DO UPDATE SET issued = monthly_tokens.issued + 1 WHERE monthly_tokens.issued < $3",
    )
    .bind(Id(client_id))
    .bind(month)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(counted.rows_affected() == 1)
}
