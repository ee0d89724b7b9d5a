//! Work in the background: making Vault forget, comparing the rows with it, dropping what is past its time, keeping the
//! Vault token alive, following the database's clock, asking whether the database and Vault do their work, and counting what
//! only the database knows; and ending overlaps that no client needs.
//!
//! Each kind of work has a `round` that does what is due and returns, so that tests need not wait. Rounds may be cut at
//! any point and may run in several servers at once: what they do is idempotent.

pub mod census;
mod clock;
pub mod dependencies;
pub mod ledger;
pub mod overlaps;
pub mod purge;
pub mod reconcile;
pub mod retention;
mod vault_token;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Starts all of it; `stop` ends it after the piece of work at hand.
pub(crate) fn start(app: &Arc<App>, stop: &CancellationToken) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    let (purged, kept, watched, stopped) = (Arc::clone(app), Arc::clone(app), Arc::clone(app), stop.clone());
    workers.spawn(every(purge::PERIOD, stop.clone(), async move || purge::rounds(&purged, &stopped).await));
    workers.spawn(every(retention::PERIOD, stop.clone(), async move || retention::round(&kept).await));
    workers.spawn(every(ledger::PERIOD, stop.clone(), async move || ledger::round(&watched).await));
    let (database, vault) = (Arc::clone(app), Arc::clone(app));
    let database = async move || dependencies::database_round(&database).await;
    workers.spawn(every(dependencies::PERIOD, stop.clone(), database));
    let vault = async move || dependencies::vault_round(&vault).await;
    workers.spawn(every(dependencies::PERIOD, stop.clone(), vault));
    let (backlog, counted) = (Arc::clone(app), Arc::clone(app));
    workers.spawn(every(census::BACKLOG_PERIOD, stop.clone(), async move || census::backlog(&backlog).await));
    // They were counted when the server was put together.
    let count = every(census::CREDENTIALS_PERIOD, stop.clone(), async move || census::credentials(&counted).await);
    workers.spawn(later(census::CREDENTIALS_PERIOD, stop.clone(), count));
    let idle = Arc::clone(app);
    workers.spawn(every(overlaps::period(app), stop.clone(), async move || overlaps::round(&idle).await));
    workers.spawn(reconcile::keep(Arc::clone(app), stop.clone()));
    workers.spawn(clock::keep(Arc::clone(app), stop.clone()));
    let (life, stopped) = (app.life().clone(), stop.clone());
    workers.spawn(async move { life.keep_usage(stopped.cancelled()).await });
    workers.spawn(vault_token::keep(Arc::clone(app), stop.clone()));
    workers
}

/// Runs `round` now and then once in `period`, never twice at a time.
async fn every(period: Duration, stop: CancellationToken, round: impl AsyncFn()) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        round().await;
    }
}

/// Begins with `work` after `delay`, unless stopped before.
async fn later(delay: Duration, stop: CancellationToken, work: impl Future<Output = ()>) {
    if stop.run_until_cancelled(sleep(delay)).await.is_some() {
        work.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rounds_come_at_once_and_then_by_the_period_until_stopped() {
        let (stop, rounds) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let (counted, period) = (Arc::clone(&rounds), Duration::from_secs(60));
        let worker = tokio::spawn(every(period, stop.clone(), async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_secs(90)).await;
        }));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(rounds.load(Ordering::SeqCst), 1);
        sleep(Duration::from_secs(120)).await;
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
        let start = Instant::now();
        stop.cancel();
        worker.await.unwrap();
        assert!(start.elapsed() > Duration::ZERO, "the round at hand was finished");
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
    }
}
