//! Credentials of an agent: generate, list, rotate, revoke.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::agents::{self, actor};
use super::validate::{CredentialOptions, credential_list};
use crate::domain::{AgentStatus, Credential, CredentialStatus, Page, Timestamp};
use crate::error::{ApiError, ApiResult};
use crate::http::respond::{json, no_content};
use crate::http::{Call, Response};
use crate::lifecycle::{self, Shown};

/// `POST /agents/{agentId}/credentials`
pub(super) async fn create(mut call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let body = call.json().await?;
    let options = CredentialOptions::parse(&body, call.app.now())?;
    let request = call.keyed(&format!("/agents/{agent_id}/credentials"), &body)?;
    if agents::find(call.app, agent_id).await?.status != AgentStatus::Active {
        return Err(ApiError::AgentNotActive);
    }
    if let Some(limit) = call.app.settings.credential_limit {
        let first = Page { page: 1, limit: 1 };
        let active = call.app.repos.credentials.list(agent_id, Some(CredentialStatus::Active), first).await?;
        if active.total >= limit {
            return Err(ApiError::FreeTierLimitExceeded { limit });
        }
    }
    let shown = lifecycle::create(Arc::clone(call.app), actor(&call), agent_id, options.expires_at, request).await?;
    Ok(show(StatusCode::CREATED, &shown))
}

/// `GET /agents/{agentId}/credentials`
pub(super) async fn list(call: Call<'_>, agent_id: Uuid) -> ApiResult<Response> {
    let (status, page) = credential_list(call.query())?;
    agents::find(call.app, agent_id).await?;
    let credentials = call.app.repos.credentials.list(agent_id, status, page).await?;
    Ok(json(StatusCode::OK, &credentials.map(|credential| CredentialView::of(&credential))))
}

/// `POST /agents/{agentId}/credentials/{credentialId}/rotate`
pub(super) async fn rotate(mut call: Call<'_>, agent_id: Uuid, credential_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    let body = call.json().await?;
    let options = CredentialOptions::parse(&body, call.app.now())?;
    let request = call.keyed(&format!("/agents/{agent_id}/credentials/{credential_id}/rotate"), &body)?;
    agents::find(call.app, agent_id).await?;
    let (app, actor) = (Arc::clone(call.app), actor(&call));
    let shown = lifecycle::rotate(app, actor, agent_id, credential_id, options.expires_at, request).await?;
    Ok(show(StatusCode::OK, &shown))
}

/// `DELETE /agents/{agentId}/credentials/{credentialId}`
pub(super) async fn revoke(call: Call<'_>, agent_id: Uuid, credential_id: Uuid) -> ApiResult<Response> {
    call.caller.may_manage(agent_id)?;
    agents::find(call.app, agent_id).await?;
    lifecycle::revoke(Arc::clone(call.app), actor(&call), agent_id, credential_id).await?;
    Ok(no_content())
}

/// Says that a request had been carried out before. There is no standard name; large APIs use this one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The one answer that shows a secret. No cache may keep it, which holds for every answer of this server.
fn show(status: StatusCode, shown: &Shown) -> Response {
    let view = ShownView {
        credential: CredentialView::of(&shown.credential),
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
}

impl CredentialView {
    fn of(credential: &Credential) -> Self {
        Self {
            credential_id: credential.credential_id,
            client_id: credential.client_id,
            status: credential.status,
            created_at: credential.created_at,
            expires_at: credential.expires_at,
            revoked_at: credential.revoked_at,
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
