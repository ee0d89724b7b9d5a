//! Counting what only the database knows, for the metrics, in every server. What cannot be counted stays as it was.

use std::time::Duration;

use tracing::{debug, warn};

use crate::app::App;
use crate::repo::{Backends, Since};
use crate::workers::overlaps;

/// Time between two looks at what Vault has still to forget, which indexes answer.
pub(super) const BACKLOG_PERIOD: Duration = Duration::from_secs(15);

/// Time between two counts of all credentials: a million rows take the database part of a second.
pub(super) const CREDENTIALS_PERIOD: Duration = Duration::from_secs(300);

/// Credentials that expire within so long are told of.
const SOON: Duration = Duration::from_secs(7 * 86_400);

/// What was used within so long is in use: most clients come by once a day.
const RECENTLY: Duration = Duration::from_secs(86_400);

/// Counts what Vault has still to forget.
pub async fn backlog(app: &App) {
    match app.repos.drift.waiting(app.now()).await {
        Ok(waiting) => app.metrics.purge_backlog(waiting),
        Err(error) => debug!(%error, "the purges could not be counted"),
    }
}

/// Counts the credentials by what verifies them, and those whose time is coming.
pub async fn credentials(app: &App) {
    match app.repos.drift.backends().await {
        Ok(held) => tell(app, &held),
        Err(error) => debug!(%error, "the credentials could not be counted"),
    }
    outside(app).await;
    deadlines(app).await;
}

/// Counts the credentials that point out of the configured folder in Vault: they get no tokens.
pub(crate) async fn outside(app: &App) {
    let Some(place) = &app.vault else { return };
    match app.repos.drift.outside(&place.path()).await {
        Ok(credentials) => app.metrics.unconfigured("vault-kv2", credentials),
        Err(error) => debug!(%error, "the credentials in other folders could not be counted"),
    }
}

/// Counts the credentials whose time is coming. An expiry is no outage for whoever hears of it before.
pub(crate) async fn deadlines(app: &App) {
    let now = app.now();
    let since = Since { recently: now.minus(RECENTLY), idle: overlaps::overdue(app).map(|late| now.minus(late)) };
    match app.repos.usage.deadlines(now, now.plus(SOON), since).await {
        Ok(deadlines) => {
            let before = app.metrics.deadlines(deadlines);
            if deadlines.expiring_used > 0 && deadlines.expiring_used != before.expiring_used {
                warn!(
                    credentials = deadlines.expiring_used,
                    "{} credentials that were used within a day expire within seven days: rotate them with a later expiresAt; `agentidp-server credentials --expiring 7d` names them",
                    deadlines.expiring_used
                );
            }
        }
        Err(error) => debug!(%error, "the credentials that expire could not be counted"),
    }
}

/// Tells the metrics, and which backends this server lacks.
pub(crate) fn tell(app: &App, held: &Backends) {
    let Backends { bcrypt, argon2, keyed, vault, keys } = held;
    let counts = [("bcrypt", *bcrypt), ("argon2", *argon2), ("keyed-digest", *keyed), ("vault-kv2", *vault)];
    for (backend, credentials) in counts {
        app.metrics.credentials(backend, credentials);
        if !app.store.has(backend) {
            app.metrics.unconfigured(backend, credentials);
        }
    }
    let lacking = keys.iter().filter(|(id, _)| !app.settings.mac_key_ids.contains(id));
    app.metrics.unconfigured_keys(lacking.cloned().collect());
}
