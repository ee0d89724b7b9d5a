//! Rows as both databases return them, and what they are in the domain.

use agentidp_secrets::folder::FolderRow;
use agentidp_secrets::lifecycle::Row;
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;

use super::columns::{Id, TextList};
use crate::domain::{
    Agent, AgentStatus, AgentType, AuditAction, AuditEvent, Credential, CredentialStatus, DeploymentEnv, Outcome,
    PreviousColumns, SecretColumns, Timestamp, key,
};

macro_rules! credential_columns {
    ($from:literal) => {
        concat!(
            "SELECT credential_id, client_id, status, secret_hash, vault_path, vault_version, vault_written, secret_selector, ",
            "awaits_use, revision, created_at, expires_at, revoked_at, previous_hash, previous_path, previous_version, ",
            "previous_written, previous_selector, previous_expires_at, previous_of",
            $from
        )
    };
}

#[derive(FromRow)]
pub(super) struct AgentRow {
    agent_id: Id,
    email: String,
    agent_type: AgentType,
    version: String,
    capabilities: TextList,
    owner: String,
    deployment_env: DeploymentEnv,
    status: AgentStatus,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<AgentRow> for Agent {
    fn from(row: AgentRow) -> Self {
        Self {
            agent_id: row.agent_id.0,
            email: row.email,
            agent_type: row.agent_type,
            version: row.version,
            capabilities: row.capabilities.0,
            owner: row.owner,
            deployment_env: row.deployment_env,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

#[derive(FromRow)]
pub(super) struct LedgerColumns {
    pub(super) identity: Id,
    pub(super) counter: i64,
    pub(super) mark: Option<Id>,
    pub(super) next_mark: Option<Id>,
}

impl LedgerColumns {
    pub(super) fn of(row: &FolderRow) -> sqlx::Result<Self> {
        let id = |text: &String| text.parse().map(Id).map_err(|error| sqlx::Error::Encode(Box::new(error)));
        Ok(Self {
            identity: id(&row.identity)?,
            counter: row.counter.cast_signed(),
            mark: row.mark.as_ref().map(id).transpose()?,
            next_mark: row.next_mark.as_ref().map(id).transpose()?,
        })
    }
}

impl From<LedgerColumns> for FolderRow {
    fn from(row: LedgerColumns) -> Self {
        let text = |id: Id| id.0.to_string();
        Self {
            identity: text(row.identity),
            counter: row.counter.unsigned_abs(),
            mark: row.mark.map(text),
            next_mark: row.next_mark.map(text),
        }
    }
}

/// A select of what a [`CredentialRow`] has, up to its `FROM`.
pub(super) const CREDENTIAL_COLUMNS: &str = credential_columns!("");

/// The credentials of a client, up to its id.
pub(super) const CREDENTIALS_OF_CLIENT: &str = credential_columns!(" FROM credentials WHERE client_id = ");

#[derive(FromRow)]
pub(super) struct CredentialRow {
    credential_id: Id,
    client_id: Id,
    status: CredentialStatus,
    #[sqlx(flatten)]
    secret: SecretRow,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

/// The columns of a credential's secret, all of them nothing where an agent has no credential.
#[derive(FromRow)]
struct SecretRow {
    secret_hash: Option<String>,
    vault_path: Option<String>,
    vault_version: Option<i64>,
    vault_written: Option<String>,
    secret_selector: Option<String>,
    awaits_use: Option<bool>,
    revision: Option<Id>,
    expires_at: Option<Timestamp>,
    previous_hash: Option<String>,
    previous_path: Option<String>,
    previous_version: Option<i64>,
    previous_written: Option<String>,
    previous_selector: Option<String>,
    previous_expires_at: Option<Timestamp>,
    previous_of: Option<Id>,
}

impl From<SecretRow> for SecretColumns {
    fn from(row: SecretRow) -> Self {
        let revision = row.revision.map(|id| id.0);
        let counts = revision.is_some() && row.previous_of.map(|id| id.0) == revision;
        let previous = row.previous_expires_at.filter(|_| counts).map(|expires_at| PreviousColumns {
            hash: row.previous_hash,
            path: row.previous_path,
            version: row.previous_version,
            written: row.previous_written,
            selector: row.previous_selector,
            expires_at,
        });
        Self {
            secret_hash: row.secret_hash,
            vault_path: row.vault_path,
            vault_version: row.vault_version,
            vault_written: row.vault_written,
            secret_selector: row.secret_selector,
            awaits_use: row.awaits_use.unwrap_or_default(),
            revision,
            previous: previous.map(Box::new),
        }
    }
}

impl From<CredentialRow> for Credential {
    fn from(row: CredentialRow) -> Self {
        Self {
            credential_id: row.credential_id.0,
            client_id: row.client_id.0,
            status: row.status,
            created_at: row.created_at,
            expires_at: row.secret.expires_at,
            revoked_at: row.revoked_at,
            secret: row.secret.into(),
        }
    }
}

/// An agent joined with one of its active credentials, or with none.
#[derive(FromRow)]
pub(super) struct AuthenticationRow {
    pub(super) agent_status: AgentStatus,
    pub(super) token_epoch: i64,
    client_id: Id,
    credential_id: Option<Id>,
    #[sqlx(flatten)]
    secret: SecretRow,
}

impl AuthenticationRow {
    pub(super) fn into_row(self) -> Option<Row> {
        let key = key(self.client_id.0, self.credential_id?.0).ok()?;
        let expires_at = self.secret.expires_at;
        Some(SecretColumns::from(self.secret).into_row(key).expiring(expires_at.map(Into::into)))
    }
}

#[derive(FromRow)]
pub(super) struct AuditRow {
    event_id: Id,
    agent_id: Option<Id>,
    action: AuditAction,
    outcome: Outcome,
    ip_address: String,
    user_agent: String,
    metadata: Json<Value>,
    timestamp: Timestamp,
}

impl From<AuditRow> for AuditEvent {
    fn from(row: AuditRow) -> Self {
        Self {
            event_id: row.event_id.0,
            agent_id: row.agent_id.map(|id| id.0),
            action: row.action,
            outcome: row.outcome,
            ip_address: row.ip_address,
            user_agent: row.user_agent,
            metadata: row.metadata.0.into(),
            timestamp: row.timestamp,
        }
    }
}
