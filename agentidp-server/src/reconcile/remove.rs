//! Removing paths without a row, as an operator's command asks for it.

use uuid::Uuid;

use super::{Drift, DriftClass, ReconcileError};
use crate::app::App;
use crate::domain::PurgeJob;
use crate::lifecycle;

/// How many paths one command removes at most: more than that is another deployment rather than leftovers.
pub const MOST_PATHS: usize = 100;

/// Removes the paths without a row among `found`, if the gate for deletions is open; says how many. A path whose
/// credential is active or has a job stays.
///
/// # Errors
/// [`ReconcileError`]; what was removed until then stays removed.
pub async fn remove_paths(app: &App, found: &[Drift]) -> Result<u64, ReconcileError> {
    let mut removed = 0;
    for drift in found.iter().filter(|drift| drift.class == DriftClass::PathWithoutRow) {
        let ids = (Uuid::parse_str(&drift.client_id), Uuid::parse_str(&drift.credential_id));
        let (Ok(client_id), Ok(credential_id)) = ids else { continue };
        let key = lifecycle::key(client_id, credential_id).map_err(ReconcileError::Internal)?;
        let path = lifecycle::vault_path(app, &key).map_err(ReconcileError::Internal)?;
        let Some(vault_path) = path else { return Err(ReconcileError::NoVault) };
        let job = PurgeJob::delete(client_id, credential_id, vault_path, app.now());
        if app.gate.may_delete() && app.repos.drift.adopt(&job).await? {
            lifecycle::purge(app, &job).await.map_err(ReconcileError::Internal)?;
            removed += 1;
        }
    }
    Ok(removed)
}
