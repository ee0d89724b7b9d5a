//! Counting what only the database knows, for the metrics, in every server. What cannot be counted stays as it was.

use std::time::Duration;

use tracing::debug;

use crate::app::App;
use crate::repo::Backends;

/// Time between two looks at what Vault has still to forget, which indexes answer.
pub(super) const BACKLOG_PERIOD: Duration = Duration::from_secs(15);

/// Time between two counts of all credentials: a million rows take the database part of a second.
pub(super) const CREDENTIALS_PERIOD: Duration = Duration::from_secs(300);

/// Counts what Vault has still to forget.
pub async fn backlog(app: &App) {
    match app.repos.drift.waiting(app.now()).await {
        Ok(waiting) => app.metrics.purge_backlog(waiting),
        Err(error) => debug!(%error, "the purges could not be counted"),
    }
}

/// Counts the credentials by what verifies them.
pub async fn credentials(app: &App) {
    match app.repos.drift.backends().await {
        Ok(held) => tell(app, held),
        Err(error) => debug!(%error, "the credentials could not be counted"),
    }
}

/// Tells the metrics, and which backends this server lacks.
pub(crate) fn tell(app: &App, held: Backends) {
    let Backends { bcrypt, argon2, keyed, vault } = held;
    let counts = [("bcrypt", bcrypt), ("argon2", argon2), ("keyed-digest", keyed), ("vault-kv2", vault)];
    for (backend, credentials) in counts {
        app.metrics.credentials(backend, credentials);
        if !app.store.has(backend) {
            app.metrics.unconfigured(backend, credentials);
        }
    }
}
