//! The audit trail (in work on the branch `resources`; when merging, take theirs).
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::http::{Call, Response};

pub(super) async fn list(_call: Call<'_>) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn read(_call: Call<'_>, _event_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
