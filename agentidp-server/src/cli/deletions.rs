//! Waiting until a command may delete in Vault.

use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use crate::app::App;
use crate::ledger::{LOOK_PERIOD, LedgerState, WATCH_TIME};

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
pub(super) async fn decided(app: &App) -> LedgerState {
    let Some(ledger) = &app.ledger else { return app.gate.state() };
    let mut state = ledger.look().await;
    if state == LedgerState::Watching {
        info!("watching the folder in Vault for two minutes before anything is deleted");
    }
    while state == LedgerState::Watching {
        sleep(LOOK_PERIOD).await;
        state = ledger.look().await;
    }
    state
}

/// Why nothing is deleted; none while deletions are allowed.
pub(super) fn why_not(state: LedgerState) -> Option<String> {
    match state {
        LedgerState::Agrees => None,
        LedgerState::Watching | LedgerState::Unknown => {
            Some("nothing is deleted: this database could not be compared with its folder in Vault".to_owned())
        }
        LedgerState::Disagrees(disagreement) => {
            Some(format!("nothing is deleted: {disagreement}: {}", disagreement.advice()))
        }
    }
}
