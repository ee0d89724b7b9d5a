//! `POST /token/introspect` (RFC 7662).

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::agents;
use crate::domain::AuditAction;
use crate::error::ApiResult;
use crate::http::{Call, Response, bearer, respond};
use crate::tokens::Claims;

/// What a live token says.
#[derive(Serialize)]
struct Active {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: Claims,
}

/// Says whether a token is live. Of a dead or unknown one nothing else is said.
pub(super) async fn introspect(mut call: Call<'_>) -> ApiResult<Response> {
    let token = call.token_parameter().await?;
    let known = call.app.tokens.verify(&token).ok();
    let live = match known {
        Some(claims) if bearer::is_live(call.app, &claims).await? => Some(claims),
        _ => None,
    };
    let event = agents::actor(&call).event(
        AuditAction::TokenIntrospected,
        live.as_ref().map_or(call.caller.agent_id(), Claims::agent_id),
        json!({ "active": live.is_some(), "tokenId": live.as_ref().map(|claims| claims.jti) }),
        call.app.now(),
    );
    call.app.repos.audit.append(&event).await?;
    Ok(match live {
        Some(claims) => respond::json(StatusCode::OK, &Active { active: true, token_type: "Bearer", claims }),
        None => respond::json(StatusCode::OK, &json!({ "active": false })),
    })
}
