//! The statements of eeb7202, as it sends them, with the values written out. Those on `purge_jobs` are left out: the table is
//! empty where no older server runs.

use agentidp_secrets::{BackendId, StoredSecret};

use super::*;
use crate::upgrade_from_before::old_server::number;

/// A row of `open_writes`.
pub(super) struct Write {
    pub(super) kind: &'static str,
    pub(super) base: i64,
    pub(super) attempt: Uuid,
    pub(super) digests: String,
    pub(super) lease_until: Timestamp,
}

impl Write {
    /// With a lease of 30 seconds.
    pub(super) fn of(kind: &'static str, base: i64, digests: impl Into<String>, now: Timestamp) -> Self {
        Self { kind, base, attempt: Uuid::new_v4(), digests: digests.into(), lease_until: now.plus(seconds(30)) }
    }

    /// Its holder died a while ago.
    pub(super) fn dead(self) -> Self {
        Self { lease_until: began().minus(seconds(1)), ..self }
    }
}

impl Connection {
    /// `purges::schedule`.
    pub(in super::super) async fn owe(&mut self, row: &Row, path: &str, kind: &str, due_at: Timestamp) {
        self.run(format!(
            "INSERT INTO purge_debts (credential_id, client_id, vault_path, kind, due_at, attempts) \
             VALUES ('{}', '{}', '{path}', '{kind}', '{due_at}', 0) ON CONFLICT (credential_id, vault_path) DO UPDATE \
             SET kind = excluded.kind, due_at = excluded.due_at, deletions = 0",
            row.credential_id, row.client_id
        ))
        .await;
    }

    /// The first statement of `open_writes.open`.
    async fn note(&mut self, row: &Row, path: &str, write: &Write) {
        let touched = self
            .run(format!(
                "INSERT INTO open_writes (credential_id, client_id, kind, vault_path, base, attempt, digests, lease_until) \
                 VALUES ('{}', '{}', '{}', '{path}', {}, '{}', '{}', '{}') \
                 ON CONFLICT (credential_id) DO UPDATE SET client_id = open_writes.client_id",
                row.credential_id, row.client_id, write.kind, write.base, write.attempt, write.digests, write.lease_until
            ))
            .await;
        assert_eq!(touched, 1);
    }
}

impl Before {
    /// What the release leaves that has opened a write and dies.
    pub(super) async fn leave(&self, row: &Row, write: &Write) {
        self.connect().await.note(row, &self.path(row), write).await;
    }

    /// `open_writes.open`: what an earlier attempt has noted for the same version. `None`: another one holds it, or the
    /// credential has ended.
    pub(super) async fn open(&self, row: &Row, write: &Write, now: Timestamp) -> Option<Vec<String>> {
        let (id, path, attempt) = (row.credential_id, self.path(row), write.attempt);
        let mut tx = self.connect().await.begin().await;
        let share = if self.is_postgres() { " FOR SHARE" } else { "" };
        let status = tx.texts(format!("SELECT status FROM credentials WHERE credential_id = '{id}'{share}")).await;
        if write.kind != "create" && status != ["active"] {
            return None;
        }
        tx.note(row, &path, write).await;
        let longest = now.plus(seconds(1800));
        let held = format!("attempt <> '{attempt}' AND lease_until > '{now}' AND lease_until <= '{longest}'");
        if !tx.texts(format!("SELECT kind FROM open_writes WHERE credential_id = '{id}' AND {held}")).await.is_empty() {
            return None;
        }
        let continued =
            format!("attempt <> '{attempt}' AND vault_path = '{path}' AND base = {} AND base > 0", write.base);
        let left =
            tx.texts(format!("SELECT digests FROM open_writes WHERE credential_id = '{id}' AND {continued}")).await;
        let left: Vec<_> = left.iter().flat_map(|left| left.split_whitespace().map(str::to_owned)).collect();
        let digests: Vec<_> = left.iter().map(String::as_str).chain([write.digests.as_str()]).collect();
        tx.run(format!(
            "UPDATE open_writes SET kind = '{}', vault_path = '{path}', base = {}, attempt = '{attempt}', digests = '{}', \
             lease_until = '{}' WHERE credential_id = '{id}'",
            write.kind,
            write.base,
            digests.join(" ").trim(),
            write.lease_until,
        ))
        .await;
        tx.commit().await;
        Some(left)
    }

