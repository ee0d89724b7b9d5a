//! Making Vault forget: the durable second half of revocation, and of writes whose commit never came.

use std::time::Duration;

use tracing::{error, warn};

use crate::app::App;
use crate::lifecycle;

/// Time between two looks at what is due.
pub(super) const PERIOD: Duration = Duration::from_secs(5);

/// Jobs of one round; the rest waits for the next.
const BATCH: u32 = 32;

/// Tries the jobs that are due, and finishes repairs whose server died. Without Vault both stay, and the jobs also while the
/// gate for deletions is closed.
pub async fn round(app: &App) {
    if app.vault.is_none() {
        return;
    }
    if app.gate.may_delete() {
        purge_due(app).await;
    }
    finish_repairs(app).await;
}

async fn purge_due(app: &App) {
    match app.repos.purges.due(app.now(), BATCH).await {
        Ok(jobs) => {
            for job in jobs {
                // A failure was logged, and the job put off, where it happened.
                let _ = lifecycle::purge(app, &job).await;
            }
        }
        Err(error) => error!(%error, "due purges could not be read: trying again in a few seconds"),
    }
}

/// Deletes nothing, so it does not ask the gate.
async fn finish_repairs(app: &App) {
    match app.repos.open_writes.unfinished_repairs(app.now(), BATCH).await {
        Ok(repairs) => {
            for (client_id, credential_id) in repairs {
                if let Err(error) = lifecycle::finish_repair(app, client_id, credential_id).await {
                    warn!(%credential_id, %error, "a secret that was written anew is not pinned yet: trying again");
                }
            }
        }
        Err(error) => error!(%error, "unfinished writes could not be read: trying again in a few seconds"),
    }
}
