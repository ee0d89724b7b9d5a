//! Deleting rows by their age: audit events, revocations of tokens that have expired, counters of past months, and
//! idempotency keys.

use std::time::Duration;

use tracing::{debug, error, info};

use crate::app::App;
use crate::domain::AuditEvent;
use crate::domain::idempotency::Claim;
use crate::tokens;

/// Time between two rounds. Reads look at the age themselves, so nobody sees an event that is late in leaving. A server
/// that runs for less than this moves the horizon by nothing.
pub(super) const PERIOD: Duration = Duration::from_secs(600);

/// How far behind the horizon what belongs to a token or a key is kept: the longest life of both.
const MARGIN: Duration = tokens::LONGEST_LIFE;
const _: () = assert!(Claim::RETENTION.as_secs() <= MARGIN.as_secs());

/// Deletes what is older than the [`Horizon`](crate::horizon::Horizon) lets it be, and nothing while the clocks of this machine and
/// of the database differ: one of them is wrong. What fails is logged and left to the next round.
pub async fn round(app: &App) {
    if app.ledger_clock.as_ref().is_some_and(|clock| clock.is_apart()) {
        debug!("nothing is deleted by its age: the clocks of this machine and of the database differ");
        return;
    }
    let until = match app.horizon.advance(&*app.repos.retention, &*app.clock).await {
        Ok(Some(until)) => until,
        Ok(None) => return,
        Err(error) => {
            error!(%error, "the horizon of retention could not be moved, so nothing was deleted by its age: trying again later");
            return;
        }
    };
    match app.repos.audit.prune(until.minus(AuditEvent::RETENTION)).await {
        Ok(0) => {}
        Ok(events) => info!(events, "dropped audit events older than 90 days"),
        Err(error) => error!(%error, "old audit events could not be dropped: trying again later"),
    }
    // With a clock that is ahead the horizon gets ahead of the true time, by as long as the server runs with it. Behind this
    // margin nothing is forgotten of a token or a key that was made before, however long that is.
    let expired = until.minus(MARGIN);
    match app.repos.tokens.prune(expired).await {
        Ok(0) => {}
        Ok(rows) => info!(rows, "dropped revocations of expired tokens and counters of past months"),
        Err(error) => error!(%error, "expired token rows could not be dropped: trying again later"),
    }
    match app.repos.idempotency.prune(expired).await {
        Ok(0) => {}
        Ok(keys) => info!(keys, "dropped idempotency keys older than a day"),
        Err(error) => error!(%error, "old idempotency keys could not be dropped: trying again later"),
    }
}
