//! Keeping the Vault token alive.

use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Looks after the token, each time when it is due, until stopped. Ends at once without Vault.
pub(super) async fn keep(app: Arc<App>, stop: CancellationToken) {
    let Some(token) = &app.vault_token else { return };
    loop {
        let next = token.tend(&app.metrics).await;
        if stop.run_until_cancelled(sleep(next)).await.is_none() {
            return;
        }
    }
}
