//! The ledger over the tables of `migrations/`. This file is all that the lifecycle needs of a database.

use std::time::SystemTime;

use agentidp_secrets::lifecycle::{
    ClientRows, CommitError, Entry, Freshness, Known, Ledger, Note, Revision, Row, State,
};
use agentidp_secrets::{ClientId, CredentialId, CredentialKey, CredentialSecrets, Previous, Selector, StoredSecret};
use async_trait::async_trait;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgPool, Postgres, postgres::PgArguments, query::Query};

use crate::error::{Error, Result};

pub type Tx = sqlx::Transaction<'static, Postgres>;

#[derive(Clone, Debug)]
pub struct AgentLedger(pub PgPool);

pub fn key(agent_id: i64, credential_id: i64) -> Result<CredentialKey> {
    Ok(CredentialKey::parse(&agent_id.to_string(), &credential_id.to_string())?)
}

/// The number that a client is: none where we never gave out such an id, such as `007` or `+7`.
fn agent_id(client: &ClientId) -> Option<i64> {
    client.as_str().parse().ok().filter(|id: &i64| id.to_string() == client.as_str())
}

pub(crate) fn ids(key: &CredentialKey) -> Result<(i64, i64)> {
    let credential_id = key.credential_id().as_str().parse().map_err(|_| Error::Damaged)?;
    Ok((agent_id(key.client_id()).ok_or(Error::Damaged)?, credential_id))
}

#[derive(sqlx::FromRow)]
struct Columns {
    agent_id: i64,
    credential_id: i64,
    record: String,
    selector: Option<String>,
    previous_record: Option<String>,
    previous_selector: Option<String>,
    previous_until: Option<OffsetDateTime>,
    revision: Option<String>,
    ended_at: Option<OffsetDateTime>,
}

impl Columns {
    fn row(&self) -> Result<Row> {
        let revision = self.revision.as_deref().map(Revision::parse).transpose().ok();
        let secrets = self.secrets().ok().filter(|_| revision.is_some());
        Ok(Row::new(key(self.agent_id, self.credential_id)?, secrets, revision.flatten()))
    }

    fn secrets(&self) -> Result<CredentialSecrets> {
        let selector = |text: &Option<String>| text.as_deref().map(Selector::parse).transpose();
        let previous = self.previous_record.as_deref().zip(self.previous_until).map(|(record, until)| -> Result<_> {
            let selector = selector(&self.previous_selector)?;
            Ok(Previous { stored: StoredSecret::parse(record)?, selector, valid_until: until.into() })
        });
        let (current, previous) = (StoredSecret::parse(&self.record)?, previous.transpose()?);
        Ok(CredentialSecrets { current, selector: selector(&self.selector)?, previous })
    }
}

