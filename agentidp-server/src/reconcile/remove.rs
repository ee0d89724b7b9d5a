//! Removing paths without a row, as an operator's command asks for it.

use agentidp_secrets::SecretBackend as _;
use uuid::Uuid;

use super::{Drift, DriftClass, ReconcileError};
use crate::app::App;
use crate::domain::key;

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
        let key = key(client_id, credential_id).map_err(ReconcileError::Vault)?;
        let place = app.vault_client.as_ref().and_then(|vault| vault.place(&key)).ok_or(ReconcileError::NoVault)?;
        let drift = &app.repos.drift;
        if app.gate.may_delete() && drift.adopt(client_id, credential_id, place.payload(), app.now()).await? {
            app.life().ended(&key).await;
            removed += 1;
        }
    }
    Ok(removed)
}
