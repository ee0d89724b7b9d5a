//! Requests that may come again.

use async_trait::async_trait;
use sqlx::FromRow;

use super::{Connection, Store};
use crate::domain::idempotency::{Carried, Claim, record_sha256};
use crate::domain::{Credential, Timestamp};
use crate::repo::columns::Id;
use crate::repo::{Claimed, IdempotencyRepo, Result};

/// How often a key is looked at that others take and give back meanwhile.
const LOOKS: usize = 3;

#[async_trait]
impl IdempotencyRepo for Store {
    async fn claim(&self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
        // Done twice, it finds its own.
        let work = || async {
            let mut connection = self.write.acquire().await?;
            for _ in 0..LOOKS {
                if take(&mut connection, claim, now).await? {
                    return Ok(Claimed::Ours);
                }
                if let Some(row) = read(&mut connection, claim).await? {
                    return Ok(row.judge(claim));
                }
            }
            Ok(Claimed::Taken)
        };
        self.watch.again("idempotency.claim", work).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        let work = || async {
            sqlx::query(
                "DELETE FROM idempotency_keys WHERE caller = $1 AND idempotency_key = $2 AND claim = $3 \
                 AND credential_id IS NULL",
            )
            .bind(&claim.request.caller)
            .bind(&claim.request.key)
            .bind(Id(claim.id))
            .execute(&self.write)
            .await
            .map(drop)
        };
        self.watch.again("idempotency.release", work).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64> {
        let work = || async {
            let pruned = sqlx::query("DELETE FROM idempotency_keys WHERE expires_at <= $1")
                .bind(now)
                .execute(&self.write)
                .await?;
            Ok(pruned.rows_affected())
        };
        self.watch.again("idempotency.prune", work).await
    }
}

/// Takes a key that is free, whose time is over, or which the same request holds for too long: it has crashed.
///
/// Clocks may be wrong. With a clock that is ahead, a key whose request was carried out is kept until the horizon of
/// retention has passed it, too. What such a clock has set, further ahead than a right one can, is over: at once for a claim,
/// and for other requests where the request was carried out. Where the horizon is ahead of the clock, it is the clock that
/// is behind.
async fn take(connection: &mut Connection, claim: &Claim, now: Timestamp) -> sqlx::Result<bool> {
    let taken = sqlx::query(
        "INSERT INTO idempotency_keys (caller, idempotency_key, fingerprint, claim, claimed_until, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (caller, idempotency_key) DO UPDATE SET \
         fingerprint = excluded.fingerprint, claim = excluded.claim, claimed_until = excluded.claimed_until, \
         expires_at = excluded.expires_at, client_id = NULL, credential_id = NULL, record_sha256 = NULL \
         WHERE (idempotency_keys.expires_at <= $7 AND idempotency_keys.expires_at <= (SELECT horizon FROM retention_horizon)) \
         OR (idempotency_keys.credential_id IS NULL \
         AND idempotency_keys.claimed_until <= $7 AND idempotency_keys.fingerprint = excluded.fingerprint) \
         OR (idempotency_keys.expires_at > $8 AND (idempotency_keys.credential_id IS NULL \
         OR (idempotency_keys.fingerprint <> excluded.fingerprint \
         AND (SELECT horizon FROM retention_horizon) <= $7)))",
    )
    .bind(&claim.request.caller)
    .bind(&claim.request.key)
    .bind(&claim.request.fingerprint)
    .bind(Id(claim.id))
    .bind(claim.until)
    .bind(claim.expires_at)
    .bind(now)
    .bind(now.plus(Claim::FURTHEST))
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

async fn read(connection: &mut Connection, claim: &Claim) -> sqlx::Result<Option<KeyRow>> {
    sqlx::query_as(
        "SELECT fingerprint, claim, client_id, credential_id, record_sha256 FROM idempotency_keys \
         WHERE caller = $1 AND idempotency_key = $2",
    )
    .bind(&claim.request.caller)
    .bind(&claim.request.key)
    .fetch_optional(connection)
    .await
}

/// Notes that the request has been carried out; says whether the claim still counted.
pub(super) async fn carry_out(
    connection: &mut Connection,
    claim: &Claim,
    credential: &Credential,
) -> sqlx::Result<bool> {
    let noted = sqlx::query(
        "UPDATE idempotency_keys SET client_id = $4, credential_id = $5, record_sha256 = $6 \
         WHERE caller = $1 AND idempotency_key = $2 AND claim = $3 AND credential_id IS NULL",
    )
    .bind(&claim.request.caller)
    .bind(&claim.request.key)
    .bind(Id(claim.id))
    .bind(Id(credential.client_id))
    .bind(Id(credential.credential_id))
    .bind(sha256(credential)?)
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Notes the record of `after` in place of that of `before`; says whether it was noted.
pub(super) async fn carry_out_anew(
    connection: &mut Connection,
    claim: &Claim,
    before: &Credential,
    after: &Credential,
) -> sqlx::Result<bool> {
    let replaced = sqlx::query(
        "UPDATE idempotency_keys SET record_sha256 = $5 \
         WHERE caller = $1 AND idempotency_key = $2 AND credential_id = $3 AND record_sha256 = $4",
    )
    .bind(&claim.request.caller)
    .bind(&claim.request.key)
    .bind(Id(before.credential_id))
    .bind(sha256(before)?)
    .bind(sha256(after)?)
    .execute(connection)
    .await?;
    Ok(replaced.rows_affected() == 1)
}

/// Of a record that we have just written, or read.
fn sha256(credential: &Credential) -> sqlx::Result<String> {
    let record = credential.secret.to_record().map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(record_sha256(&record))
}

#[derive(FromRow)]
struct KeyRow {
    fingerprint: String,
    claim: Id,
    client_id: Option<Id>,
    credential_id: Option<Id>,
    record_sha256: Option<String>,
}

impl KeyRow {
    fn judge(self, claim: &Claim) -> Claimed {
        if self.fingerprint != claim.request.fingerprint {
            return Claimed::Reused;
        }
        match (self.client_id, self.credential_id, self.record_sha256) {
            (Some(client_id), Some(credential_id), Some(record_sha256)) => {
                Claimed::Done(Carried { client_id: client_id.0, credential_id: credential_id.0, record_sha256 })
            }
            _ if self.claim.0 == claim.id => Claimed::Ours,
            _ => Claimed::Taken,
        }
    }
}