/// Binds a row, from $1 to $8.
fn bind(sql: &'static str, row: &Row) -> Result<Query<'static, Postgres, PgArguments>> {
    let secrets = row.secrets.as_ref().ok_or(Error::Damaged)?;
    let previous = secrets.previous.as_ref();
    Ok(bind_key(sql, &row.key)?
        .bind(secrets.current.to_text())
        .bind(secrets.selector.map(|selector| selector.to_text()))
        .bind(previous.map(|previous| previous.stored.to_text()))
        .bind(previous.and_then(|previous| previous.selector).map(|selector| selector.to_text()))
        .bind(previous.map(|previous| OffsetDateTime::from(previous.valid_until)))
        .bind(row.revision.map(|revision| revision.to_string())))
}

/// An agent's credential is found by both ids: one under another agent's is not there.
fn bind_key(sql: &'static str, key: &CredentialKey) -> Result<Query<'static, Postgres, PgArguments>> {
    let (agent_id, credential_id) = ids(key)?;
    Ok(sqlx::query(sql).bind(agent_id).bind(credential_id))
}

#[async_trait]
impl Ledger for AgentLedger {
    type Tx = Tx;
    type Error = Error;

    async fn begin(&self) -> Result<Tx> {
        // Each statement sees what the lock before it has waited for.
        Ok(self.0.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?)
    }

    async fn commit(&self, mut tx: Tx) -> Result<(), CommitError<Error>> {
        // After a failed statement PostgreSQL answers COMMIT with "ROLLBACK", which is a success to sqlx. This is not.
        sqlx::raw_sql("SELECT 1").execute(&mut *tx).await.map_err(|error| CommitError::NotDone(error.into()))?;
        // The lifecycle looks at the row then.
        tx.commit().await.map_err(|error| CommitError::Unknown(error.into()))
    }

    async fn now(&self, tx: &mut Tx) -> Result<SystemTime> {
        Ok(sqlx::query_scalar::<_, OffsetDateTime>("SELECT clock_timestamp()").fetch_one(&mut **tx).await?.into())
    }

    async fn lock(&self, tx: &mut Tx, key: &CredentialKey) -> Result<Entry> {
        let (agent_id, id) = ids(key)?;
        // A new credential has no row to lock.
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(id).execute(&mut **tx).await?;
        let row = "SELECT * FROM credentials WHERE agent_id = $1 AND credential_id = $2 FOR UPDATE";
        let row = sqlx::query_as(row).bind(agent_id).bind(id);
        let state = match row.fetch_optional(&mut **tx).await? {
            None => State::Absent,
            Some(Columns { ended_at: Some(_), .. }) => State::Ended,
            Some(columns) => State::Active(Box::new(columns.row()?)),
        };
        let note = sqlx::query_scalar("SELECT note FROM credential_notes WHERE agent_id = $1 AND credential_id = $2");
        let note: Option<String> = note.bind(agent_id).bind(id).fetch_optional(&mut **tx).await?;
        Ok(Entry { state, note: note.as_deref().map(Note::parse).transpose()? })
    }

    async fn insert(&self, tx: &mut Tx, row: &Row) -> Result<()> {
        let insert = "INSERT INTO credentials (agent_id, credential_id, record, selector, previous_record, \
                      previous_selector, previous_until, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        exactly_one(bind(insert, row)?.execute(&mut **tx).await?.rows_affected())
    }

    async fn replace(&self, tx: &mut Tx, row: &Row) -> Result<()> {
        let replace = "UPDATE credentials SET record = $3, selector = $4, previous_record = $5, previous_selector = $6, \
                       previous_until = $7, revision = $8 WHERE agent_id = $1 AND credential_id = $2 AND ended_at IS NULL";
        exactly_one(bind(replace, row)?.execute(&mut **tx).await?.rows_affected())
    }

    async fn end(&self, tx: &mut Tx, key: &CredentialKey) -> Result<()> {
        let end = "UPDATE credentials SET ended_at = clock_timestamp() \
                   WHERE agent_id = $1 AND credential_id = $2 AND ended_at IS NULL";
        exactly_one(bind_key(end, key)?.execute(&mut **tx).await?.rows_affected())
    }

    async fn note(&self, tx: &mut Tx, key: &CredentialKey, note: Option<&Note>) -> Result<()> {
        let delete = "DELETE FROM credential_notes WHERE agent_id = $1 AND credential_id = $2";
        bind_key(delete, key)?.execute(&mut **tx).await?;
        if let Some(note) = note {
            let insert = "INSERT INTO credential_notes (agent_id, credential_id, note, due) VALUES ($1, $2, $3, $4)";
            let insert = bind_key(insert, key)?.bind(note.to_text());
            insert.bind(note.due().map(OffsetDateTime::from)).execute(&mut **tx).await?;
        }
        Ok(())
    }

    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>> {
        let due =
            "SELECT agent_id, credential_id FROM credential_notes WHERE due <= clock_timestamp() ORDER BY due LIMIT $1";
        let due: Vec<(i64, i64)> = sqlx::query_as(due).bind(limit as i64).fetch_all(&self.0).await?;
        due.into_iter().map(|(agent_id, id)| key(agent_id, id)).collect()
    }

    async fn rows(&self, client: &ClientId, _freshness: Freshness) -> Result<ClientRows> {
        let Some(agent_id) = agent_id(client) else { return Ok(ClientRows::read(None)) };
        let agent = sqlx::query_scalar("SELECT suspended FROM agents WHERE agent_id = $1").bind(agent_id);
        let Some::<bool>(suspended) = agent.fetch_optional(&self.0).await? else { return Ok(ClientRows::read(None)) };
        let active = "SELECT * FROM credentials WHERE agent_id = $1 AND ended_at IS NULL \
                      AND coalesce(expires_at > clock_timestamp(), true)";
        let active: Vec<Columns> = sqlx::query_as(active).bind(agent_id).fetch_all(&self.0).await?;
        Ok(ClientRows::read(Some(Known::new(!suspended, active.iter().map(Columns::row).collect::<Result<_>>()?))))
    }

    /// Others lie in the same folder of a backend, perhaps, and have another form.
    fn gives_ids_like(&self, client: &ClientId, credential: Option<&CredentialId>) -> bool {
        agent_id(client).is_some() && credential.is_none_or(|id| id.as_str().parse::<i64>().is_ok())
    }

    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>> {
        let after = after.map(ids).transpose()?.map_or(0, |(_, id)| id);
        let page =
            "SELECT * FROM credentials WHERE ended_at IS NULL AND credential_id > $1 ORDER BY credential_id LIMIT $2";
        let page: Vec<Columns> = sqlx::query_as(page).bind(after).bind(limit as i64).fetch_all(&self.0).await?;
        page.iter().map(Columns::row).collect()
    }

    fn may_repeat(&self, error: &Error) -> bool {
        matches!(error, Error::Database { may_repeat: true, .. })
    }
}

fn exactly_one(rows: u64) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(Error::Damaged) }
}
