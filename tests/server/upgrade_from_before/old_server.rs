//! The statements of e3aad2c, as it sends them, with the values written out.

use agentidp_server::domain::{SecretColumns, Timestamp};
use uuid::Uuid;

use super::{Before, JOBS, began};

/// A credential's row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) client_id: Uuid,
    pub(super) credential_id: Uuid,
    pub(super) secret: SecretColumns,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) revoked_at: Option<Timestamp>,
}

impl Row {
    /// Active, without a secret yet.
    pub(super) fn of(client_id: Uuid) -> Self {
        let (credential_id, secret) = (Uuid::new_v4(), SecretColumns::default());
        Self { client_id, credential_id, secret, expires_at: None, revoked_at: None }
    }

    pub(super) fn with(&self, secret: SecretColumns) -> Self {
        Self { secret, ..self.clone() }
    }
}

/// A value, or NULL.
pub(super) fn literal(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| format!("'{}'", value.to_string()))
}

pub(super) fn number(value: Option<i64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

impl Before {
    /// `credentials.insert`, without its intent. eeb7202 writes a revision; a row from before it has none.
    pub(super) async fn insert(&self, row: &Row) {
        let Row { client_id, credential_id, secret, expires_at, revoked_at } = row;
        let (column, revision) = if self.newest == JOBS {
            ("", String::new())
        } else {
            (", revision", format!(", {}", literal(secret.revision)))
        };
        let status = if revoked_at.is_some() { "revoked" } else { "active" };
        let at = began();
        self.sql(format!(
            "INSERT INTO credentials (credential_id, client_id, status, secret_hash, vault_path, vault_version, \
             secret_selector, created_at, expires_at, revoked_at, awaits_use{column}) VALUES ('{credential_id}', '{client_id}', \
             '{status}', {}, {}, {}, {}, '{at}', {}, {}, {}{revision})",
            literal(secret.secret_hash.as_ref()),
            literal(secret.vault_path.as_ref()),
            number(secret.vault_version),
            literal(secret.secret_selector.as_ref()),
            literal(expires_at.as_ref()),
            literal(revoked_at.as_ref()),
            secret.awaits_use,
        ))
        .await;
    }

    /// `replace_record`: says whether the row was still as `before`. Its intent is redeemed by the caller.
    pub(super) async fn replace(&self, before: &Row, after: &Row) -> bool {
        let is = |column: &str, value: String| format!("{column} IS NOT DISTINCT FROM {value}");
        self.sql(format!(
            "UPDATE credentials SET secret_hash = {}, vault_path = {}, vault_version = {}, secret_selector = {}, \
             expires_at = {}, awaits_use = {} WHERE client_id = '{}' AND credential_id = '{}' AND status = 'active' \
             AND {} AND {} AND {} AND awaits_use = {}",
            literal(after.secret.secret_hash.as_ref()),
            literal(after.secret.vault_path.as_ref()),
            number(after.secret.vault_version),
            literal(after.secret.secret_selector.as_ref()),
            literal(after.expires_at.as_ref()),
            after.secret.awaits_use,
            before.client_id,
            before.credential_id,
            is("secret_hash", literal(before.secret.secret_hash.as_ref())),
            is("vault_path", literal(before.secret.vault_path.as_ref())),
            is("vault_version", number(before.secret.vault_version)),
            before.secret.awaits_use,
        ))
        .await
            == 1
    }

    /// `idempotency.used`.
    pub(super) async fn used(&self, row: &Row) {
        self.sql(format!(
            "UPDATE credentials SET awaits_use = false WHERE credential_id = '{}' AND status = 'active'",
            row.credential_id
        ))
        .await;
    }

    /// `credentials.revoke`, with the job in the same transaction.
    pub(super) async fn end(&self, row: &Row, now: Timestamp) {
        let revoked = self
            .sql(format!(
                "UPDATE credentials SET status = 'revoked', revoked_at = '{now}' \
                 WHERE client_id = '{}' AND credential_id = '{}' AND status = 'active'",
                row.client_id, row.credential_id
            ))
            .await;
        assert_eq!(revoked, 1);
        if let Some(path) = &row.secret.vault_path {
            self.schedule(row, path, now).await;
        }
    }

    /// `purges::schedule`.
    pub(super) async fn schedule(&self, row: &Row, path: &str, due_at: Timestamp) {
        self.sql(format!(
            "INSERT INTO purge_jobs (credential_id, client_id, vault_path, due_at, attempts) \
             VALUES ('{}', '{}', '{path}', '{due_at}', 0) \
             ON CONFLICT (credential_id) DO UPDATE SET vault_path = excluded.vault_path, due_at = excluded.due_at",
            row.credential_id, row.client_id
        ))
        .await;
    }

    /// `purges.intend`: says whether the intent is noted.
    pub(super) async fn intend(&self, row: &Row, path: &str, due_at: Timestamp, now: Timestamp) -> bool {
        self.sql(format!(
            "INSERT INTO purge_jobs (credential_id, client_id, vault_path, due_at, attempts) \
             VALUES ('{}', '{}', '{path}', '{due_at}', 0) ON CONFLICT (credential_id) DO UPDATE \
             SET vault_path = excluded.vault_path, due_at = excluded.due_at, claimed_until = NULL \
             WHERE purge_jobs.claimed_until IS NULL OR purge_jobs.claimed_until <= '{now}'",
            row.credential_id, row.client_id
        ))
        .await
            == 1
    }

    /// `purges::redeem_intent`: says whether it was there and unclaimed.
    pub(super) async fn redeem(&self, row: &Row, path: &str) -> bool {
        self.sql(format!(
            "DELETE FROM purge_jobs WHERE credential_id = '{}' AND vault_path = '{path}' AND claimed_until IS NULL",
            row.credential_id
        ))
        .await
            == 1
    }

    /// `drift.adopt`: says whether the path has a job now that had none.
    pub(super) async fn adopt(&self, row: &Row, path: &str, due_at: Timestamp) -> bool {
        self.sql(format!(
            "INSERT INTO purge_jobs (credential_id, client_id, vault_path, due_at, attempts) \
             SELECT '{0}', '{1}', '{path}', '{due_at}', 0 WHERE NOT EXISTS (SELECT 1 FROM credentials c \
             WHERE c.credential_id = '{0}' AND c.vault_path = '{path}' AND c.status = 'active') \
             ON CONFLICT (credential_id) DO NOTHING",
            row.credential_id, row.client_id
        ))
        .await
            == 1
    }

    /// `purges.claim`: says whether the job is this server's.
    pub(super) async fn claim(&self, row: &Row, path: &str, now: Timestamp, until: Timestamp) -> bool {
        self.sql(format!(
            "UPDATE purge_jobs SET claimed_until = '{until}', due_at = '{until}' \
             WHERE credential_id = '{0}' AND vault_path = '{path}' AND due_at <= '{now}' \
             AND (claimed_until IS NULL OR claimed_until <= '{now}') AND NOT EXISTS (SELECT 1 FROM credentials c \
             WHERE c.credential_id = '{0}' AND c.vault_path = '{path}' AND c.status = 'active')",
            row.credential_id
        ))
        .await
            == 1
    }

    /// `purges.done`.
    pub(super) async fn done(&self, row: &Row, until: Timestamp) {
        let claimed = format!("credential_id = '{}' AND claimed_until = '{until}'", row.credential_id);
        self.sql(format!("DELETE FROM purge_jobs WHERE {claimed} AND due_at = '{until}'")).await;
        self.sql(format!("UPDATE purge_jobs SET claimed_until = NULL WHERE {claimed}")).await;
    }
}
