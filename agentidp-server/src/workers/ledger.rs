//! Looking at the folder's ledger entry, in every server.

pub(super) use agentidp_secrets::folder::LOOK_PERIOD as PERIOD;

use crate::app::App;

/// Looks once. What fails is logged and left to the next round.
pub async fn round(app: &App) {
    if let Some(ledger) = &app.ledger {
        app.metrics.ledger(ledger.look().await);
    }
}
