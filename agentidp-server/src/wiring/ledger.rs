//! Whose the folder in Vault is.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::Clock;
use agentidp_secrets::backends::VaultKv2;
use agentidp_secrets::folder::{Disagreement, FolderState};

use super::StartError;
use crate::app::App;
use crate::config::{Config, ConfigError, Vault};
use crate::ledger::{Ledger, Rows, report};
use crate::repo::Repos;

/// What compares this database with the folder.
pub(crate) fn ledger(
    settings: &Vault,
    vault: VaultKv2,
    repos: &Repos,
    clock: &Arc<dyn Clock>,
    watch_time: Duration,
) -> Ledger {
    let rows = Rows(Arc::clone(&repos.ledger));
    Ledger::new(vault, rows, settings.folder(), Arc::clone(clock)).with_watch_time(watch_time).with_observer(report)
}

/// Looks for the first time. An empty database on the folder of another one is a wrong setting: what that database holds in
/// Vault would be paths without a row here.
///
/// # Errors
/// [`StartError`] in that case; while Vault cannot be reached the server starts, and deletions wait.
pub(super) async fn refuse_the_folder_of_another(config: &Config, app: &App) -> Result<(), StartError> {
    let Some(ledger) = &app.ledger else { return Ok(()) };
    let state = ledger.look().await;
    app.metrics.ledger(state);
    if state != FolderState::Disagrees(Disagreement::NotAdmitted) {
        return Ok(());
    }
    let empty = app.repos.ledger.database_is_empty().await.map_err(|error| StartError::database(config, &error))?;
    if !empty {
        return Ok(());
    }
    let folder = config.vault.as_ref().map(|vault| vault.prefix.as_str()).unwrap_or_default();
    let problem = format!(
        "names the folder `{folder}`, which belongs to another database, while this database is empty: name a folder of this \
         deployment's own, correct DATABASE_URL (AGENTIDP_DATA_DIR), or run `agentidp-server admit` if both databases are \
         meant to share the folder"
    );
    Err(ConfigError::new("VAULT_PREFIX", problem).into())
}
