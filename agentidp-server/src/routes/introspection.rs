//! `POST /token/introspect` (RFC 7662).

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::client::TokenQuestion;
use crate::domain::AuditAction;
use crate::error::ApiResult;
use crate::http::{Request, Response, bearer, respond};
use crate::tokens::Claims;

/// What a live token says.
#[derive(Serialize)]
struct Active {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: Claims,
}

/// Says whether a token is live. Of one that is dead, unknown or not the caller's to hear of nothing else is said.
pub(super) async fn introspect(request: &mut Request) -> ApiResult<Response> {
    let question = TokenQuestion::read(request).await?;
    let (app, caller) = (&request.app, question.caller.agent_id());
    let known = app.tokens.verify(&question.token).ok();
    let known = known.filter(|claims| !question.own_only || claims.agent_id() == caller);
    let live = match known {
        Some(claims) if bearer::is_live(app, &claims).await? => Some(claims),
        _ => None,
    };
    let event = question.actor(request).event(
        AuditAction::TokenIntrospected,
        live.as_ref().map_or(caller, Claims::agent_id),
        json!({ "active": live.is_some(), "tokenId": live.as_ref().map(|claims| claims.jti) }),
        app.now(),
    );
    app.repos.audit.append(&event).await?;
    Ok(match live {
        Some(claims) => respond::json(StatusCode::OK, &Active { active: true, token_type: "Bearer", claims }),
        None => respond::json(StatusCode::OK, &json!({ "active": false })),
    })
}
