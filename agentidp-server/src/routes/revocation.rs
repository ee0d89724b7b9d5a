//! `POST /token/revoke` (RFC 7009).

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

use super::client::TokenQuestion;
use crate::domain::AuditAction;
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, Request, Response, respond};

/// Revokes a token. One that is unknown needs no revoking; that is a success too. One that is over is revoked all the same: a
/// clock that is ahead may only take it to be over.
pub(super) async fn revoke(request: &mut Request) -> ApiResult<Response> {
    let question = TokenQuestion::read(request).await?;
    let app = &request.app;
    if let Ok(claims) = app.tokens.read(&question.token) {
        match (claims.agent_id(), question.caller) {
            (Some(owner), caller) => caller.may_manage(owner)?,
            (None, Caller::Operator) => {}
            (None, Caller::Agent(_)) => {
                return Err(ApiError::Forbidden("an operator's token is an operator's to revoke".into()));
            }
        }
        let event = question.actor(request).event(
            AuditAction::TokenRevoked,
            claims.agent_id(),
            json!({ "tokenId": claims.jti }),
            app.now(),
        );
        app.repos.tokens.revoke(claims.jti, claims.expires_at(), &event).await?;
    }
    Ok(respond::bytes(StatusCode::OK, "application/json", Bytes::from_static(b"{}")))
}
