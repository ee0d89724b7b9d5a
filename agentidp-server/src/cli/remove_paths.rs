//! `reconcile --remove-paths N`: removes from Vault what no row of this database vouches for.

use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::SystemClock;

use super::deletions::{decided, watch_time, why_not};
use super::terminal::{ask, fail, print};
use crate::app::App;
use crate::config::Config;
use crate::reconcile::{self, Drift, DriftClass, MOST_PATHS, Mode};
use crate::wiring::{self, StartError};

/// Lists the paths without a row, refuses unless there are as many as the operator expects, asks, and removes them.
pub(super) async fn remove_paths(config: &Config, expected: usize, yes: bool) -> Result<ExitCode, StartError> {
    let app = wiring::build_as_is(config, Arc::new(SystemClock::default()), watch_time()).await?;
    let outcome = remove(&app, expected, yes).await;
    app.repos.database.close().await;
    outcome
}

async fn remove(app: &App, expected: usize, yes: bool) -> Result<ExitCode, StartError> {
    let mut found = Vec::new();
    let mut tell = |drift: &Drift| {
        if drift.class == DriftClass::PathWithoutRow {
            found.push(drift.clone());
        }
    };
    match reconcile::pass(app, Mode::DryRun, &mut tell).await {
        Ok(summary) => {
            if let Some(error) = summary.unlisted {
                return fail(format_args!("the paths in Vault could not be listed: {error}"));
            }
        }
        Err(error) => return fail(error),
    }
    for drift in &found {
        print(format_args!("credential {} of client {}", drift.credential_id, drift.client_id))?;
    }
    if found.len() != expected {
        return fail(format_args!(
            "{} paths without a row were found, and --remove-paths says {expected}: nothing was removed",
            found.len()
        ));
    }
    if expected > MOST_PATHS {
        return fail(format_args!(
            "{expected} paths are more than the {MOST_PATHS} that this command removes, and more likely another deployment's \
             than leftovers: nothing was removed"
        ));
    }
    if let Some(problem) = shared(app).await {
        return fail(problem);
    }
    if !ask(&format!("Remove these {expected} paths from Vault for good?"), yes)? {
        return fail("nothing was removed");
    }
    if let Some(problem) = why_not(decided(app).await) {
        return fail(problem);
    }
    match reconcile::remove_paths(app, &found).await {
        Ok(removed) => {
            let stay = expected - usize::try_from(removed).unwrap_or(expected).min(expected);
            print(format_args!("{removed} removed, {stay} left because their credential is active or has a purge"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => fail(error),
    }
}

/// Why a path without a row may be another database's.
async fn shared(app: &App) -> Option<String> {
    let ledger = app.ledger.as_ref()?;
    match ledger.compare().await {
        Ok(found) if found.others() == 0 => None,
        Ok(found) => Some(format!(
            "{} other databases are admitted to this folder, and the paths may be theirs: nothing was removed (`agentidp-server \
             admit --only` removes databases that are gone)",
            found.others()
        )),
        Err(error) => Some(error.to_string()),
    }
}
