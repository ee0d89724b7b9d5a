//! Credentials.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::list::List;
use super::{Connection, Db, Store, agents, audit, open_writes, purges};
use crate::domain::{AgentStatus, AuditEvent, Credential, CredentialStatus, Page, Paged, PurgeJob, Timestamp};
use crate::repo::columns::Id;
use crate::repo::rows::{AuthenticationRow, CredentialRow};
use crate::repo::{Authentication, CredentialRepo, InsertCredential, Result, Revoke};

const CREDENTIALS: List = List {
    select: "SELECT credential_id, client_id, status, secret_hash, vault_path, vault_version, \
             secret_selector, awaits_use, revision, created_at, expires_at, revoked_at FROM credentials WHERE client_id = ",
    count: "SELECT count(*) FROM credentials WHERE client_id = ",
    order: " ORDER BY created_at DESC, credential_id DESC",
};

#[async_trait]
impl CredentialRepo for Store {
    async fn find(&self, client_id: Uuid, credential_id: Uuid) -> Result<Option<Credential>> {
        let work = || async {
            let mut query = QueryBuilder::<Db>::new(CREDENTIALS.select);
            query.push_bind(Id(client_id)).push(" AND credential_id = ").push_bind(Id(credential_id));
            let row: Option<CredentialRow> = query.build_query_as().fetch_optional(&self.read).await?;
            Ok(row.map(Into::into))
        };
        self.watch.again("credentials.find", work).await
    }

    async fn list(&self, client_id: Uuid, status: Option<CredentialStatus>, page: Page) -> Result<Paged<Credential>> {
        let matching = |query: &mut QueryBuilder<Db>| {
            query.push_bind(Id(client_id));
            if let Some(status) = status {
                query.push(" AND status = ").push_bind(status);
            }
        };
        self.watch.again("credentials.list", || self.page_of::<CredentialRow, _>(&CREDENTIALS, &matching, page)).await
    }

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Authentication>>> {
        let work = || async {
            let rows: Vec<AuthenticationRow> = sqlx::query_as(
                "SELECT a.status AS agent_status, a.token_epoch, a.agent_id AS client_id, c.credential_id, c.secret_hash, \
                 c.vault_path, c.vault_version, c.secret_selector, c.awaits_use, c.revision, c.created_at, c.expires_at \
                 FROM agents a LEFT JOIN credentials c ON c.client_id = a.agent_id AND c.status = 'active' \
                 AND (c.expires_at IS NULL OR c.expires_at > $2) \
                 WHERE a.agent_id = $1 ORDER BY c.created_at DESC, c.credential_id DESC",
            )
            .bind(Id(client_id))
            .bind(now)
            .fetch_all(&self.read)
            .await?;
            Ok(rows.first().map(|row| (row.agent_status, row.token_epoch)).map(|(agent_status, token_epoch)| {
                let credentials = rows.into_iter().filter_map(AuthenticationRow::into_credential).collect();
                Arc::new(Authentication::new(client_id, agent_status, token_epoch, credentials))
            }))
        };
        self.watch.again("credentials.authenticate", work).await
    }

    async fn insert(&self, credential: &Credential, event: &AuditEvent) -> Result<InsertCredential> {
        let work = async {
            let mut tx = self.begin().await?;
            let inserted = insert_in(&mut tx, credential, event).await?;
            if inserted == InsertCredential::Inserted {
                tx.commit().await?;
            }
            Ok(inserted)
        };
        self.watch.run("credentials.insert", work).await
    }

    async fn rotate(&self, before: &Credential, after: &Credential, event: &AuditEvent) -> Result<bool> {
        let work = async {
            let mut tx = self.begin().await?;
            let rotated = rotate_in(&mut tx, before, after, event).await?;
            if rotated {
                tx.commit().await?;
            }
            Ok(rotated)
        };
        self.watch.run("credentials.rotate", work).await
    }

