//! When secrets were last proved: all that `with_usage` needs of the database.

use std::collections::HashMap;
use std::time::SystemTime;

use agentidp_secrets::CredentialKey;
use agentidp_secrets::lifecycle::{Usage, UsageLedger, Use};
use async_trait::async_trait;
use sqlx::types::time::OffsetDateTime;

use crate::error::Result;
use crate::ledger::{AgentLedger, Tx, ids};

type At = Option<OffsetDateTime>;

#[async_trait]
impl UsageLedger for AgentLedger {
    async fn note_uses(&self, uses: &[Use]) -> Result<()> {
        let ids = uses.iter().map(|used| Ok(ids(&used.key)?.1)).collect::<Result<Vec<_>>>()?;
        let times = |of: fn(&Use) -> Option<SystemTime>| -> Vec<At> {
            uses.iter().map(|used| of(used).map(OffsetDateTime::from)).collect()
        };
        // What was current until `since` is the previous secret now. `greatest` passes over NULL.
        let note = "INSERT INTO credential_usage AS u (credential_id, last_used_at, previous_last_used_at) \
                    SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) \
                    ON CONFLICT (credential_id) DO UPDATE SET \
                    last_used_at = greatest(u.last_used_at, CASE WHEN u.since IS NULL OR excluded.last_used_at > u.since \
                    THEN excluded.last_used_at END), \
                    previous_last_used_at = greatest(u.previous_last_used_at, CASE WHEN excluded.last_used_at <= u.since \
                    THEN excluded.last_used_at END, CASE WHEN u.since IS NULL OR excluded.previous_last_used_at >= u.since \
                    THEN excluded.previous_last_used_at END)";
        let (current, previous) = (times(|used| used.current), times(|used| used.previous));
        sqlx::query(note).bind(ids).bind(current).bind(previous).execute(&self.0).await?;
        Ok(())
    }

    async fn rotate_usage(&self, tx: &mut Tx, key: &CredentialKey, now: SystemTime) -> Result<()> {
        let rotate = "INSERT INTO credential_usage AS u (credential_id, since) VALUES ($1, $2) \
                      ON CONFLICT (credential_id) DO UPDATE SET previous_last_used_at = u.last_used_at, \
                      last_used_at = NULL, since = excluded.since";
        sqlx::query(rotate).bind(ids(key)?.1).bind(OffsetDateTime::from(now)).execute(&mut **tx).await?;
        Ok(())
    }

    async fn usages(&self, keys: &[CredentialKey]) -> Result<Vec<Usage>> {
        let ids = keys.iter().map(|key| Ok(ids(key)?.1)).collect::<Result<Vec<_>>>()?;
        let usages = "SELECT credential_id, last_used_at, previous_last_used_at, since FROM credential_usage \
                      WHERE credential_id = ANY($1)";
        let found: Vec<(i64, At, At, At)> = sqlx::query_as(usages).bind(&ids).fetch_all(&self.0).await?;
        let usage = |(id, last, previous, since): (i64, At, At, At)| {
            let [last_used_at, previous_last_used_at, since] =
                [last, previous, since].map(|at| at.map(SystemTime::from));
            (id, Usage { last_used_at, previous_last_used_at, since })
        };
        let found: HashMap<_, _> = found.into_iter().map(usage).collect();
        Ok(ids.iter().map(|id| found.get(id).copied().unwrap_or_default()).collect())
    }
}
