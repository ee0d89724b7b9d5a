//! Credentials (in work on the branch `resources`; when merging, take theirs).
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::http::{Call, Response};

pub(super) async fn create(_call: Call<'_>, _agent_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn list(_call: Call<'_>, _agent_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn rotate(_call: Call<'_>, _agent_id: Uuid, _credential_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
pub(super) async fn revoke(_call: Call<'_>, _agent_id: Uuid, _credential_id: Uuid) -> ApiResult<Response> {
    Err(ApiError::NotFound)
}
