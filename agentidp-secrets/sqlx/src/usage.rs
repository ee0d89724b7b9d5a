//! When secrets were last proved, written once and compiled for each database, as `shared` is.

#![cfg_attr(
    all(feature = "postgres", feature = "sqlite"),
    expect(clippy::duplicate_mod, reason = "compiled for each database")
)]

use std::collections::HashMap;
use std::time::SystemTime;

use agentidp_secrets::CredentialKey;
use agentidp_secrets::lifecycle::{Usage, UsageLedger, Use};
use async_trait::async_trait;
use serde::Serialize;

use super::{Own, Tx};
use crate::Error;
use crate::columns::{key, millis, time};

/// Of which credential, and its three times.
type UsageColumns = (String, String, Option<i64>, Option<i64>, Option<i64>);

#[async_trait]
impl UsageLedger for Own {
    async fn note_uses(&self, uses: &[Use]) -> Result<(), Error> {
        // What was the current secret before `since` is the previous one now, and what was the previous one is no more.
        let note = concat!(
            "INSERT INTO agentidp_usage AS u (client_id, credential_id, last_used_at, previous_last_used_at) \
             SELECT e.value->>0, e.value->>1, CAST(e.value->>2 AS bigint), CAST(e.value->>3 AS bigint) FROM ",
            values!(),
            " WHERE true ON CONFLICT (client_id, credential_id) DO UPDATE SET last_used_at = nullif(",
            greatest!(),
            "(coalesce(u.last_used_at, 0), CASE WHEN excluded.last_used_at > coalesce(u.since, 0) \
             THEN excluded.last_used_at ELSE 0 END), 0), previous_last_used_at = nullif(",
            greatest!(),
            "(coalesce(u.previous_last_used_at, 0), CASE WHEN excluded.last_used_at <= coalesce(u.since, 0) \
             THEN excluded.last_used_at ELSE 0 END, CASE WHEN excluded.previous_last_used_at >= coalesce(u.since, 0) \
             THEN excluded.previous_last_used_at ELSE 0 END), 0)"
        );
        let uses = uses.iter().map(|used| {
            let key = (used.key.client_id().as_str(), used.key.credential_id().as_str());
            (key.0, key.1, used.current.map(millis), used.previous.map(millis))
        });
        sqlx::query(note).bind(json(&uses.collect::<Vec<_>>())?).execute(&self.pool).await?;
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

    async fn usages(&self, keys: &[CredentialKey]) -> Result<Vec<Usage>, Error> {
        let usages = concat!(
            "SELECT u.client_id, u.credential_id, u.last_used_at, u.previous_last_used_at, u.since FROM ",
            values!(),
            " JOIN agentidp_usage u ON u.client_id = e.value->>0 AND u.credential_id = e.value->>1"
        );
        let found: Vec<UsageColumns> = sqlx::query_as(usages).bind(names(keys)?).fetch_all(&self.pool).await?;
        let usage = |columns: UsageColumns| {
            let [last_used_at, previous_last_used_at, since] = [columns.2, columns.3, columns.4].map(|at| at.map(time));
            Ok((key(&columns.0, &columns.1)?, Usage { last_used_at, previous_last_used_at, since }))
        };
        let found = found.into_iter().map(usage).collect::<Result<HashMap<_, _>, Error>>()?;
        Ok(keys.iter().map(|key| found.get(key).copied().unwrap_or_default()).collect())
    }

    async fn created(&self, keys: &[CredentialKey]) -> Result<Vec<Option<SystemTime>>, Error> {
        let created = concat!(
            "SELECT c.client_id, c.credential_id, c.created_at FROM ",
            values!(),
            " JOIN agentidp_credentials c ON c.client_id = e.value->>0 AND c.credential_id = e.value->>1"
        );
        let found: Vec<(String, String, Option<i64>)> =
            sqlx::query_as(created).bind(names(keys)?).fetch_all(&self.pool).await?;
        let found = found.into_iter().map(|(client, credential, at)| Ok((key(&client, &credential)?, at.map(time))));
        let found = found.collect::<Result<HashMap<_, _>, Error>>()?;
        Ok(keys.iter().map(|key| found.get(key).copied().flatten()).collect())
    }
}

fn names(keys: &[CredentialKey]) -> Result<String, Error> {
    let names = keys.iter().map(|key| [key.client_id().as_str(), key.credential_id().as_str()]);
    json(&names.collect::<Vec<_>>())
}

fn json(values: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(values).map_err(|_| Error::Unreadable("usage"))
}
