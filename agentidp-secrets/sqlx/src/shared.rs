//! The ledger, written once and compiled for each database.
//!
//! `postgres` and `sqlite` both include this module, and name what differs: the driver's types, the time, and the locks.

#![cfg_attr(
    all(feature = "postgres", feature = "sqlite"),
    expect(clippy::duplicate_mod, reason = "compiled for each database")
)]

use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets::lifecycle::{AsOf, ClientRows, CommitError, Entry, Freshness, Known, Ledger, Note, Row};
use agentidp_secrets::{ClientId, CredentialKey, Selector};
use async_trait::async_trait;
use sqlx::Database;

use super::{Db, LOCK_ABSENT, Own, Tx, bind_now};
use crate::Error;
use crate::columns::{Columns, Written, key, millis};

type Connection = <Db as Database>::Connection;

/// The columns of [`Columns`].
macro_rules! columns {
    () => {
        "c.credential_id, c.state, c.record, c.selector, c.previous_record, c.previous_selector, c.previous_until, \
         c.revision, c.expires_at, c.is_unused"
    };
}

/// As many as there may be keys in a ring.
macro_rules! eight {
    () => {
        "($1, $2, $3, $4, $5, $6, $7, $8)"
    };
}

/// A client with one of its credentials, or with none.
#[derive(sqlx::FromRow)]
struct ClientColumns {
    active: bool,
    #[sqlx(flatten)]
    columns: Columns,
}

#[derive(sqlx::FromRow)]
struct EntryColumns {
    note: Option<String>,
    #[sqlx(flatten)]
    columns: Columns,
}

impl Own {
    /// Sets whether a client may authenticate, in the caller's transaction. It is obeyed when that is committed, also by logins that are
    /// under way; where rows are in memory, when [`acknowledge`](Ledger::acknowledge) has returned after the commit.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_active(&self, tx: &mut Connection, client: &ClientId, active: bool) -> Result<(), Error> {
        let set = "INSERT INTO agentidp_clients (client_id, active) VALUES ($1, $2) \
                   ON CONFLICT (client_id) DO UPDATE SET active = excluded.active";
        sqlx::query(set).bind(client.as_str()).bind(active).execute(tx).await?;
        Ok(())
    }

    /// Sets when a credential expires, in the caller's transaction; `None`: never.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_expiry(
        &self,
        tx: &mut Connection,
        key: &CredentialKey,
        at: Option<SystemTime>,
    ) -> Result<(), Error> {
        let set = "UPDATE agentidp_credentials SET expires_at = $3 WHERE client_id = $1 AND credential_id = $2";
        let set = sqlx::query(set).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
        set.bind(at.map(millis)).execute(tx).await?;
        Ok(())
    }

    /// The client's rows as they are now.
    pub(super) async fn read_rows(&self, client: &ClientId) -> Result<Option<Arc<Known>>, Error> {
        let rows = concat!(
            "SELECT k.active, k.client_id, ",
            columns!(),
            " FROM agentidp_clients k LEFT JOIN agentidp_credentials c ON c.client_id = k.client_id \
             AND c.state = 'active' AND (c.expires_at IS NULL OR c.expires_at > ",
            now!("$2"),
            ") WHERE k.client_id = $1 ORDER BY c.credential_id"
        );
        let rows: Vec<ClientColumns> =
            bind_now(self, sqlx::query_as(rows).bind(client.as_str())).fetch_all(&self.pool).await?;
        let Some(active) = rows.first().map(|row| row.active) else { return Ok(None) };
        let rows =
            rows.into_iter().filter_map(|row| row.columns.into_row().transpose()).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Arc::new(Known::new(active, rows))))
    }

    /// The clients of the rows that have one of up to eight selectors, with their rows as they are now.
    async fn find_rows(&self, selectors: &[Selector]) -> Result<Vec<(ClientId, ClientRows)>, Error> {
        let find = concat!(
            "SELECT k.active, k.client_id, ",
            columns!(),
            " FROM agentidp_clients k JOIN agentidp_credentials c ON c.client_id = k.client_id \
             AND c.state = 'active' AND (c.expires_at IS NULL OR c.expires_at > ",
            now!("$9"),
            ") WHERE k.client_id IN (SELECT client_id FROM agentidp_credentials WHERE state = 'active' AND selector IN ",
            eight!(),
            " UNION SELECT client_id FROM agentidp_credentials WHERE state = 'active' AND previous_selector IN ",
            eight!(),
            ") ORDER BY k.client_id, c.credential_id"
        );
        let Some(first) = selectors.first() else { return Ok(Vec::new()) };
        let mut query = sqlx::query_as(find);
        for place in 0..8 {
            query = query.bind(selectors.get(place).unwrap_or(first).to_text());
        }
        let found: Vec<ClientColumns> = bind_now(self, query).fetch_all(&self.pool).await?;
        let mut clients: Vec<(ClientId, bool, Vec<Row>)> = Vec::new();
        for ClientColumns { active, columns } in found {
            let Some(row) = columns.into_row()? else { continue };
            match clients.last_mut().filter(|(client, ..)| client == row.key.client_id()) {
                Some((_, _, rows)) => rows.push(row),
                None => clients.push((row.key.client_id().clone(), active, vec![row])),
            }
        }
        let read = |(client, active, rows)| (client, ClientRows::read(Some(Known::new(active, rows))));
        Ok(clients.into_iter().map(read).collect())
    }

    async fn select(&self, tx: &mut Tx, key: &CredentialKey) -> Result<Option<EntryColumns>, Error> {
        let select = concat!(
            "SELECT c.client_id, c.note, ",
            columns!(),
            " FROM agentidp_credentials c WHERE c.client_id = $1 AND c.credential_id = $2",
            for_update!()
        );
        let select = sqlx::query_as(select).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
        Ok(select.fetch_optional(&mut **tx).await?)
    }
}

