//! Writes to Vault that are about to happen.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Connection, LOCK_CREDENTIAL, Store, purges};
use crate::domain::{
    Credential, CredentialStatus, LeftWrite, OpenWrite, OpenWriteKind, PurgeJob, SecretDigest, Timestamp,
};
use crate::repo::columns::Id;
use crate::repo::{OpenWriteRepo, Opened, Result};

/// No lease and no claim lasts longer. One that ends later was made by a wrong clock, and is over.
pub(super) const LONGEST_LEASE: Duration = Duration::from_secs(1800);

/// How long a claim of an older release counts after its end: its DELETE may reach Vault late.
pub(super) const OLD_CLAIM_MARGIN: Duration = Duration::from_secs(120);

/// How long an older release waits for the commit of a write before it deletes the place.
const OLD_INTENT_LIFE: Duration = Duration::from_secs(600);

/// Of one attempt.
const SET_LEASE: &str = "UPDATE open_writes SET lease_until = $3 WHERE credential_id = $1 AND attempt = $2";

#[derive(FromRow)]
struct OpenWriteRow {
    client_id: Id,
    kind: OpenWriteKind,
    vault_path: String,
    base: i64,
    attempt: Id,
    digests: String,
    lease_until: Timestamp,
}

impl OpenWriteRow {
    fn is_held(&self, now: Timestamp) -> bool {
        self.lease_until > now && self.lease_until <= now.plus(LONGEST_LEASE)
    }

    /// Whether its digests are of what `write` may find at its place.
    fn continues_in(&self, write: &OpenWrite) -> bool {
        self.vault_path == write.vault_path && self.base == base(write) && self.base > 0
    }
}

#[async_trait]
impl OpenWriteRepo for Store {
    async fn open(&self, write: &OpenWrite, now: Timestamp, until: Timestamp) -> Result<Opened> {
        // Done twice, it finds its own.
        let work = || async {
            let mut tx = self.begin().await?;
            if write.kind != OpenWriteKind::Create && !is_active(&mut tx, write.credential_id).await? {
                return Ok(Opened::Ended);
            }
            if !insert_or_lock(&mut tx, write, until).await? || !hold_off_purge(&mut tx, write, now).await? {
                return Ok(Opened::Busy);
            }
            let found = read(&mut tx, write.credential_id).await?;
            let Some(found) = found else { return Ok(Opened::Busy) };
            let ours = found.attempt.0 == write.attempt;
            if !ours && found.is_held(now) {
                return Ok(Opened::Busy);
            }
            let digests = take_over(&mut tx, write, &found, until).await?;
            tx.commit().await?;
            let left = LeftWrite { kind: found.kind, digests };
            Ok(Opened::Ours(Some(left).filter(|left| !ours || !left.digests.is_empty())))
        };
        self.watch.again("open_writes.open", work).await
    }

    async fn renew(&self, credential_id: Uuid, attempt: Uuid, until: Timestamp) -> Result<bool> {
        let work = || async {
            let renewed = sqlx::query(SET_LEASE)
                .bind(Id(credential_id))
                .bind(Id(attempt))
                .bind(until)
                .execute(&self.write)
                .await?;
            Ok(renewed.rows_affected() == 1)
        };
        self.watch.again("open_writes.renew", work).await
    }

    async fn close(&self, credential_id: Uuid, attempt: Uuid, now: Timestamp) -> Result<()> {
        // More than one digest: an earlier holder left something.
        let statements = [
            "DELETE FROM open_writes WHERE credential_id = $1 AND attempt = $2 AND kind IN ('rotate', 'pin', 'blank') \
             AND digests NOT LIKE '% %' AND lease_until > $3",
            SET_LEASE,
        ];
        let work = || async {
            for statement in statements {
                sqlx::query(statement).bind(Id(credential_id)).bind(Id(attempt)).bind(now).execute(&self.write).await?;
            }
            Ok(())
        };
        self.watch.again("open_writes.close", work).await
    }

