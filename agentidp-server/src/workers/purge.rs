//! Making Vault forget: the durable second half of revocation, and of writes whose commit never came.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Time between two looks at what is due.
pub(super) const PERIOD: Duration = Duration::from_secs(5);

/// Does what is due; says whether more is. Without Vault it stays, and deletions also while the gate is closed.
pub async fn round(app: &App) -> bool {
    app.vault.is_some() && app.life().round().await.leaves_more()
}

/// Does what is due until no more is: what a move of many has left does not wait for the next look.
pub(super) async fn rounds(app: &App, stop: &CancellationToken) {
    while round(app).await && !stop.is_cancelled() {}
}
