//! What a comparison with Vault reads.

use async_trait::async_trait;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::{Db, KEY_ID, Store};
use crate::domain::{Credential, CredentialStatus, Timestamp};
use crate::repo::columns::Id;
use crate::repo::rows::{CREDENTIAL_COLUMNS, CredentialRow};
use crate::repo::{Backends, DriftRepo, Leadership, Result, Waiting};

/// Ids of keys that are told apart. No server has as many.
const MOST_KEYS: i64 = 64;

impl Store {
    /// How many active credentials hold a keyed digest under each key.
    async fn keys(&self) -> sqlx::Result<Vec<(String, u64)>> {
        let mut query = QueryBuilder::<Db>::new("SELECT ");
        query.push(KEY_ID).push(
            " AS id, count(*) FROM credentials WHERE status = 'active' AND vault_path IS NULL \
             AND secret_hash LIKE '$hmac-sha256$%' GROUP BY 1 ORDER BY 2 DESC LIMIT ",
        );
        let rows: Vec<(String, i64)> = query.push_bind(MOST_KEYS).build_query_as().fetch_all(&self.lists).await?;
        Ok(rows.into_iter().map(|(id, count)| (id, count.unsigned_abs())).collect())
    }
}

#[async_trait]
impl DriftRepo for Store {
    async fn page(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<Credential>> {
        let work = || async {
            let mut query = QueryBuilder::<Db>::new(CREDENTIAL_COLUMNS);
            query.push(" FROM credentials WHERE status = ").push_bind(CredentialStatus::Active);
            if let Some(after) = after {
                query.push(" AND credential_id > ").push_bind(Id(after));
            }
            query.push(" ORDER BY credential_id LIMIT ").push_bind(i64::from(limit));
            let rows: Vec<CredentialRow> = query.build_query_as().fetch_all(&self.read).await?;
            Ok(rows.into_iter().map(Into::into).collect())
        };
        self.watch.again("drift.page", work).await
    }

    async fn waiting(&self, now: Timestamp) -> Result<Waiting> {
        let work = || async {
            let (due, all): (i64, i64) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM purge_debts WHERE kind <> 'rest' AND deletions = 0 AND due_at <= $1) \
                 + (SELECT count(*) FROM purge_jobs WHERE due_at <= $1) \
                 + (SELECT count(*) FROM open_writes w WHERE kind = 'create' AND lease_until <= $1 \
                 AND NOT EXISTS (SELECT 1 FROM purge_debts o \
                 WHERE o.credential_id = w.credential_id AND o.vault_path = w.vault_path)), \
                 (SELECT count(*) FROM purge_debts WHERE kind <> 'rest' AND deletions = 0) \
                 + (SELECT count(*) FROM purge_jobs) \
                 + (SELECT count(*) FROM open_writes w WHERE kind = 'create' AND NOT EXISTS (SELECT 1 FROM purge_debts o \
                 WHERE o.credential_id = w.credential_id AND o.vault_path = w.vault_path))",
            )
            .bind(now)
            .fetch_one(&self.read)
            .await?;
            Ok(Waiting { due: due.unsigned_abs(), later: (all - due).unsigned_abs() })
        };
        self.watch.again("drift.waiting", work).await
    }

    async fn backends(&self) -> Result<Backends> {
        let work = || async {
            // The path counts where there are both.
            let (all, vault, keyed, argon2): (i64, i64, i64, i64) = sqlx::query_as(
                "SELECT count(*), count(vault_path), \
                 count(CASE WHEN vault_path IS NULL AND secret_hash LIKE '$hmac-sha256$%' THEN 1 END), \
                 count(CASE WHEN vault_path IS NULL AND secret_hash LIKE '$argon2%' THEN 1 END) \
                 FROM credentials WHERE status = 'active'",
            )
            .fetch_one(&self.lists)
            .await?;
            let [bcrypt, argon2, vault, keyed] =
                [all - vault - keyed - argon2, argon2, vault, keyed].map(i64::unsigned_abs);
            let keys = if keyed == 0 { Vec::new() } else { self.keys().await? };
            Ok(Backends { bcrypt, argon2, vault, keyed, keys })
        };
        self.watch.again("drift.backends", work).await
    }

    async fn outside(&self, path: &str) -> Result<u64> {
        let work = || async {
            // Unlike LIKE, this reads no wildcards in the path.
            let count = "SELECT count(*) FROM credentials WHERE status = 'active' AND vault_path IS NOT NULL \
                         AND substr(vault_path, 1, length($1)) <> $1";
            let count: i64 = sqlx::query_scalar(count).bind(path).fetch_one(&self.lists).await?;
            Ok(count.unsigned_abs())
        };
        self.watch.again("drift.outside", work).await
    }

    async fn lead(&self) -> Result<Option<Box<dyn Leadership>>> {
        self.watch.again("drift.lead", || super::super::dialect::lead(&self.write)).await
    }
}