    /// `replace_record`: says whether the row was still as `before`. Its revision is the attempt.
    pub(super) async fn commit(&self, before: &Row, after: &Row) -> bool {
        let mut tx = self.connect().await.begin().await;
        let (id, attempt) = (after.credential_id, after.secret.revision);
        let replaced = tx
            .run(format!(
                "UPDATE credentials SET secret_hash = {}, vault_path = {}, vault_version = {}, secret_selector = {}, \
                 expires_at = {}, awaits_use = {}, revision = {} WHERE client_id = '{}' AND credential_id = '{id}' \
                 AND status = 'active' AND revision IS NOT DISTINCT FROM {} AND awaits_use = {}",
                literal(after.secret.secret_hash.as_ref()),
                literal(after.secret.vault_path.as_ref()),
                number(after.secret.vault_version),
                literal(after.secret.secret_selector.as_ref()),
                literal(after.expires_at.as_ref()),
                after.secret.awaits_use,
                literal(attempt),
                before.client_id,
                literal(before.secret.revision),
                before.secret.awaits_use,
            ))
            .await;
        if replaced != 1 {
            return false;
        }
        let (left, kept) = (before.secret.place(), after.secret.place());
        if let Some((path, _)) = kept {
            let redeem = format!(
                "DELETE FROM open_writes WHERE credential_id = '{id}' AND attempt = '{}'",
                attempt.unwrap_or_default()
            );
            if tx.run(redeem).await != 1 && left != kept {
                return false;
            }
            tx.run(format!("DELETE FROM purge_debts WHERE credential_id = '{id}' AND vault_path = '{path}'")).await;
        }
        if let Some((path, _)) = left.filter(|(path, _)| kept.is_none_or(|(kept, _)| kept != *path)) {
            tx.owe(before, path, "blank", Timestamp::from(SystemTime::UNIX_EPOCH)).await;
        }
        tx.commit().await;
        true
    }

    /// `credentials.revoke`.
    pub(super) async fn revoke(&self, row: &Row, now: Timestamp) {
        let id = row.credential_id;
        let mut tx = self.connect().await.begin().await;
        let revoked = tx
            .texts(format!(
                "UPDATE credentials SET status = 'revoked', revoked_at = '{now}' WHERE client_id = '{}' \
                 AND credential_id = '{id}' AND status = 'active' RETURNING coalesce(vault_path, '')",
                row.client_id
            ))
            .await;
        assert_eq!(revoked.len(), 1);
        let left = tx.texts(format!("DELETE FROM open_writes WHERE credential_id = '{id}' RETURNING vault_path")).await;
        for path in revoked.iter().chain(&left).filter(|path| !path.is_empty()) {
            tx.owe(row, path, "delete", now).await;
        }
        tx.run(format!(
            "UPDATE purge_debts SET kind = 'delete', due_at = '{now}', deletions = 0 WHERE credential_id = '{id}'"
        ))
        .await;
        tx.commit().await;
    }

    /// `purges.claim`: says whether the debt is this server's.
    pub(super) async fn claim_debt(&self, row: &Row, kind: &str, now: Timestamp, until: Timestamp) -> bool {
        let (id, path, latest) = (row.credential_id, self.path(row), now.plus(seconds(1800)));
        self.sql(format!(
            "UPDATE purge_debts SET claimed_until = '{until}', due_at = '{until}' \
             WHERE credential_id = '{id}' AND vault_path = '{path}' AND kind = '{kind}' \
             AND ((due_at <= '{now}' AND (claimed_until IS NULL OR claimed_until <= '{now}')) OR claimed_until > '{latest}') \
             AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.credential_id = '{id}' AND c.status = 'active' \
             AND (purge_debts.kind = 'delete' OR c.vault_path = '{path}'))"
        ))
        .await
            == 1
    }

