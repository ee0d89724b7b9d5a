//! Credentials of an agent: generate, list, rotate, revoke.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::agents::{self, actor};
use super::pages;
use super::validate::{NewCredential, RotationOptions, credential_list};
use crate::credentials::{self, Rotation, Shown};
use crate::domain::{AgentStatus, Credential, CredentialStatus, Timestamp};
use crate::error::{ApiError, ApiResult};
use crate::http::respond::{json, no_content};
use crate::http::{Call, Response};

/// `POST /agents/{agentId}/credentials`
pub(super) async fn create(mut call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let body = call.json().await?;
    let options = NewCredential::parse(&body, call.app.now())?;
    let request = call.keyed(&format!("/agents/{agent_id}/credentials"), &body)?;
    if agents::find(call.app, agent_id).await?.status != AgentStatus::Active {
        return Err(ApiError::AgentNotActive);
    }
    let shown = credentials::create(Arc::clone(call.app), actor(&call), agent_id, options.expires_at, request).await?;
    Ok(show(StatusCode::CREATED, &shown, call.app.now()))
}

/// `GET /agents/{agentId}/credentials`
pub(super) async fn list(call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    let (status, page) = credential_list(call.query())?;
    agents::find(call.app, agent_id).await?;
    let (found, now) = (call.app.repos.credentials.list(agent_id, status, page).await?, call.app.now());
    let path = format!("/agents/{agent_id}/credentials");
    let place = |credential: &Credential| (credential.created_at, credential.credential_id);
    pages::answer(&call, &path, found, place, |credential| CredentialView::of(&credential, now))
}

/// `POST /agents/{agentId}/credentials/{credentialId}/rotate`
pub(super) async fn rotate(mut call: Call<'_>, agent_id: Uuid, credential_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let body = call.json().await?;
    let options = RotationOptions::parse(&body, call.app.now(), call.app.settings.max_overlap)?;
    let request = call.keyed(&format!("/agents/{agent_id}/credentials/{credential_id}/rotate"), &body)?;
    agents::find(call.app, agent_id).await?;
    let (app, actor) = (Arc::clone(call.app), actor(&call));
    let rotation = Rotation { expires_at: options.expires_at, overlap: options.overlap };
    let shown = credentials::rotate(app, actor, agent_id, credential_id, rotation, request).await?;
    Ok(show(StatusCode::OK, &shown, call.app.now()))
}

/// `DELETE /agents/{agentId}/credentials/{credentialId}`
pub(super) async fn revoke(call: Call<'_>, agent_id: Uuid, credential_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    agents::find(call.app, agent_id).await?;
    credentials::revoke(Arc::clone(call.app), actor(&call), agent_id, credential_id).await?;
    Ok(no_content())
}

/// `DELETE /agents/{agentId}/credentials/{credentialId}/previous`
pub(super) async fn end_previous(call: Call<'_>, agent_id: Uuid, credential_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    agents::find(call.app, agent_id).await?;
    credentials::end_previous(Arc::clone(call.app), actor(&call), agent_id, credential_id).await?;
    Ok(no_content())
}

/// Says that a request had been carried out before. There is no standard name; large APIs use this one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The one answer that shows a secret. No cache may keep it, which holds for every answer of this server.
fn show(status: StatusCode, shown: &Shown, now: Timestamp) -> Response {
    let view = ShownView {
        credential: CredentialView::of(&shown.credential, now),
        // To its owner, once.
        client_secret: shown.secret.expose_secret(),
    };
    let mut response = json(status, &view);
    if shown.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A credential in the documented JSON form: nothing of its secret, its digest or its path.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialView {
    credential_id: Uuid,
    client_id: Uuid,
    status: CredentialStatus,
    created_at: Timestamp,
    #[schema(required)]
    expires_at: Option<Timestamp>,
    #[schema(required)]
    revoked_at: Option<Timestamp>,
    /// Until when the secret before works, while there is one that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_expires_at: Option<Timestamp>,
}

impl CredentialView {
    fn of(credential: &Credential, now: Timestamp) -> Self {
        let previous = credential.secret.previous.as_ref().map(|previous| previous.expires_at);
        let is_active = credential.status == CredentialStatus::Active;
        Self {
            credential_id: credential.credential_id,
            client_id: credential.client_id,
            status: credential.status,
            created_at: credential.created_at,
            expires_at: credential.expires_at,
            revoked_at: credential.revoked_at,
            previous_expires_at: previous.filter(|end| is_active && *end > now),
        }
    }
}

/// The same with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialWithSecret)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownView<'a> {
    #[serde(flatten)]
    credential: CredentialView,
    client_secret: &'a str,
}
