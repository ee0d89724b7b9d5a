//! Agents (in work on the branch `resources`; when merging, take theirs).
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::http::{Call, Response};

pub(super) async fn create(_call: Call<'_>) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn list(_call: Call<'_>) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn read(_call: Call<'_>, _agent_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn update(_call: Call<'_>, _agent_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn decommission(_call: Call<'_>, _agent_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
