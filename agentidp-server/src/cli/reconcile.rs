//! `reconcile`: compares the rows with Vault, and mends what can be mended.

use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::SystemClock;

use super::deletions::{decided, watch_time, why_not};
use super::terminal::{fail, print};
use crate::app::App;
use crate::config::Config;
use crate::reconcile::{self, Drift, Mode, Summary};
use crate::wiring::{self, StartError};

/// One line for each difference, then what came of it. It fails when something is left for the operator to do, and in a
/// dry run when something is left to do at all.
pub(super) async fn reconcile(config: &Config, mode: Mode) -> Result<ExitCode, StartError> {
    let app = wiring::build_as_is(config, Arc::new(SystemClock::default()), watch_time()).await?;
    if mode == Mode::Repair && purges_are_due(&app).await {
        if let Some(problem) = why_not(decided(&app).await) {
            fail(problem)?;
        }
    } else if let Some(ledger) = &app.ledger {
        ledger.peek().await;
    }
    let mut told = Ok(());
    let mut tell = |drift: &Drift| {
        if told.is_ok() {
            told = print(reconcile::line(&app, drift));
        }
    };
    let outcome = reconcile::pass(&app, mode, &mut tell).await;
    app.repos.database.close().await;
    told?;
    match outcome {
        Ok(summary) => {
            print(told_of(&summary, mode))?;
            let open = match mode {
                Mode::Repair => summary.found.for_operator() + summary.left,
                Mode::DryRun => summary.found.total() + summary.waiting.due,
            };
            Ok(if open == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => fail(error),
    }
}

/// Whether anything is to be deleted, which needs two minutes of watching.
async fn purges_are_due(app: &App) -> bool {
    // A database that does not answer is reported by the comparison.
    app.repos.drift.waiting(app.now()).await.is_ok_and(|waiting| waiting.due > 0)
}

fn told_of(summary: &Summary, mode: Mode) -> String {
    let waiting = summary.waiting;
    let mut lines = vec![format!("purges: {} due, {} waiting for their time", waiting.due, waiting.later)];
    if let Some(error) = &summary.unlisted {
        lines.push(format!("paths without a row were not looked for: {error} (an optional second policy)"));
    }
    let (found, for_operator) = (summary.found.total(), summary.found.for_operator());
    lines.push(match mode {
        Mode::Repair => format!("{found} found, {for_operator} for you to mend; {} due purges left", summary.left),
        Mode::DryRun => format!("{found} found, {for_operator} for you to mend; nothing was changed"),
    });
    lines.join("\n")
}
