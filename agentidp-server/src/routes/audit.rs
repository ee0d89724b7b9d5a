//! The audit trail, to be read.

use hyper::StatusCode;
use uuid::Uuid;

use super::pages;
use super::validate::audit_list;
use crate::domain::AuditEvent;
use crate::error::{ApiError, ApiResult};
use crate::http::respond::json;
use crate::http::{Call, Response};

/// `GET /audit`. What is older than retention is not shown, whether or not it has been dropped yet.
pub(super) async fn list(call: Call<'_>) -> ApiResult<Response> {
    let (mut filter, page) = audit_list(call.query())?;
    let kept_since = call.app.now().minus(AuditEvent::RETENTION);
    filter.from = filter.from.max(Some(kept_since));
    let turn = call.list_turn().await;
    let found = call.app.repos.audit.list(&filter, page).await?;
    drop(turn);
    pages::answer(&call, found, |event| (event.timestamp, event.event_id), |event| event)
}

/// `GET /audit/{eventId}`
pub(super) async fn read(call: Call<'_>, event_id: Uuid) -> ApiResult<Response> {
    let kept_since = call.app.now().minus(AuditEvent::RETENTION);
    let event = call.app.repos.audit.find(event_id, kept_since).await?.ok_or(ApiError::AuditEventNotFound)?;
    Ok(json(StatusCode::OK, &event))
}
