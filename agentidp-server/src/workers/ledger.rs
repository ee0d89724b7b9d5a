//! Looking at the folder's ledger entry, in every server.

use crate::app::App;
pub(super) use crate::ledger::LOOK_PERIOD as PERIOD;

/// Looks once. What fails is logged and left to the next round.
pub async fn round(app: &App) {
    if let Some(ledger) = &app.ledger {
        app.metrics.ledger(ledger.look().await);
    }
}
