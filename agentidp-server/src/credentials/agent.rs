//! Changes to an agent, its end included.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::lifecycle::{CommitError, Ledger as _};
use agentidp_secrets::{ClientId, CredentialKey};
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::Actor;
use super::uncut::{ATTEMPTS, uncut};
use crate::app::App;
use crate::domain::{Agent, AgentStatus, AuditAction, Timestamp, key};
use crate::error::ApiError;

/// Changes an agent. One that becomes decommissioned loses its credentials in the same commit, and Vault is asked to
/// forget them.
///
/// `change` gets the agent as it is, and once more when somebody else was faster.
///
/// # Errors
/// `AGENT_NOT_FOUND`, `AGENT_ALREADY_DECOMMISSIONED`, `SERVICE_UNAVAILABLE` when too many others change the same agent at
/// once, `INTERNAL_SERVER_ERROR`.
pub(crate) async fn change_agent(
    app: Arc<App>,
    actor: Actor,
    agent_id: Uuid,
    change: impl Fn(&Agent) -> Agent + Send + Sync + 'static,
) -> Result<Agent, ApiError> {
    uncut(async move {
        for _ in 0..ATTEMPTS {
            let found = app.repos.agents.find(agent_id).await?;
            let before = found.ok_or(ApiError::AgentNotFound)?;
            if before.status == AgentStatus::Decommissioned {
                return Err(ApiError::AgentAlreadyDecommissioned);
            }
            let now = app.now();
            let after = Agent { updated_at: moved_forward(before.updated_at, now), ..change(&before) };
            if let Some(ended) = replace(&app, &actor, &before, &after, now).await? {
                let life = app.life();
                if ended.is_empty() {
                    life.ledger().acknowledge(&client(agent_id)?).await;
                }
                join_all(ended.iter().map(|key| life.ended(key))).await;
                return Ok(after);
            }
        }
        // Nothing is broken and nothing was changed: the client may simply ask again.
        Err(ApiError::Busy(None))
    })
    .await
}

/// Puts `after` in place of `before`, with the ends of its credentials where it ends: their keys. Nothing where somebody else was
/// faster.
async fn replace(
    app: &App,
    actor: &Actor,
    before: &Agent,
    after: &Agent,
    now: Timestamp,
) -> Result<Option<Vec<CredentialKey>>, ApiError> {
    let (life, agent_id) = (app.life(), before.agent_id);
    let mut tx = life.ledger().begin().await?;
    if tx.lock_agent(agent_id).await?.is_none_or(|(_, updated_at)| updated_at != before.updated_at) {
        return Ok(None);
    }
    tx.update_agent(after).await?;
    let about = json!({ "changed": changed(before, after) });
    tx.append(&actor.event(action(before.status, after.status), agent_id, about, now)).await?;
    let mut ended = Vec::new();
    if after.status == AgentStatus::Decommissioned {
        for credential_id in tx.active_credentials(agent_id).await? {
            let key = key(agent_id, credential_id).map_err(ApiError::internal)?;
            // Otherwise it was revoked in between, and has its event.
            if life.end_in(&mut tx, &key).await?.is_some() {
                let about = json!({ "credentialId": credential_id });
                tx.append(&actor.event(AuditAction::CredentialRevoked, agent_id, about, now)).await?;
                ended.push(key);
            }
        }
    }
    match life.ledger().commit(tx).await {
        Ok(()) => Ok(Some(ended)),
        Err(CommitError::NotDone(error) | CommitError::Unknown(error)) => Err(error),
    }
}

fn client(agent_id: Uuid) -> Result<ClientId, ApiError> {
    ClientId::parse(&agent_id.to_string()).map_err(ApiError::internal)
}

/// `updated_at` is the row's version, so it moves even when the clock does not.
fn moved_forward(before: Timestamp, now: Timestamp) -> Timestamp {
    now.max(before.plus(Duration::from_millis(1)))
}

fn action(before: AgentStatus, after: AgentStatus) -> AuditAction {
    match (before, after) {
        (_, AgentStatus::Decommissioned) => AuditAction::AgentDecommissioned,
        (AgentStatus::Active, AgentStatus::Suspended) => AuditAction::AgentSuspended,
        (AgentStatus::Suspended, AgentStatus::Active) => AuditAction::AgentReactivated,
        _ => AuditAction::AgentUpdated,
    }
}

/// The names of the members that differ.
fn changed(before: &Agent, after: &Agent) -> Vec<&'static str> {
    [
        ("agentType", before.agent_type != after.agent_type),
        ("version", before.version != after.version),
        ("capabilities", before.capabilities != after.capabilities),
        ("owner", before.owner != after.owner),
        ("deploymentEnv", before.deployment_env != after.deployment_env),
        ("status", before.status != after.status),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_transition_has_its_action() {
        use AgentStatus::{Active, Decommissioned, Suspended};
        let table = [
            (Active, Active, "agent.updated"),
            (Suspended, Suspended, "agent.updated"),
            (Active, Suspended, "agent.suspended"),
            (Suspended, Active, "agent.reactivated"),
            (Active, Decommissioned, "agent.decommissioned"),
            (Suspended, Decommissioned, "agent.decommissioned"),
        ];
        for (before, after, expected) in table {
            assert_eq!(action(before, after).as_str(), expected);
        }
    }

    #[test]
    fn the_row_version_moves_while_the_clock_stands_still() {
        let now = Timestamp::parse("2026-03-28T09:00:00Z").unwrap();
        assert!(moved_forward(now, now) > now);
        let later = now.plus(Duration::from_secs(1));
        assert_eq!(moved_forward(now, later), later);
    }
}
