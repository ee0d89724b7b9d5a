//! Agents: register, read, change, decommission.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use uuid::Uuid;

use super::pages;
use super::validate::{AgentPatch, NewAgent, agent_list};
use crate::app::App;
use crate::credentials::{self, Actor};
use crate::domain::{Agent, AgentStatus, AuditAction, Outcome};
use crate::error::{ApiError, ApiResult};
use crate::http::respond::{json, no_content};
use crate::http::{Call, Response};
use crate::repo::CreateAgent;

/// `POST /agents`
pub(super) async fn create(mut call: Call<'_>) -> ApiResult<Response> {
    let registered = register(&mut call).await;
    call.app.metrics.agent_registered(if registered.is_ok() { Outcome::Success } else { Outcome::Failure });
    let agent = registered?;
    let mut answer = json(StatusCode::CREATED, &agent);
    // Relative to the request, as a proxy may know this server by another path.
    if let Ok(location) = HeaderValue::try_from(format!("agents/{}", agent.agent_id)) {
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}

async fn register(call: &mut Call<'_>) -> ApiResult<Agent> {
    let new = NewAgent::parse(&call.json().await?)?;
    let app = call.app;
    let now = app.now();
    let agent = new.into_agent(Uuid::new_v4(), now);
    let metadata = serde_json::json!({ "agentType": agent.agent_type, "owner": agent.owner, "deploymentEnv": agent.deployment_env });
    let event = actor(call).event(AuditAction::AgentCreated, agent.agent_id, metadata, now);
    let limit = app.settings.agent_limit;
    match app.repos.agents.create(&agent, limit, &event).await? {
        CreateAgent::Created => Ok(agent),
        CreateAgent::EmailTaken => Err(ApiError::AgentAlreadyExists),
        CreateAgent::LimitReached => Err(ApiError::FreeTierLimitExceeded { limit: limit.unwrap_or_default() }),
    }
}

/// `GET /agents`
pub(super) async fn list(call: Call<'_>) -> ApiResult<Response> {
    let (filter, page) = agent_list(call.query())?;
    let turn = call.list_turn().await;
    let found = call.app.repos.agents.list(&filter, page).await?;
    drop(turn);
    pages::answer(&call, found, |agent| (agent.created_at, agent.agent_id), |agent| agent)
}

/// `GET /agents/{agentId}`
pub(super) async fn read(call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    Ok(json(StatusCode::OK, &find(call.app, agent_id).await?))
}

/// The agent, or `AGENT_NOT_FOUND`.
pub(super) async fn find(app: &App, agent_id: Uuid) -> ApiResult<Agent> {
    app.repos.agents.find(agent_id).await?.ok_or(ApiError::AgentNotFound)
}

/// Who asks, for the audit trail.
pub(super) fn actor(call: &Call<'_>) -> Actor {
    Actor { subject: call.subject.clone(), origin: call.origin.clone() }
}

/// `PATCH /agents/{agentId}`
pub(super) async fn update(mut call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let patch = AgentPatch::parse(&call.json().await?)?;
    let agent =
        credentials::change_agent(Arc::clone(call.app), actor(&call), agent_id, move |agent| patch.apply(agent));
    Ok(json(StatusCode::OK, &agent.await?))
}

/// `DELETE /agents/{agentId}`
pub(super) async fn decommission(call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let ended = |agent: &Agent| Agent { status: AgentStatus::Decommissioned, ..agent.clone() };
    credentials::change_agent(Arc::clone(call.app), actor(&call), agent_id, ended).await?;
    Ok(no_content())
}
