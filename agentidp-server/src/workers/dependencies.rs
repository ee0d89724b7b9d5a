//! Asking the database and Vault whether they do their work, in every server.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use crate::app::App;
pub(super) use crate::dependencies::PERIOD;

/// Asks the database once. A panic ends this round only: `/ready` needs the next one.
pub async fn database_round(app: &App) {
    let asked = app.dependencies.ask_database(&*app.repos.database, &*app.clock, &app.metrics);
    let _ = AssertUnwindSafe(asked).catch_unwind().await;
}

/// Asks Vault once, where there is one.
pub async fn vault_round(app: &App) {
    if app.vault.is_some() {
        let asked = app.dependencies.ask_vault(&app.store, &*app.clock, &app.metrics);
        let _ = AssertUnwindSafe(asked).catch_unwind().await;
    }
}
