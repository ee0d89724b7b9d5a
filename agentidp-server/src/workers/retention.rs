//! Dropping what is past its time: audit events, revocations of tokens that have expired, and idempotency keys.

use std::time::Duration;

use tracing::{debug, error, info};

use crate::app::App;
use crate::domain::AuditEvent;

/// Time between two rounds. Reads look at the age themselves, so nobody sees an event that is late in leaving.
pub(super) const PERIOD: Duration = Duration::from_secs(3600);

/// Drops what is past its time, and nothing while the clocks of this machine and of the database differ: one of them is wrong.
/// What fails is logged and left to the next round.
pub async fn round(app: &App) {
    if app.ledger_clock.as_ref().is_some_and(|clock| clock.is_apart()) {
        debug!("nothing is deleted by its age: the clocks of this machine and of the database differ");
        return;
    }
    let now = app.now();
    match app.repos.audit.prune(now.minus(AuditEvent::RETENTION)).await {
        Ok(0) => {}
        Ok(events) => info!(events, "dropped audit events older than 90 days"),
        Err(error) => error!(%error, "old audit events could not be dropped: trying again in an hour"),
    }
    match app.repos.tokens.prune(now).await {
        Ok(0) => {}
        Ok(rows) => info!(rows, "dropped revocations of expired tokens and counters of past months"),
        Err(error) => error!(%error, "expired token rows could not be dropped: trying again in an hour"),
    }
    match app.repos.idempotency.prune(now).await {
        Ok(0) => {}
        Ok(keys) => info!(keys, "dropped idempotency keys older than a day"),
        Err(error) => error!(%error, "old idempotency keys could not be dropped: trying again in an hour"),
    }
}
