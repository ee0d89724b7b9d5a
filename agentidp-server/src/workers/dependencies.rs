//! Asking the database and Vault whether they do their work, in every server.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use crate::app::App;
pub(super) use crate::dependencies::PERIOD;

/// Asks the database once. A panic ends this round only: `/ready` needs the next one.
pub async fn database_round(app: &App) {
    let _ = AssertUnwindSafe(app.dependencies.ask_database(app)).catch_unwind().await;
}

/// Asks Vault once.
pub async fn vault_round(app: &App) {
    let _ = AssertUnwindSafe(app.dependencies.ask_vault(app)).catch_unwind().await;
}
