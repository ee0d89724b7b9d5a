//! Rows as both databases return them, and what they are in the domain.

use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;

use super::columns::{Id, TextList};
use super::ledger::LedgerRow;
use crate::domain::{
    Agent, AgentStatus, AgentType, AuditAction, AuditEvent, Credential, CredentialStatus, DeploymentEnv, Outcome,
    PurgeJob, PurgeKind, SecretColumns, Timestamp,
};

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
    identity: Id,
    counter: i64,
    mark: Option<Id>,
    next_mark: Option<Id>,
}

impl From<LedgerColumns> for LedgerRow {
    fn from(row: LedgerColumns) -> Self {
        Self {
            identity: row.identity.0,
            counter: row.counter.unsigned_abs(),
            mark: row.mark.map(|mark| mark.0),
            next_mark: row.next_mark.map(|mark| mark.0),
        }
    }
}

#[derive(FromRow)]
pub(super) struct CredentialRow {
    credential_id: Id,
    client_id: Id,
    status: CredentialStatus,
    secret_hash: Option<String>,
    vault_path: Option<String>,
    vault_version: Option<i64>,
    secret_selector: Option<String>,
    awaits_use: bool,
    revision: Option<Id>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl From<CredentialRow> for Credential {
    fn from(row: CredentialRow) -> Self {
        Self {
            credential_id: row.credential_id.0,
            client_id: row.client_id.0,
            status: row.status,
            secret: SecretColumns {
                secret_hash: row.secret_hash,
                vault_path: row.vault_path,
                vault_version: row.vault_version,
                secret_selector: row.secret_selector,
                awaits_use: row.awaits_use,
                revision: row.revision.map(|id| id.0),
            },
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
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
    secret_hash: Option<String>,
    vault_path: Option<String>,
    vault_version: Option<i64>,
    secret_selector: Option<String>,
    awaits_use: Option<bool>,
    revision: Option<Id>,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl AuthenticationRow {
    pub(super) fn into_credential(self) -> Option<Credential> {
        Some(Credential {
            credential_id: self.credential_id?.0,
            client_id: self.client_id.0,
            status: CredentialStatus::Active,
            secret: SecretColumns {
                secret_hash: self.secret_hash,
                vault_path: self.vault_path,
                vault_version: self.vault_version,
                secret_selector: self.secret_selector,
                awaits_use: self.awaits_use?,
                revision: self.revision.map(|id| id.0),
            },
            created_at: self.created_at?,
            expires_at: self.expires_at,
            revoked_at: None,
        })
    }
}

#[derive(FromRow)]
pub(super) struct PurgeRow {
    credential_id: Id,
    client_id: Id,
    vault_path: String,
    kind: PurgeKind,
    due_at: Timestamp,
    attempts: i64,
}

impl From<PurgeRow> for PurgeJob {
    fn from(row: PurgeRow) -> Self {
        Self {
            credential_id: row.credential_id.0,
            client_id: row.client_id.0,
            vault_path: row.vault_path,
            kind: row.kind,
            due_at: row.due_at,
            attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        }
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
