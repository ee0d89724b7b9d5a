//! Credentials.

use std::sync::Arc;

use agentidp_secrets::lifecycle::Known;
use async_trait::async_trait;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::list::List;
use super::{Db, Store};
use crate::domain::{AgentStatus, Credential, CredentialStatus, Page, Paged, Timestamp};
use crate::repo::columns::Id;
use crate::repo::rows::{AuthenticationRow, CREDENTIALS_OF_CLIENT, CredentialRow};
use crate::repo::{CredentialRepo, Result};

const CREDENTIALS: List = List {
    select: CREDENTIALS_OF_CLIENT,
    from: "FROM credentials WHERE client_id = ",
    key: ["created_at", "credential_id"],
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

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Known>>> {
        let work = || async {
            let rows: Vec<AuthenticationRow> = sqlx::query_as(
                "SELECT a.status AS agent_status, a.token_epoch, c.credential_id, a.agent_id AS client_id, c.secret_hash, \
                 c.vault_path, c.vault_version, c.vault_written, c.previous_written, c.secret_selector, c.awaits_use, c.revision, c.expires_at, c.previous_hash, \
                 c.previous_path, c.previous_version, c.previous_selector, c.previous_expires_at, c.previous_of \
                 FROM agents a LEFT JOIN credentials c ON c.client_id = a.agent_id AND c.status = 'active' \
                 AND (c.expires_at IS NULL OR c.expires_at > $2) \
                 WHERE a.agent_id = $1 ORDER BY c.created_at DESC, c.credential_id DESC",
            )
            .bind(Id(client_id))
            .bind(now)
            .fetch_all(&self.read)
            .await?;
            let Some((status, epoch)) = rows.first().map(|row| (row.agent_status, row.token_epoch)) else {
                return Ok(None);
            };
            let rows = rows.into_iter().filter_map(AuthenticationRow::into_row).collect();
            Ok(Some(Arc::new(Known::new(status == AgentStatus::Active, rows).in_epoch(epoch))))
        };
        self.watch.again("credentials.authenticate", work).await
    }
}