    /// `purges.done`, after the first deletion.
    pub(super) async fn debt_done(&self, row: &Row, now: Timestamp, until: Timestamp) {
        self.sql(format!(
            "UPDATE purge_debts SET deletions = deletions + 1, attempts = 0, claimed_until = NULL, \
             kind = CASE kind WHEN 'blank' THEN 'rest' ELSE kind END, due_at = '{}' WHERE credential_id = '{}' \
             AND vault_path = '{}' AND claimed_until = '{until}' AND due_at = '{until}'",
            now.plus(seconds(90)),
            row.credential_id,
            self.path(row),
        ))
        .await;
    }

    /// The statements of `purges.due` that change something.
    pub(super) async fn tidy(&self, now: Timestamp) {
        let active = "EXISTS (SELECT 1 FROM credentials c WHERE c.status = 'active' AND c.credential_id =";
        let mut tx = self.connect().await.begin().await;
        tx.run(format!(
            "UPDATE purge_debts SET kind = 'delete', due_at = '{now}', deletions = 0 WHERE kind <> 'delete' \
             AND claimed_until IS NULL AND NOT {active} purge_debts.credential_id)"
        ))
        .await;
        tx.run(format!(
            "DELETE FROM purge_debts WHERE kind <> 'rest' AND due_at <= '{now}' AND {active} purge_debts.credential_id \
             AND c.vault_path = purge_debts.vault_path)"
        ))
        .await;
        tx.commit().await;
    }

    /// `drift.adopt`: says whether a place without a row is to be deleted.
    pub(super) async fn adopt_place(&self, row: &Row, due_at: Timestamp) -> bool {
        let (id, path) = (row.credential_id, self.path(row));
        self.sql(format!(
            "INSERT INTO purge_debts (credential_id, client_id, vault_path, kind, due_at) \
             SELECT '{id}', '{}', '{path}', 'delete', '{due_at}' WHERE NOT EXISTS (SELECT 1 FROM credentials c \
             WHERE c.credential_id = '{id}' AND c.status = 'active') \
             AND NOT EXISTS (SELECT 1 FROM open_writes w WHERE w.credential_id = '{id}') \
             ON CONFLICT (credential_id, vault_path) DO NOTHING",
            row.client_id
        ))
        .await
            == 1
    }

    /// `credentials.authenticate`, and the check of the secret: whether a login there succeeds.
    pub(super) async fn old_login(&self, row: &Row, secret: &str, now: Timestamp) -> bool {
        let rows = self
            .texts(&format!(
                "SELECT coalesce(c.vault_path || coalesce('?version=' || CAST(c.vault_version AS text), ''), c.secret_hash) \
                 FROM agents a LEFT JOIN credentials c ON c.client_id = a.agent_id AND c.status = 'active' \
                 AND (c.expires_at IS NULL OR c.expires_at > '{now}') \
                 WHERE a.agent_id = '{}' ORDER BY c.created_at DESC, c.credential_id DESC",
                row.client_id
            ))
            .await;
        let [record] = rows.try_into().unwrap();
        let vault = VaultKv2::builder(support::bao().address(), self.mount.policy_token.as_str());
        let store = SecretStore::builder(vault.mount(&self.mount.name).build().unwrap()).accepts(bcrypt());
        let record = if record.starts_with('$') {
            StoredSecret::parse(&record).unwrap()
        } else {
            StoredSecret::new(BackendId::VAULT_KV2, record)
        };
        store.build().unwrap().verify(&key(row), &record.into(), &secret.into()).await.is_ok()
    }
}
