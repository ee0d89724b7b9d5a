//! `reconcile --remove-paths N`: removes from Vault what no row of this database vouches for.

use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::lifecycle::compare::{MOST_PLACES, Removal};
use agentidp_secrets::{Error, SystemClock};

use super::deletions::{decided, watch_time, why_not};
use super::terminal::{ask, fail, print};
use crate::app::App;
use crate::config::Config;
use crate::reconcile::{self, Drift, DriftClass, Mode, ReconcileError};
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
        if drift.kind == DriftClass::PathWithoutRow {
            found.push(drift.clone());
        }
    };
    let vault = match (reconcile::pass(app, Mode::DryRun, &mut tell).await, reconcile::vault(app)) {
        (Ok(summary), Ok(vault)) => match summary.unlisted {
            Some(error) => return fail(unlisted(&error)),
            None => vault,
        },
        (Err(error), _) | (_, Err(error)) => return fail(error),
    };
    for drift in &found {
        print(format_args!("credential {} of client {}", drift.credential_id, drift.client_id))?;
    }
    if let Some(problem) = refusal(found.len(), expected) {
        return fail(problem);
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
    match app.life().remove_places(vault, expected).await {
        Ok(Removal::Removed(removed)) => {
            let stay = expected.saturating_sub(removed);
            print(format_args!("{removed} removed, {stay} left because their credential is active or has a purge"))?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Removal::Unlisted(error)) => fail(unlisted(&error)),
        Ok(Removal::Refused(found)) => fail(refusal(found, expected).unwrap_or_default()),
        Ok(_) => fail("nothing was removed"),
        Err(failure) => fail(ReconcileError::from(failure)),
    }
}

fn unlisted(error: &Error) -> String {
    format!("the paths in Vault could not be listed: {error}")
}

/// Why so many are not removed.
fn refusal(found: usize, expected: usize) -> Option<String> {
    if found != expected {
        return Some(format!(
            "{found} paths without a row were found, and --remove-paths says {expected}: nothing was removed"
        ));
    }
    (expected > MOST_PLACES).then(|| {
        format!(
            "{expected} paths are more than the {MOST_PLACES} that this command removes, and more likely another \
             deployment's than leftovers: nothing was removed"
        )
    })
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
