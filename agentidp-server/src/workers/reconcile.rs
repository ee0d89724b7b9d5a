//! Comparing the rows with Vault, in one server of all.

use std::sync::Arc;

use agentidp_secrets::lifecycle::compare::Counts;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::app::App;
use crate::reconcile::{self, Drift, Mode, ReconcileError, Summary};
use crate::repo::Leadership;

/// Differences of one comparison that are logged, each in a line. Of a mount that is lost every row would be one.
const LOGGED: u64 = 100;

/// The part of one server in it.
#[derive(Default)]
pub struct Reconciler {
    leadership: Option<Box<dyn Leadership>>,
}

impl std::fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler").field("leads", &self.leadership.is_some()).finish()
    }
}

impl Reconciler {
    /// Compares and mends if this server is the leader or becomes it now; says whether it is. What fails is logged and
    /// left to the next round.
    pub async fn round(&mut self, app: &App) -> bool {
        if !self.leads(app).await {
            debug!("another server compares the rows with Vault");
            return false;
        }
        let (mut told, mut more) = (0, 0);
        let mut tell = |drift: &Drift| {
            if told == LOGGED {
                more += 1;
                return;
            }
            told += 1;
            let (class, client_id, credential_id) = (drift.kind.as_str(), &drift.client_id, &drift.credential_id);
            if drift.kind.needs_operator() {
                warn!(class, client_id, credential_id, "a row and Vault differ: {}", drift.kind.advice());
            } else {
                info!(class, client_id, credential_id, "a row and Vault differ: {}", drift.kind.advice());
            }
        };
        let outcome = reconcile::pass(app, Mode::Repair, &mut tell).await;
        report(app, outcome);
        if more > 0 {
            warn!(more, "further differences are not logged: `agentidp-server reconcile --dry-run` lists them all");
        }
        true
    }

    async fn leads(&mut self, app: &App) -> bool {
        if let Some(leadership) = &mut self.leadership {
            if leadership.holds().await {
                return true;
            }
            warn!("the connection that made this server the one to compare rows with Vault has ended");
            self.leadership = None;
            // The next leader's are the numbers that count: these would stay as they are.
            forget(app);
        }
        match app.repos.drift.lead().await {
            Ok(leadership) => self.leadership = leadership,
            Err(error) => error!(%error, "nobody knows who is to compare the rows with Vault: trying again later"),
        }
        self.leadership.is_some()
    }
}

/// No differences of this server's are known any more.
fn forget(app: &App) {
    app.metrics.drift(Counts::default().each().map(|(class, count)| (class.as_str(), count)));
}

fn report(app: &App, outcome: Result<Summary, ReconcileError>) {
    match outcome {
        Ok(summary) => {
            app.metrics.drift(summary.found.each().map(|(class, count)| (class.as_str(), count)));
            if summary.unlisted.is_some() {
                info!("paths without a row are not looked for: the optional policy to list is not granted");
            }
            let (found, for_operator) = (summary.found.total(), summary.found.for_operator());
            info!(found, for_operator, purges_left = summary.left, "the rows were compared with Vault");
        }
        Err(error) => error!(%error, "the rows could not be compared with Vault: trying again later"),
    }
}

/// Compares now and then once in the configured interval, until stopped; what is under way is cut, and is whole again the
/// next time.
pub(super) async fn keep(app: Arc<App>, stop: CancellationToken) {
    if app.vault_client.is_none() || app.settings.reconcile_interval.is_zero() {
        return;
    }
    let (mut ticks, mut reconciler) = (interval(app.settings.reconcile_interval), Reconciler::default());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rounds = async {
        loop {
            ticks.tick().await;
            reconciler.round(&app).await;
        }
    };
    stop.run_until_cancelled::<_>(rounds).await.unwrap_or(());
}
