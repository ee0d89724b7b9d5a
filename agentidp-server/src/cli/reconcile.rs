//! `reconcile`: compares the rows with Vault, and mends what can be mended.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::SystemClock;

use super::print;
use crate::config::Config;
use crate::reconcile::{self, Drift, Mode, Summary};
use crate::wiring::{self, StartError};

/// One line for each difference, then what came of it. It fails when something is left for the operator to do, and in a
/// dry run when something is left to do at all.
pub(super) async fn reconcile(config: &Config, mode: Mode) -> Result<ExitCode, StartError> {
    let app = wiring::build_as_is(config, Arc::new(SystemClock::default())).await?;
    let mut told = Ok(());
    let mut tell = |drift: &Drift| {
        if told.is_ok() {
            told = print(drift);
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
        Err(error) => {
            // Nobody is left to be told if standard error is gone.
            let _ = writeln!(io::stderr(), "agentidp-server: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
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
