//! `GET /metrics`.

use hyper::StatusCode;

use crate::app::App;
use crate::http::{Response, respond};
use crate::vault_token::VaultToken;

/// All metrics in the Prometheus text format.
pub(super) fn render(app: &App) -> Response {
    // It grows shorter by itself, between two looks of whoever renews it.
    app.metrics.vault_token_life(app.vault_token.as_ref().and_then(VaultToken::life));
    respond::bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", app.metrics.render())
}
