//! Making Vault forget: the durable second half of revocation, and of writes whose commit never came.

use std::time::Duration;

use crate::app::App;

/// Time between two looks at what is due.
pub(super) const PERIOD: Duration = Duration::from_secs(5);

/// Does what is due. Without Vault it stays, and deletions also while the gate is closed.
pub async fn round(app: &App) {
    if app.vault.is_some() {
        app.life().round().await;
    }
}
