//! What this server writes in the transaction of a change.

use std::sync::{Arc, OnceLock};

use agentidp_secrets::ClientSecret;
use agentidp_secrets::lifecycle::{Change, Row};
use async_trait::async_trait;
use serde_json::json;
use uuid::Uuid;

use super::actor::Actor;
use super::shown::Shown;
use crate::app::App;
use crate::domain::idempotency::Claim;
use crate::domain::{AgentStatus, AuditAction, AuditEvent, Credential, SecretColumns, Timestamp, ids};
use crate::error::ApiError;
use crate::life::Database;
use crate::repo::ChangeTx;

/// A secret that is generated: its credential's options, its event, and the note of its request.
#[derive(Clone)]
pub(super) struct Made {
    actor: Actor,
    action: AuditAction,
    now: Timestamp,
    /// Has to be active, and may have so many active credentials with the new one.
    agent: Option<(Uuid, Option<u64>)>,
    expires_at: Option<Timestamp>,
    claim: Option<Claim>,
    /// The row whose unused secret it replaces, for a request that was carried out before.
    instead_of: Option<Arc<Credential>>,
    row: Arc<OnceLock<Credential>>,
}

impl Made {
    pub(super) fn new(app: &App, actor: &Actor, action: AuditAction) -> Self {
        Self {
            actor: actor.clone(),
            action,
            now: app.now(),
            agent: None,
            expires_at: None,
            claim: None,
            instead_of: None,
            row: Arc::default(),
        }
    }

    /// Of an active agent, and one of at most `limit` active credentials that it has.
    pub(super) fn of_agent(self, agent_id: Uuid, limit: Option<u64>) -> Self {
        Self { agent: Some((agent_id, limit)), ..self }
    }

    pub(super) fn expiring(self, at: Option<Timestamp>) -> Self {
        Self { expires_at: at, ..self }
    }

    pub(super) fn under(self, claim: Option<Claim>) -> Self {
        Self { claim, ..self }
    }

    pub(super) fn instead_of(self, row: Credential) -> Self {
        Self { instead_of: Some(Arc::new(row)), ..self }
    }

    /// What the client gets to see, once it is committed.
    pub(super) fn shown(&self, secret: ClientSecret) -> Result<Shown, ApiError> {
        let row = self.row.get().cloned();
        let credential = row.ok_or_else(|| ApiError::internal("a change was committed without its own writes"))?;
        Ok(Shown { credential, secret, replayed: self.instead_of.is_some() })
    }

    fn event(&self, row: &Credential) -> AuditEvent {
        let mut about = json!({ "credentialId": row.credential_id, "expiresAt": row.expires_at });
        if let Some(previous) = &row.secret.previous {
            about["previousExpiresAt"] = json!(previous.expires_at);
        }
        if self.instead_of.is_some() {
            about["idempotentReplay"] = json!(true);
        }
        self.actor.event(self.action, row.client_id, about, self.now)
    }

    /// Notes what the request made.
    async fn carry_out(&self, tx: &mut Box<dyn ChangeTx>, row: &Credential) -> Result<(), ApiError> {
        let carried = match (&self.claim, &self.instead_of) {
            (Some(claim), None) => tx.carry_out(claim, row).await?,
            (Some(claim), Some(before)) => tx.carry_out_anew(claim, before, row).await?,
            (None, _) => true,
        };
        // Otherwise another has taken over, and it is theirs to answer.
        if carried { Ok(()) } else { Err(ApiError::IdempotencyKeyInUse) }
    }
}

#[async_trait]
impl Change<Database> for Made {
    async fn before(&self, tx: &mut Box<dyn ChangeTx>) -> Result<(), ApiError> {
        if let Some((agent_id, limit)) = self.agent {
            match tx.lock_agent(agent_id).await? {
                Some((AgentStatus::Active, _)) => {}
                _ => return Err(ApiError::AgentNotActive),
            }
            // Whoever else makes one for this agent waits for its lock.
            if let Some(limit) = limit
                && tx.active_credentials(agent_id).await?.len() as u64 >= limit
            {
                return Err(ApiError::FreeTierLimitExceeded { limit });
            }
        }
        // A login may have used the secret meanwhile.
        let Some(replaced) = &self.instead_of else { return Ok(()) };
        let found = tx.lock(replaced.client_id, replaced.credential_id).await?.state;
        let revision = replaced.to_row().map_err(ApiError::internal)?.revision;
        match found.active() {
            Some(row) if row.is_unused && row.revision == revision => Ok(()),
            _ => Err(ApiError::IdempotencyKeyInUse),
        }
    }

    async fn after(&self, tx: &mut Box<dyn ChangeTx>, row: &Row) -> Result<(), ApiError> {
        let (client_id, credential_id) = ids(&row.key);
        let kept = row.expires_at.map(Timestamp::from).filter(|at| *at > self.now || self.instead_of.is_some());
        let expires_at = self.expires_at.or(kept);
        // What is in Vault can be read back instead.
        let is_digest = SecretColumns::of(row).map_err(ApiError::internal)?.vault_path.is_none();
        let row = tx.finish(client_id, credential_id, expires_at, is_digest && self.claim.is_some()).await?;
        tx.append(&self.event(&row)).await?;
        self.carry_out(tx, &row).await?;
        // The transaction may be run again, and comes to the same.
        let _ = self.row.set(row);
        Ok(())
    }
}

/// The end of a credential, or of its previous secret.
pub(super) struct Ended(pub(super) AuditEvent);

#[async_trait]
impl Change<Database> for Ended {
    async fn after(&self, tx: &mut Box<dyn ChangeTx>, _row: &Row) -> Result<(), ApiError> {
        Ok(tx.append(&self.0).await?)
    }
}