#[async_trait]
impl Ledger for Own {
    type Tx = Tx;
    type Error = Error;

    async fn begin(&self) -> Result<Tx, Error> {
        Ok(super::begin(&self.pool).await?)
    }

    async fn commit(&self, tx: Tx) -> Result<(), CommitError<Error>> {
        super::commit(tx).await.map_err(|error| match error {
            CommitError::NotDone(error) => CommitError::NotDone(error.into()),
            CommitError::Unknown(error) => CommitError::Unknown(error.into()),
        })
    }

    async fn now(&self, tx: &mut Tx) -> Result<SystemTime, Error> {
        Ok(super::now(self, tx).await?)
    }

    async fn lock(&self, tx: &mut Tx, key: &CredentialKey) -> Result<Entry, Error> {
        let mut found = self.select(tx, key).await?;
        if let (None, Some(lock)) = (&found, LOCK_ABSENT) {
            let lock = sqlx::query(lock).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
            lock.execute(&mut **tx).await?;
            found = self.select(tx, key).await?;
        }
        let Some(EntryColumns { note, columns }) = found else { return Ok(Entry::default()) };
        let note = note.as_deref().map(Note::parse).transpose().map_err(|_| Error::Unreadable("note"))?;
        Ok(Entry { state: columns.into_state()?, note })
    }

    async fn insert(&self, tx: &mut Tx, row: &Row) -> Result<(), Error> {
        let client = "INSERT INTO agentidp_clients (client_id) VALUES ($1) ON CONFLICT (client_id) DO NOTHING";
        sqlx::query(client).bind(row.key.client_id().as_str()).execute(&mut **tx).await?;
        let insert = "INSERT INTO agentidp_credentials (client_id, credential_id, state, record, selector, \
                      previous_record, previous_selector, previous_until, revision, expires_at, is_unused, created_at) \
                      VALUES ($1, $2, 'active', $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                      ON CONFLICT (client_id, credential_id) DO UPDATE SET state = excluded.state, record = excluded.record, \
                      selector = excluded.selector, previous_record = excluded.previous_record, \
                      previous_selector = excluded.previous_selector, previous_until = excluded.previous_until, \
                      revision = excluded.revision, expires_at = excluded.expires_at, is_unused = excluded.is_unused, \
                      created_at = excluded.created_at \
                      WHERE agentidp_credentials.state = 'reserved'";
        let created_at = self.now(tx).await?;
        let written = Written::of(row)?;
        let insert = sqlx::query(insert)
            .bind(row.key.client_id().as_str())
            .bind(row.key.credential_id().as_str())
            .bind(written.record)
            .bind(written.selector)
            .bind(written.previous_record)
            .bind(written.previous_selector)
            .bind(written.previous_until)
            .bind(written.revision)
            .bind(row.expires_at.map(millis))
            .bind(row.is_unused)
            .bind(millis(created_at));
        one(insert.execute(&mut **tx).await?.rows_affected(), "there is a row of a new credential's key")
    }

    async fn replace(&self, tx: &mut Tx, row: &Row) -> Result<(), Error> {
        // A first use that was noted since the row was read stays.
        let replace = "UPDATE agentidp_credentials SET record = $3, selector = $4, previous_record = $5, \
                       previous_selector = $6, previous_until = $7, revision = $8, is_unused = is_unused AND $9 \
                       WHERE client_id = $1 AND credential_id = $2 AND state = 'active'";
        let written = Written::of(row)?;
        let replace = sqlx::query(replace)
            .bind(row.key.client_id().as_str())
            .bind(row.key.credential_id().as_str())
            .bind(written.record)
            .bind(written.selector)
            .bind(written.previous_record)
            .bind(written.previous_selector)
            .bind(written.previous_until)
            .bind(written.revision)
            .bind(row.is_unused);
        one(replace.execute(&mut **tx).await?.rows_affected(), "the row to be replaced is not active")
    }

    async fn end(&self, tx: &mut Tx, key: &CredentialKey) -> Result<(), Error> {
        let end = "UPDATE agentidp_credentials SET state = 'ended', record = NULL, selector = NULL, \
                   previous_record = NULL, previous_selector = NULL, previous_until = NULL \
                   WHERE client_id = $1 AND credential_id = $2 AND state = 'active'";
        let end = sqlx::query(end).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
        one(end.execute(&mut **tx).await?.rows_affected(), "the row to be ended is not active")
    }