    async fn end_lease(&self, credential_id: Uuid, attempt: Uuid, now: Timestamp) -> Result<()> {
        let work = || async {
            sqlx::query(SET_LEASE)
                .bind(Id(credential_id))
                .bind(Id(attempt))
                .bind(now)
                .execute(&self.write)
                .await
                .map(drop)
        };
        self.watch.again("open_writes.end_lease", work).await
    }

    async fn abandon(&self, credential_id: Uuid, attempt: Uuid, now: Timestamp) -> Result<Option<PurgeJob>> {
        let work = || async {
            let mut tx = self.begin().await?;
            let abandoned: Option<(Id, String)> = sqlx::query_as(
                "DELETE FROM open_writes WHERE credential_id = $1 AND attempt = $2 AND kind = 'create' \
                 RETURNING client_id, vault_path",
            )
            .bind(Id(credential_id))
            .bind(Id(attempt))
            .fetch_optional(&mut *tx)
            .await?;
            let Some((Id(client_id), vault_path)) = abandoned else { return Ok(None) };
            let job = PurgeJob::delete(client_id, credential_id, vault_path, now);
            purges::schedule(&mut tx, &job).await?;
            tx.commit().await?;
            Ok(Some(job))
        };
        self.watch.again("open_writes.abandon", work).await
    }

    async fn unfinished_repairs(&self, now: Timestamp, limit: u32) -> Result<Vec<(Uuid, Uuid)>> {
        let work = || async {
            let rows: Vec<(Id, Id)> = sqlx::query_as(
                "SELECT client_id, credential_id FROM open_writes WHERE digests LIKE '%current:%' AND lease_until <= $1 \
                 AND EXISTS (SELECT 1 FROM credentials c WHERE c.credential_id = open_writes.credential_id \
                 AND c.status = 'active') ORDER BY lease_until LIMIT $2",
            )
            .bind(now)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
            Ok(rows.into_iter().map(|(client, credential)| (client.0, credential.0)).collect())
        };
        self.watch.again("open_writes.unfinished_repairs", work).await
    }
}

/// Whether the credential is active, and stays so until the transaction ends: its end would not see the write.
async fn is_active(connection: &mut Connection, credential_id: Uuid) -> sqlx::Result<bool> {
    let status: Option<(CredentialStatus,)> =
        sqlx::query_as(LOCK_CREDENTIAL).bind(Id(credential_id)).fetch_optional(connection).await?;
    Ok(status == Some((CredentialStatus::Active,)))
}

/// Keeps servers of an older release from deleting the place while this writes there; says whether that can be. It cannot
/// while one of them holds a claim.
///
/// Such a server may delete the place of a credential that moves in, once its job there is due. Every job that it makes from
/// now on is due only after [`OLD_INTENT_LIFE`], and the commit redeems it.
async fn hold_off_purge(connection: &mut Connection, write: &OpenWrite, now: Timestamp) -> sqlx::Result<bool> {
    let claim_counts = now.minus(OLD_CLAIM_MARGIN);
    // A blank version is no write that counts, and waits for what the job is for.
    if write.kind != OpenWriteKind::Blank {
        sqlx::query(
            "UPDATE purge_jobs SET due_at = $3, claimed_until = NULL WHERE credential_id = $1 AND vault_path = $2 \
             AND (claimed_until IS NULL OR claimed_until <= $4)",
        )
        .bind(Id(write.credential_id))
        .bind(&write.vault_path)
        .bind(now.plus(OLD_INTENT_LIFE))
        .bind(claim_counts)
        .execute(&mut *connection)
        .await?;
    }
    let claimed =
        sqlx::query("SELECT 1 FROM purge_jobs WHERE credential_id = $1 AND vault_path = $2 AND claimed_until > $3")
            .bind(Id(write.credential_id))
            .bind(&write.vault_path)
            .bind(claim_counts)
            .fetch_optional(connection)
            .await?;
    Ok(claimed.is_none())
}

