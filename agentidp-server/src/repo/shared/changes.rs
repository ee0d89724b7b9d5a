//! Transactions that change credentials.

use std::time::SystemTime;

use agentidp_secrets::lifecycle::{CommitError, Entry, Note, Row, State};
use async_trait::async_trait;
use sqlx::Transaction;
use uuid::Uuid;

use super::{
    Connection, Db, FOR_UPDATE, LOCK_ABSENT, Store, agents, audit, idempotency, is_unknown, notes, old_jobs, usage,
};
use crate::domain::idempotency::Claim;
use crate::domain::{Agent, AgentStatus, AuditEvent, Credential, CredentialStatus, SecretColumns, Timestamp, ids};
use crate::repo::columns::Id;
use crate::repo::rows::{CREDENTIAL_COLUMNS, CredentialRow};
use crate::repo::watch::Watch;
use crate::repo::{ChangeRepo, ChangeTx, RepoError, Result};

struct Changing {
    tx: Transaction<'static, Db>,
    watch: Watch,
}

#[async_trait]
impl ChangeRepo for Store {
    async fn begin(&self) -> Result<Box<dyn ChangeTx>> {
        let tx = self.watch.run("changes.begin", Self::begin(self)).await?;
        Ok(Box::new(Changing { tx, watch: self.watch.clone() }))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<(Uuid, Uuid)>> {
        let work = || async {
            let mut tx = Self::begin(self).await?;
            old_jobs::take_over(&mut tx, now).await?;
            tx.commit().await?;
            let mut connection = self.read.acquire().await?;
            notes::due(&mut connection, now, limit).await
        };
        self.watch.again("changes.due", work).await
    }

    async fn pending(&self) -> Result<u64> {
        let work = || async {
            let mut connection = self.read.acquire().await?;
            notes::pending(&mut connection).await
        };
        self.watch.again("changes.pending", work).await
    }

    async fn used(&self, row: &Row) -> Result<bool> {
        let (client_id, credential_id) = ids(&row.key);
        let work = || async {
            let used = sqlx::query(
                "UPDATE credentials SET awaits_use = $4 WHERE client_id = $1 AND credential_id = $2 \
                 AND status = 'active' AND revision IS NOT DISTINCT FROM $3",
            )
            .bind(Id(client_id))
            .bind(Id(credential_id))
            .bind(row.revision.map(|revision| Id(Uuid::from_bytes(revision.to_bytes()))))
            .bind(false)
            .execute(&self.write)
            .await?;
            Ok(used.rows_affected() == 1)
        };
        self.watch.again("changes.used", work).await
    }
}

#[async_trait]
impl ChangeTx for Changing {
    async fn commit(self: Box<Self>) -> std::result::Result<(), CommitError<RepoError>> {
        let (Self { mut tx, watch }, mut unknown) = (*self, false);
        let work = async {
            // PostgreSQL answers the COMMIT of a transaction that an error has ended with "ROLLBACK", which is a success to the driver.
            sqlx::raw_sql("SELECT 1").execute(&mut *tx).await?;
            // Also where nobody waits for the answer any longer.
            unknown = true;
            let committed = tx.commit().await;
            // What the database refuses it has not done. Everything else may have been, and only its answer is missing.
            unknown = committed.as_ref().is_err_and(|error| error.as_database_error().is_none_or(is_unknown));
            committed
        };
        let committed = watch.run("changes.commit", work).await;
        committed.map_err(|error| if unknown { CommitError::Unknown(error) } else { CommitError::NotDone(error) })
    }

    async fn lock_agent(&mut self, agent_id: Uuid) -> Result<Option<(AgentStatus, Timestamp)>> {
        self.watch.run("changes.lock_agent", agents::lock(&mut self.tx, agent_id)).await
    }

    async fn lock(&mut self, client_id: Uuid, credential_id: Uuid) -> Result<Entry> {
        let work = async {
            let mut row = find(&mut self.tx, client_id, credential_id, FOR_UPDATE).await?;
            if let (None, Some(lock)) = (&row, LOCK_ABSENT) {
                sqlx::query(lock).bind(Id(credential_id)).execute(&mut *self.tx).await?;
                // Another transaction may have inserted it before it let go.
                row = find(&mut self.tx, client_id, credential_id, FOR_UPDATE).await?;
            }
            let note = notes::lock(&mut self.tx, credential_id).await?;
            let state = match row {
                None => State::Absent,
                Some(row) if row.status == CredentialStatus::Active => {
                    State::Active(Box::new(row.to_row().map_err(encode)?))
                }
                Some(_) => State::Ended,
            };
            Ok(Entry { state, note })
        };
        self.watch.run("changes.lock", work).await
    }