    async fn note(&self, tx: &mut Tx, key: &CredentialKey, note: Option<&Note>) -> Result<(), Error> {
        let Some(note) = note else {
            let clear = "UPDATE agentidp_credentials SET note = NULL, note_due = NULL \
                         WHERE client_id = $1 AND credential_id = $2";
            let delete = "DELETE FROM agentidp_credentials \
                          WHERE client_id = $1 AND credential_id = $2 AND state = 'reserved'";
            for statement in [delete, clear] {
                let query = sqlx::query(statement).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
                query.execute(&mut **tx).await?;
            }
            return Ok(());
        };
        let keep = "INSERT INTO agentidp_credentials (client_id, credential_id, state, note, note_due) \
                    VALUES ($1, $2, 'reserved', $3, $4) \
                    ON CONFLICT (client_id, credential_id) DO UPDATE SET note = excluded.note, note_due = excluded.note_due";
        let keep = sqlx::query(keep).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
        keep.bind(note.to_text()).bind(note.due().map(millis)).execute(&mut **tx).await?;
        Ok(())
    }

    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>, Error> {
        let due = concat!(
            "SELECT client_id, credential_id FROM agentidp_credentials WHERE note_due <= ",
            now!("$2"),
            " ORDER BY note_due LIMIT $1"
        );
        let due = bind_now(self, sqlx::query_as(due).bind(i64::try_from(limit).unwrap_or(i64::MAX)));
        let keys: Vec<(String, String)> = due.fetch_all(&self.pool).await?;
        // Nothing that the lifecycle has noted is at an id that it could not have written.
        Ok(keys.iter().filter_map(|(client_id, credential_id)| key(client_id, credential_id).ok()).collect())
    }

    async fn rows(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, Error> {
        super::rows(self, client, freshness).await
    }

    async fn find(&self, selectors: &[Selector]) -> Result<Option<Vec<(ClientId, ClientRows)>>, Error> {
        Ok(Some(self.find_rows(selectors).await?))
    }

    async fn unfindable(&self, limit: usize) -> Result<Vec<ClientId>, Error> {
        // The index has the first condition.
        let lacking = concat!(
            "SELECT DISTINCT client_id FROM agentidp_credentials WHERE state = 'active' AND (selector IS NULL \
             OR selector NOT LIKE '%::%' OR previous_record IS NOT NULL \
             AND (previous_selector IS NULL OR previous_selector NOT LIKE '%::%')) \
             AND (selector IS NULL OR selector NOT LIKE '%::%' OR previous_until > ",
            now!("$2"),
            ") AND (expires_at IS NULL OR expires_at > ",
            now!("$2"),
            ") LIMIT $1"
        );
        let lacking = sqlx::query_as(lacking).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let clients: Vec<(String,)> = bind_now(self, lacking).fetch_all(&self.pool).await?;
        // One that cannot be read is nobody's who could log in, and hides nobody else.
        Ok(clients.iter().filter_map(|(client,)| ClientId::parse(client).ok()).collect())
    }

    fn is_current(&self, client: &ClientId, as_of: AsOf, expires_at: Option<SystemTime>) -> bool {
        super::is_current(self, client, as_of, expires_at)
    }

    fn is_changed(&self, client: &ClientId, as_of: AsOf) -> bool {
        super::is_changed(self, client, as_of)
    }

    async fn acknowledge(&self, client: &ClientId) {
        super::acknowledge(self, client).await;
    }

    fn may_repeat(&self, error: &Error) -> bool {
        error.as_database_error().is_some_and(super::may_repeat)
    }

    async fn used(&self, row: &Row) -> Result<bool, Error> {
        let used = "UPDATE agentidp_credentials SET is_unused = false \
                    WHERE client_id = $1 AND credential_id = $2 AND state = 'active' AND revision IS NOT DISTINCT FROM $3";
        let used = sqlx::query(used).bind(row.key.client_id().as_str()).bind(row.key.credential_id().as_str());
        let used = used.bind(row.revision.map(|revision| revision.to_string()));
        Ok(used.execute(&self.pool).await?.rows_affected() == 1)
    }

    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, Error> {
        let page = concat!(
            "SELECT c.client_id, ",
            columns!(),
            " FROM agentidp_credentials c WHERE c.state = 'active' AND (c.client_id, c.credential_id) > ($1, $2) \
             ORDER BY c.client_id, c.credential_id LIMIT $3"
        );
        // No id is empty.
        let (client, credential) =
            after.map_or(("", ""), |after| (after.client_id().as_str(), after.credential_id().as_str()));
        let page = sqlx::query_as(page).bind(client).bind(credential).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<Columns> = page.fetch_all(&self.pool).await?;
        rows.into_iter().filter_map(|columns| columns.into_row().transpose()).collect()
    }
}

/// The lock has promised that exactly one row is written.
fn one(rows: u64, otherwise: &'static str) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::Conflict(otherwise)) }
}
