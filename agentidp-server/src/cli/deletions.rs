//! Waiting until a command may delete in Vault.

use std::time::Duration;

use agentidp_secrets::folder::{FolderState, LOOK_PERIOD, WATCH_TIME};
use tokio::time::sleep;
use tracing::info;

use crate::app::App;
use crate::ledger::advice;

/// How long a process watches its folder before it deletes. A test that starts many servers sets it shorter.
#[cfg(feature = "fail-points")]
pub(super) fn watch_time() -> Duration {
    let text = std::env::var_os("AGENTIDP_LEDGER_WATCH").and_then(|text| text.into_string().ok());
    text.and_then(|text| crate::config::parse_duration(&text)).unwrap_or(WATCH_TIME)
}

/// How long a process watches its folder before it deletes.
#[cfg(not(feature = "fail-points"))]
pub(super) const fn watch_time() -> Duration {
    WATCH_TIME
}

/// Watches the folder's ledger entry until it is known whether this process may delete.
pub(super) async fn decided(app: &App) -> FolderState {
    let Some(ledger) = &app.ledger else { return app.gate.state() };
    let mut state = ledger.look().await;
    if state == FolderState::Watching {
        info!("watching the folder in Vault for two minutes before anything is deleted");
    }
    while state == FolderState::Watching {
        sleep(LOOK_PERIOD).await;
        state = ledger.look().await;
    }
    state
}

/// Why nothing is deleted; none while deletions are allowed.
pub(super) fn why_not(state: FolderState) -> Option<String> {
    match state {
        FolderState::Agrees => None,
        FolderState::Watching | FolderState::Unknown => {
            Some("nothing is deleted: this database could not be compared with its folder in Vault".to_owned())
        }
        FolderState::Disagrees(disagreement) => {
            Some(format!("nothing is deleted: {disagreement}: {}", advice(disagreement)))
        }
    }
}
