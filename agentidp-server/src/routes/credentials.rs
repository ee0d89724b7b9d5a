//! Credentials of an agent: generate, list, rotate, revoke.

use std::sync::Arc;

use agentidp_secrets::lifecycle::Usage;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use tracing::debug;
use utoipa::ToSchema;
use uuid::Uuid;

use super::agents::{self, actor};
use super::pages;
use super::validate::{NewCredential, RotationOptions, credential_list, end_of_previous};
use crate::credentials::{self, Rotation, Shown};
use crate::domain::{Credential, CredentialStatus, Timestamp};
use crate::error::ApiResult;
use crate::http::respond::{json, no_content};
use crate::http::{Call, Response};

/// `POST /agents/{agentId}/credentials`
pub(super) async fn create(mut call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let body = call.json().await?;
    let options = NewCredential::parse(&body)?;
    let request = call.keyed(&format!("/agents/{agent_id}/credentials"), &body)?;
    let agent = agents::find(call.app, agent_id).await?;
    let shown = credentials::create(Arc::clone(call.app), actor(&call), agent, options.expires_at, request).await?;
    Ok(show(StatusCode::CREATED, &shown, Usage::default(), call.app.now()))
}

/// `GET /agents/{agentId}/credentials`
pub(super) async fn list(call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    let (status, page) = credential_list(call.query())?;
    agents::find(call.app, agent_id).await?;
    let turn = call.list_turn().await;
    let (found, now) = (call.app.repos.credentials.list(agent_id, status, page).await?, call.app.now());
    drop(turn);
    let ids: Vec<_> = found.data.iter().map(|credential| credential.credential_id).collect();
    let used = call.app.repos.usage.usage(&ids).await?;
    let usage = |credential: &Credential| used.get(&credential.credential_id).copied().unwrap_or_default();
    let place = |credential: &Credential| (credential.created_at, credential.credential_id);
    pages::answer(&call, found, place, |credential| {
        let usage = usage(&credential);
        CredentialView::of(&credential, usage, now)
    })
}

/// `POST /agents/{agentId}/credentials/{credentialId}/rotate`
pub(super) async fn rotate(mut call: Call<'_>, agent_id: Uuid, credential_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let body = call.json().await?;
    let options = RotationOptions::parse(&body, call.app.settings.max_overlap)?;
    let request = call.keyed(&format!("/agents/{agent_id}/credentials/{credential_id}/rotate"), &body)?;
    agents::find(call.app, agent_id).await?;
    let (app, actor) = (Arc::clone(call.app), actor(&call));
    let rotation = Rotation { expires_at: options.expires_at, overlap: options.overlap };
    let shown = credentials::rotate(app, actor, agent_id, credential_id, rotation, request).await?;
    // The secret is committed, and shown now or never: it does not wait for when its forerunner was used.
    let used = call.app.repos.usage.usage(&[credential_id]).await;
    let used = used.inspect_err(|error| debug!(%error, "the last use could not be read: it is shown as never"));
    let usage = used.unwrap_or_default().remove(&credential_id).unwrap_or_default();
    Ok(show(StatusCode::OK, &shown, usage, call.app.now()))
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
    let force = end_of_previous(call.query())?;
    agents::find(call.app, agent_id).await?;
    credentials::end_previous(Arc::clone(call.app), actor(&call), agent_id, credential_id, force).await?;
    Ok(no_content())
}

/// Says that a request had been carried out before. There is no standard name; large APIs use this one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The one answer that shows a secret. No cache may keep it, which holds for every answer of this server.
fn show(status: StatusCode, shown: &Shown, usage: Usage, now: Timestamp) -> Response {
    let view = ShownView {
        credential: CredentialView::of(&shown.credential, usage, now),
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
    /// When the secret was last proved, at most a minute behind; null when never.
    #[schema(required)]
    last_used_at: Option<Timestamp>,
    /// The same of the secret before, while there is one that works.
    #[schema(required)]
    previous_last_used_at: Option<Timestamp>,
}

impl CredentialView {
    fn of(credential: &Credential, usage: Usage, now: Timestamp) -> Self {
        let previous = credential.secret.previous.as_ref().map(|previous| previous.expires_at);
        let is_active = credential.status == CredentialStatus::Active;
        let previous = previous.filter(|end| is_active && *end > now);
        Self {
            credential_id: credential.credential_id,
            client_id: credential.client_id,
            status: credential.status,
            created_at: credential.created_at,
            expires_at: credential.expires_at,
            revoked_at: credential.revoked_at,
            previous_expires_at: previous,
            last_used_at: usage.last_used_at.map(Into::into),
            previous_last_used_at: usage.previous_last_used_at.filter(|_| previous.is_some()).map(Into::into),
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
