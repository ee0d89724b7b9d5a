//! `GET /metrics`.

use hyper::StatusCode;

use crate::app::App;
use crate::http::{Response, respond};

/// All metrics in the Prometheus text format.
pub(super) fn render(app: &App) -> Response {
    respond::bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", app.metrics.render())
}