    async fn insert(&mut self, row: &Row, created_at: Timestamp) -> Result<()> {
        let (client_id, credential_id) = ids(&row.key);
        let work = async {
            let secret = SecretColumns::of(row).map_err(encode)?;
            old_jobs::void(&mut self.tx, credential_id, secret.vault_path.as_deref()).await?;
            sqlx::query(
                "INSERT INTO credentials (credential_id, client_id, status, secret_hash, vault_path, vault_version, \
                 secret_selector, created_at, awaits_use, revision, vault_written) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .bind(Id(credential_id))
            .bind(Id(client_id))
            .bind(CredentialStatus::Active)
            .bind(&secret.secret_hash)
            .bind(&secret.vault_path)
            .bind(secret.vault_version)
            .bind(&secret.secret_selector)
            .bind(created_at)
            .bind(false)
            .bind(secret.revision.map(Id))
            .bind(&secret.vault_written)
            .execute(&mut *self.tx)
            .await?;
            if secret.previous.is_some() {
                write_secret(&mut self.tx, credential_id, &secret, row.is_unused).await?;
            }
            Ok(())
        };
        self.watch.run("changes.insert", work).await
    }

    async fn replace(&mut self, row: &Row) -> Result<()> {
        let (_, credential_id) = ids(&row.key);
        let work = async {
            let secret = SecretColumns::of(row).map_err(encode)?;
            old_jobs::void(&mut self.tx, credential_id, secret.vault_path.as_deref()).await?;
            write_secret(&mut self.tx, credential_id, &secret, row.is_unused).await?;
            Ok(())
        };
        self.watch.run("changes.replace", work).await
    }

    async fn rotate_usage(&mut self, credential_id: Uuid, now: SystemTime) -> Result<()> {
        self.watch.run("changes.rotate_usage", usage::rotate(&mut self.tx, credential_id, now)).await
    }

    async fn end(&mut self, _client_id: Uuid, credential_id: Uuid, now: Timestamp) -> Result<()> {
        let work = async {
            sqlx::query("UPDATE credentials SET status = 'revoked', revoked_at = $2 WHERE credential_id = $1")
                .bind(Id(credential_id))
                .bind(now)
                .execute(&mut *self.tx)
                .await
                .map(drop)
        };
        self.watch.run("changes.end", work).await
    }

    async fn note(&mut self, client_id: Uuid, credential_id: Uuid, note: &Note, now: Timestamp) -> Result<()> {
        let work = notes::keep(&mut self.tx, client_id, credential_id, note, now);
        self.watch.run("changes.note", work).await
    }

    async fn finish(
        &mut self,
        client_id: Uuid,
        credential_id: Uuid,
        expires_at: Option<Timestamp>,
        awaits_use: bool,
    ) -> Result<Credential> {
        let work = async {
            sqlx::query("UPDATE credentials SET expires_at = $2, awaits_use = $3 WHERE credential_id = $1")
                .bind(Id(credential_id))
                .bind(expires_at)
                .bind(awaits_use)
                .execute(&mut *self.tx)
                .await?;
            find(&mut self.tx, client_id, credential_id, "").await?.ok_or(sqlx::Error::RowNotFound)
        };
        self.watch.run("changes.finish", work).await
    }

    async fn update_agent(&mut self, agent: &Agent) -> Result<()> {
        self.watch.run("changes.update_agent", agents::update(&mut self.tx, agent)).await
    }

    async fn active_credentials(&mut self, agent_id: Uuid) -> Result<Vec<Uuid>> {
        self.watch.run("changes.active_credentials", agents::active_credentials(&mut self.tx, agent_id)).await
    }

    async fn append(&mut self, event: &AuditEvent) -> Result<()> {
        self.watch.run("changes.append", audit::append(&mut self.tx, event)).await
    }

    async fn carry_out(&mut self, claim: &Claim, row: &Credential) -> Result<bool> {
        self.watch.run("changes.carry_out", idempotency::carry_out(&mut self.tx, claim, row)).await
    }

    async fn carry_out_anew(&mut self, claim: &Claim, before: &Credential, after: &Credential) -> Result<bool> {
        let work = idempotency::carry_out_anew(&mut self.tx, claim, before, after);
        self.watch.run("changes.carry_out_anew", work).await
    }
}

/// Writes the secret's columns of a locked row.
async fn write_secret(
    connection: &mut Connection,
    credential_id: Uuid,
    secret: &SecretColumns,
    is_unused: bool,
) -> sqlx::Result<()> {
    let previous = secret.previous.as_deref();
    // A first use may have been noted since the row was read.
    sqlx::query(
        "UPDATE credentials SET secret_hash = $2, vault_path = $3, vault_version = $4, secret_selector = $5, \
         awaits_use = (awaits_use AND $6), revision = $7, previous_hash = $8, previous_path = $9, previous_version = $10, \
         previous_selector = $11, previous_expires_at = $12, previous_of = $13, vault_written = $14, previous_written = $15 \
         WHERE credential_id = $1",
    )
    .bind(Id(credential_id))
    .bind(&secret.secret_hash)
    .bind(&secret.vault_path)
    .bind(secret.vault_version)
    .bind(&secret.secret_selector)
    .bind(is_unused)
    .bind(secret.revision.map(Id))
    .bind(previous.and_then(|previous| previous.hash.as_deref()))
    .bind(previous.and_then(|previous| previous.path.as_deref()))
    .bind(previous.and_then(|previous| previous.version))
    .bind(previous.and_then(|previous| previous.selector.as_deref()))
    .bind(previous.map(|previous| previous.expires_at))
    .bind(secret.revision.filter(|_| previous.is_some()).map(Id))
    .bind(&secret.vault_written)
    .bind(previous.and_then(|previous| previous.written.as_deref()))
    .execute(connection)
    .await
    .map(drop)
}

async fn find(
    connection: &mut Connection,
    client_id: Uuid,
    credential_id: Uuid,
    lock: &'static str,
) -> sqlx::Result<Option<Credential>> {
    let mut query = sqlx::QueryBuilder::<Db>::new(CREDENTIAL_COLUMNS);
    query.push(" FROM credentials WHERE client_id = ").push_bind(Id(client_id));
    query.push(" AND credential_id = ").push_bind(Id(credential_id)).push(lock);
    let row: Option<CredentialRow> = query.build_query_as().fetch_optional(connection).await?;
    Ok(row.map(Into::into))
}

fn encode(error: agentidp_secrets::Error) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}