    async fn upgrade(&self, before: &Credential, after: &Credential) -> Result<bool> {
        let work = async {
            let mut tx = self.begin().await?;
            if !replace_record(&mut tx, before, after).await? {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        };
        self.watch.run("credentials.upgrade", work).await
    }

    async fn revoke(&self, client_id: Uuid, credential_id: Uuid, now: Timestamp, event: &AuditEvent) -> Result<Revoke> {
        let work = async {
            let mut tx = self.begin().await?;
            let Some(purges) = revoke(&mut tx, client_id, credential_id, now).await? else {
                let known = sqlx::query("SELECT 1 FROM credentials WHERE client_id = $1 AND credential_id = $2")
                    .bind(Id(client_id))
                    .bind(Id(credential_id))
                    .fetch_optional(&mut *tx)
                    .await?;
                return Ok(if known.is_some() { Revoke::AlreadyRevoked } else { Revoke::NotFound });
            };
            audit::append(&mut tx, event).await?;
            tx.commit().await?;
            Ok(Revoke::Revoked(purges))
        };
        self.watch.run("credentials.revoke", work).await
    }
}

/// An insertion, to be committed by the caller.
pub(super) async fn insert_in(
    connection: &mut Connection,
    credential: &Credential,
    event: &AuditEvent,
) -> sqlx::Result<InsertCredential> {
    match agents::lock(connection, credential.client_id).await? {
        Some((AgentStatus::Active, _)) => {}
        _ => return Ok(InsertCredential::AgentNotActive),
    }
    if credential.secret.vault_path.is_some() && !open_writes::redeem(connection, credential).await? {
        return Ok(InsertCredential::WriteLost);
    }
    insert(connection, credential).await?;
    audit::append(connection, event).await?;
    Ok(InsertCredential::Inserted)
}

/// A rotation, to be committed by the caller; says whether the row still was as `before`.
pub(super) async fn rotate_in(
    connection: &mut Connection,
    before: &Credential,
    after: &Credential,
    event: &AuditEvent,
) -> sqlx::Result<bool> {
    if !replace_record(connection, before, after).await? {
        return Ok(false);
    }
    audit::append(connection, event).await?;
    Ok(true)
}

/// Revokes an active credential; every place where Vault has something of it becomes due to be deleted. `None`: it was not
/// active.
pub(super) async fn revoke(
    connection: &mut Connection,
    client_id: Uuid,
    credential_id: Uuid,
    now: Timestamp,
) -> sqlx::Result<Option<Vec<PurgeJob>>> {
    let revoked: Option<(Option<String>,)> = sqlx::query_as(
        "UPDATE credentials SET status = 'revoked', revoked_at = $3 \
         WHERE client_id = $1 AND credential_id = $2 AND status = 'active' RETURNING vault_path",
    )
    .bind(Id(client_id))
    .bind(Id(credential_id))
    .bind(now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((vault_path,)) = revoked else { return Ok(None) };
    let left = open_writes::remove(connection, credential_id).await?;
    for vault_path in vault_path.into_iter().chain(left) {
        purges::schedule(connection, &PurgeJob::delete(client_id, credential_id, vault_path, now)).await?;
    }
    purges::delete_all(connection, credential_id, now).await.map(Some)
}

async fn insert(connection: &mut Connection, credential: &Credential) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO credentials (credential_id, client_id, status, secret_hash, vault_path, vault_version, \
         secret_selector, created_at, expires_at, revoked_at, awaits_use, revision) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(Id(credential.credential_id))
    .bind(Id(credential.client_id))
    .bind(credential.status)
    .bind(&credential.secret.secret_hash)
    .bind(&credential.secret.vault_path)
    .bind(credential.secret.vault_version)
    .bind(&credential.secret.secret_selector)
    .bind(credential.created_at)
    .bind(credential.expires_at)
    .bind(credential.revoked_at)
    .bind(credential.secret.awaits_use)
    .bind(Id(fresh_revision(credential)))
    .execute(connection)
    .await?;
    Ok(())
}

/// The attempt that writes the columns; a fresh revision for a write without one.
fn fresh_revision(after: &Credential) -> Uuid {
    after.secret.revision.unwrap_or_else(Uuid::new_v4)
}

/// Compares and sets on the revision, which every write of the secret's columns changes, and on whether the secret was used;
/// says whether it was still `before`'s. A version that is new to the row needs its open write. What is `false` must not be
/// committed.
async fn replace_record(connection: &mut Connection, before: &Credential, after: &Credential) -> sqlx::Result<bool> {
    let replaced = sqlx::query(
        "UPDATE credentials SET secret_hash = $3, vault_path = $4, vault_version = $5, secret_selector = $6, \
         expires_at = $7, awaits_use = $8, revision = $9 WHERE client_id = $1 AND credential_id = $2 \
         AND status = 'active' AND revision IS NOT DISTINCT FROM $10 AND awaits_use = $11",
    )
    .bind(Id(before.client_id))
    .bind(Id(before.credential_id))
    .bind(&after.secret.secret_hash)
    .bind(&after.secret.vault_path)
    .bind(after.secret.vault_version)
    .bind(&after.secret.secret_selector)
    .bind(after.expires_at)
    .bind(after.secret.awaits_use)
    .bind(Id(fresh_revision(after)))
    .bind(before.secret.revision.map(Id))
    .bind(before.secret.awaits_use)
    .execute(&mut *connection)
    .await?;
    if replaced.rows_affected() != 1 {
        return Ok(false);
    }
    // After the row, as a revocation locks them: the other way round the two could wait for each other.
    let (left, kept) = (before.secret.place(), after.secret.place());
    // A path that was deleted by hand begins at 1 again, so the number of a new version may be the old one's.
    let redeemed = kept.is_some() && open_writes::redeem(connection, after).await?;
    if kept.is_some() && left != kept && !redeemed {
        return Ok(false);
    }
    if let Some(vault_path) = &before.secret.vault_path
        && after.secret.vault_path.as_ref() != Some(vault_path)
    {
        purges::owe_blank(connection, before, vault_path).await?;
    }
    Ok(true)
}
