//! When secrets were last proved, written once and compiled for each database, as `shared` is.

#![cfg_attr(
    all(feature = "postgres", feature = "sqlite"),
    expect(clippy::duplicate_mod, reason = "compiled for each database")
)]

use std::time::SystemTime;

use agentidp_secrets::CredentialKey;
use agentidp_secrets::lifecycle::{Usage, UsageLedger, Use};
use async_trait::async_trait;

use super::{Own, Tx};
use crate::Error;
use crate::columns::{millis, time};

#[async_trait]
impl UsageLedger for Own {
    async fn note_uses(&self, uses: &[Use]) -> Result<(), Error> {
        // What was the current secret before `since` is the previous one now, and what was the previous one is no more.
        let note = concat!(
            "INSERT INTO agentidp_usage AS u (client_id, credential_id, last_used_at, previous_last_used_at) ",
            uses!(),
            " ON CONFLICT (client_id, credential_id) DO UPDATE SET last_used_at = nullif(",
            greatest!(),
            "(coalesce(u.last_used_at, 0), CASE WHEN excluded.last_used_at > coalesce(u.since, 0) \
             THEN excluded.last_used_at ELSE 0 END), 0), previous_last_used_at = nullif(",
            greatest!(),
            "(coalesce(u.previous_last_used_at, 0), CASE WHEN excluded.last_used_at <= coalesce(u.since, 0) \
             THEN excluded.last_used_at ELSE 0 END, CASE WHEN excluded.previous_last_used_at > coalesce(u.since, 0) \
             THEN excluded.previous_last_used_at ELSE 0 END), 0)"
        );
        let uses = uses.iter().map(|used| {
            let key = (used.key.client_id().as_str(), used.key.credential_id().as_str());
            (key.0, key.1, used.current.map(millis), used.previous.map(millis))
        });
        let uses = serde_json::to_string(&uses.collect::<Vec<_>>()).map_err(|_| Error::Unreadable("usage"))?;
        sqlx::query(note).bind(uses).execute(&self.pool).await?;
        Ok(())
    }

    async fn rotate_usage(&self, tx: &mut Tx, key: &CredentialKey, now: SystemTime) -> Result<(), Error> {
        let rotate = "INSERT INTO agentidp_usage AS u (client_id, credential_id, since) VALUES ($1, $2, $3) \
                      ON CONFLICT (client_id, credential_id) DO UPDATE SET previous_last_used_at = u.last_used_at, \
                      last_used_at = NULL, since = excluded.since";
        let rotate = sqlx::query(rotate).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
        rotate.bind(millis(now)).execute(&mut **tx).await?;
        Ok(())
    }

    async fn usage(&self, key: &CredentialKey) -> Result<Usage, Error> {
        let usage = "SELECT last_used_at, previous_last_used_at, since FROM agentidp_usage \
                     WHERE client_id = $1 AND credential_id = $2";
        let usage = sqlx::query_as(usage).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
        let found: Option<(Option<i64>, Option<i64>, Option<i64>)> = usage.fetch_optional(&self.pool).await?;
        let [last_used_at, previous_last_used_at, since] =
            found.map_or([None; 3], |(last, previous, since)| [last, previous, since].map(|at| at.map(time)));
        Ok(Usage { last_used_at, previous_last_used_at, since })
    }
}
