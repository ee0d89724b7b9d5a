//! The audit trail, to be read.

use hyper::StatusCode;
use hyper::header::{HeaderValue, LINK};
use uuid::Uuid;

use super::validate::{audit_list, not_too_deep};
use crate::domain::AuditEvent;
use crate::error::{ApiError, ApiResult};
use crate::http::respond::json;
use crate::http::{Call, Response};

/// `GET /audit`. What is older than retention is not shown, whether or not it has been dropped yet. Pages
/// behind an event, to which the `Link` header leads, cost the same at any depth.
pub(super) async fn list(call: Call<'_>) -> ApiResult<Response> {
    let (mut filter, page) = audit_list(call.query())?;
    let kept_since = call.app.now().minus(AuditEvent::RETENTION);
    filter.from = filter.from.max(Some(kept_since));
    let found = not_too_deep(call.app.repos.audit.list(&filter, page).await?)?;
    let mut response = json(StatusCode::OK, &found);
    // A page that is not full is the last one.
    if let (Some(last), true) = (found.data.last(), found.data.len() == found.limit as usize)
        && let Ok(link) = HeaderValue::try_from(next(call.query(), last))
    {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// The page behind `last` (RFC 8288).
fn next(query: &str, last: &AuditEvent) -> String {
    let mut next = form_urlencoded::Serializer::new(String::new());
    let same = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "page" && name != "before");
    next.extend_pairs(same).append_pair("before", &format!("{}_{}", last.timestamp, last.event_id));
    format!("</api/v1/audit?{}>; rel=\"next\"", next.finish())
}

/// `GET /audit/{eventId}`
pub(super) async fn read(call: Call<'_>, event_id: Uuid) -> ApiResult<Response> {
    let kept_since = call.app.now().minus(AuditEvent::RETENTION);
    let event = call.app.repos.audit.find(event_id, kept_since).await?.ok_or(ApiError::AuditEventNotFound)?;
    Ok(json(StatusCode::OK, &event))
}
