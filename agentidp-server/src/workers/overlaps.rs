//! Ending overlaps whose previous secret no client uses any more (`END_IDLE_OVERLAPS`).

use std::time::Duration;

use tracing::{info, warn};

use crate::app::App;
use crate::credentials;
use crate::error::chain;

/// Time between two looks: ten within the time that the secret has to be idle.
pub(super) fn period(app: &App) -> Duration {
    (app.settings.end_idle_overlaps / 10).clamp(Duration::from_secs(60), Duration::from_secs(3600))
}

/// After how long without a use an overlap should have been ended, where it is to be: a look may be late, and so may what tells of a use.
pub(super) fn overdue(app: &App) -> Option<Duration> {
    const LATE: Duration = Duration::from_secs(15 * 60);
    let idle = app.settings.end_idle_overlaps;
    (!idle.is_zero()).then(|| idle.saturating_add(period(app)).saturating_add(LATE))
}

/// Ends those that are idle. What fails is left to the next look.
pub async fn round(app: &App) {
    let idle = app.settings.end_idle_overlaps;
    if idle.is_zero() {
        return;
    }
    match credentials::end_idle_overlaps(app, idle).await {
        Ok(0) => {}
        Ok(ended) => info!(ended, "previous secrets that no client used any more were ended before their time"),
        Err(error) => warn!(error = chain(&error), "overlaps could not be looked at: trying again later"),
    }
}
