//! `GET /metrics`.

use std::net::IpAddr;

use hyper::StatusCode;

use crate::app::App;
use crate::dependencies::Vault;
use crate::http::{Response, respond};
use crate::vault_token::VaultToken;

/// All metrics in the Prometheus text format.
pub(super) async fn render(app: &App, address: IpAddr) -> Response {
    let _turn = app.metrics.turn(address).await;
    // It grows shorter by itself, between two looks of whoever renews it.
    let life = app.vault_token.as_ref().and_then(VaultToken::life);
    // A dead token has no life left, whatever was known of it before.
    let is_dead = app.dependencies.vault(app.clock.instant()) == Some(Vault::RefusesToken);
    if let Some(token) = &app.vault_token {
        app.metrics.vault_token_ending(is_dead || token.is_in_danger());
    }
    app.metrics.vault_token_life(life.filter(|_| !is_dead));
    respond::bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", app.metrics.render())
}
