//! `GET /health` (in work on the branch `resources`; when merging, take theirs).
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::http::Response;

pub(super) async fn check(_app: &App) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