/// Makes the write where there is none; the row is locked until the transaction ends.
async fn insert_or_lock(connection: &mut Connection, write: &OpenWrite, until: Timestamp) -> sqlx::Result<bool> {
    let touched = sqlx::query(
        "INSERT INTO open_writes (credential_id, client_id, kind, vault_path, base, attempt, digests, lease_until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (credential_id) DO UPDATE SET client_id = open_writes.client_id",
    )
    .bind(Id(write.credential_id))
    .bind(Id(write.client_id))
    .bind(write.kind)
    .bind(&write.vault_path)
    .bind(base(write))
    .bind(Id(write.attempt))
    .bind(write.digest.as_ref().map_or("", SecretDigest::as_str))
    .bind(until)
    .execute(connection)
    .await?;
    Ok(touched.rows_affected() == 1)
}

async fn read(connection: &mut Connection, credential_id: Uuid) -> sqlx::Result<Option<OpenWriteRow>> {
    sqlx::query_as(
        "SELECT client_id, kind, vault_path, base, attempt, digests, lease_until FROM open_writes \
         WHERE credential_id = $1",
    )
    .bind(Id(credential_id))
    .fetch_optional(connection)
    .await
}

/// Puts `write` in place of `found`, and returns the digests that earlier attempts noted for the same version of the same
/// place. A place that is given up is kept in mind.
async fn take_over(
    connection: &mut Connection,
    write: &OpenWrite,
    found: &OpenWriteRow,
    until: Timestamp,
) -> sqlx::Result<Vec<SecretDigest>> {
    if found.vault_path != write.vault_path {
        purges::keep_in_mind(connection, found.client_id.0, write.credential_id, &found.vault_path).await?;
    }
    let ours = write.digest.as_ref().map(SecretDigest::as_str);
    let noted = found.digests.split_whitespace().filter(|noted| found.continues_in(write) && Some(*noted) != ours);
    let noted: Vec<&str> = noted.collect();
    let digests: Vec<&str> = noted.iter().copied().chain(ours).collect();
    sqlx::query(
        "UPDATE open_writes SET kind = $2, vault_path = $3, base = $4, attempt = $5, digests = $6, lease_until = $7 \
         WHERE credential_id = $1",
    )
    .bind(Id(write.credential_id))
    .bind(write.kind)
    .bind(&write.vault_path)
    .bind(base(write))
    .bind(Id(write.attempt))
    .bind(digests.join(" "))
    .bind(until)
    .execute(connection)
    .await?;
    Ok(noted.into_iter().map(SecretDigest::parse).collect())
}

/// Takes away the open write of the attempt that is about to count; says whether it was there, and whether no older release
/// is deleting the place. What was owed there is void by the commit.
pub(super) async fn redeem(connection: &mut Connection, after: &Credential) -> sqlx::Result<bool> {
    let Some(attempt) = after.secret.revision else { return Ok(false) };
    let redeemed = sqlx::query("DELETE FROM open_writes WHERE credential_id = $1 AND attempt = $2")
        .bind(Id(after.credential_id))
        .bind(Id(attempt))
        .execute(&mut *connection)
        .await?;
    let Some(vault_path) = after.secret.vault_path.as_deref().filter(|_| redeemed.rows_affected() == 1) else {
        return Ok(false);
    };
    purges::void(connection, after.credential_id, vault_path).await
}

/// Removes whatever write the credential has open, and returns its place.
pub(super) async fn remove(connection: &mut Connection, credential_id: Uuid) -> sqlx::Result<Option<String>> {
    let removed: Option<(String,)> =
        sqlx::query_as("DELETE FROM open_writes WHERE credential_id = $1 RETURNING vault_path")
            .bind(Id(credential_id))
            .fetch_optional(connection)
            .await?;
    Ok(removed.map(|(vault_path,)| vault_path))
}

fn base(write: &OpenWrite) -> i64 {
    i64::try_from(write.base).unwrap_or(i64::MAX)
}
