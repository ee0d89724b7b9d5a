//! `restored`: which of two secrets counts, after the database or Vault was restored from a backup.

mod change;
mod moments;
mod revived;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::SystemClock;
use agentidp_secrets::lifecycle::compare::Settlement;
use clap::{Args, ValueEnum};

use self::change::Settled;
use self::moments::Moments;
use super::deletions::watch_time;
use super::terminal::{ask, fail, print};
use crate::app::App;
use crate::config::Config;
use crate::reconcile::{self, Drift, DriftClass, Mode, ReconcileError};
use crate::wiring::{self, StartError};

/// What the operator has chosen.
#[derive(Debug, Args)]
pub(super) struct Choices {
    /// Of credentials for which Vault has a later secret than the row: which one counts
    #[arg(long, value_name = "WHICH")]
    ahead: Option<Which>,
    /// Of credentials whose version is not in Vault any more, while an older one is: which one counts
    #[arg(long, value_name = "WHICH")]
    gone: Option<Which>,
    /// How long the row's secret works beside the later one
    #[arg(long, default_value = "24h", value_parser = overlap)]
    overlap: Duration,
    /// Does not ask
    #[arg(long)]
    yes: bool,
}

/// Which secret counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The row's: a later one in Vault is written over
    Row,
    /// The latest one in Vault
    Latest,
    /// Both, the row's for the time of the overlap: nobody is refused
    Both,
}

fn overlap(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text).ok_or_else(|| "a time with its unit, such as 30m or 24h".to_owned())
}

/// What can be chosen about, and the rest.
#[derive(Default)]
struct Found {
    ahead: Vec<Drift>,
    gone: Vec<Drift>,
    others: u64,
}

impl Choices {
    fn settlement(&self, which: Which) -> Settlement {
        match which {
            Which::Row => Settlement::Row,
            Which::Latest => Settlement::Latest,
            Which::Both => Settlement::Both(self.overlap),
        }
    }

    /// What is to be done with each credential that was chosen about.
    fn plan<'a>(&self, found: &'a Found) -> Vec<(&'a Drift, Settlement)> {
        let ahead = found.ahead.iter().filter_map(|drift| Some((drift, self.settlement(self.ahead?))));
        // The row's is lost: there is nothing to do for it.
        let gone = self.gone.filter(|which| *which != Which::Row);
        let gone = found.gone.iter().filter_map(|drift| Some((drift, self.settlement(gone?))));
        ahead.chain(gone).collect()
    }
}

/// Says what was found, what will be done and what is left to the operator; asks, and does it.
pub(super) async fn restored(config: &Config, choices: &Choices) -> Result<ExitCode, StartError> {
    let app = wiring::build_as_is(config, Arc::new(SystemClock::default()), watch_time()).await?;
    let outcome = settle(&app, choices).await;
    app.repos.database.close().await;
    outcome
}

async fn settle(app: &App, choices: &Choices) -> Result<ExitCode, StartError> {
    let Some(ledger) = &app.ledger else { return fail(ReconcileError::NoVault) };
    let moments = match ledger.compare().await {
        Ok(found) => Moments::of(&found),
        Err(error) => return fail(error),
    };
    ledger.peek().await;
    print(&moments)?;
    let (found, told) = match compare(app).await {
        Ok(found) => found,
        Err(error) => return fail(error),
    };
    for line in &told {
        print(line)?;
    }
    if moments.revives() {
        match revived::lines(app, &moments).await {
            Ok(lines) => print(lines)?,
            Err(error) => return fail(error),
        }
    }
    if told.is_empty() && moments.agree() {
        print("Nothing needs to be done.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = choices.plan(&found);
    for line in summary(&found, choices) {
        print(line)?;
    }
    if !plan.is_empty() && !ask(&format!("Settle these {} credentials?", plan.len()), choices.yes)? {
        return fail("nothing was changed");
    }
    let mut settled = 0;
    for (drift, settlement) in &plan {
        match carry_out(app, drift, *settlement).await {
            Ok(is_done) => settled += usize::from(is_done),
            Err(error) => return fail(format_args!("{settled} settled, and then: {error}")),
        }
    }
    let (changed, open) = (plan.len() - settled, found.ahead.len() + found.gone.len() - plan.len());
    print(format_args!("{settled} settled; {changed} were changed meanwhile; {open} wait for a choice."))?;
    if !moments.agree() {
        print("Nothing is deleted in Vault until `agentidp-server admit` says that this database is the one.")?;
    }
    // Of those whose row counts although it is lost nothing is left to choose.
    let is_decided =
        (choices.ahead.is_some() || found.ahead.is_empty()) && (choices.gone.is_some() || found.gone.is_empty());
    Ok(if is_decided && changed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn compare(app: &App) -> Result<(Found, Vec<String>), ReconcileError> {
    let (mut found, mut told) = (Found::default(), Vec::new());
    let mut tell = |drift: &Drift| {
        told.push(reconcile::line(app, drift));
        match drift.kind {
            DriftClass::VersionBehind | DriftClass::PathNotPointedTo => found.ahead.push(drift.clone()),
            DriftClass::VersionMissing | DriftClass::OtherWrite if drift.latest.is_some() => {
                found.gone.push(drift.clone())
            }
            _ => found.others += 1,
        }
    };
    let summary = reconcile::pass(app, Mode::DryRun, &mut tell).await?;
    if let Some(error) = summary.unlisted {
        told.push(format!("paths without a row were not looked for: {error} (an optional second policy)"));
    }
    Ok((found, told))
}

/// What will become of each class, or what can be chosen.
fn summary(found: &Found, choices: &Choices) -> Vec<String> {
    let ahead = match choices.ahead {
        None => "choose: --ahead row, latest or both".to_owned(),
        Some(Which::Row) => "the row's secret will be written over it".to_owned(),
        Some(Which::Latest) => "it will count, and the row's will not".to_owned(),
        Some(Which::Both) => format!("it will count, and the row's beside it for {} s", choices.overlap.as_secs()),
    };
    let gone = match choices.gone {
        None => "choose: --gone row or latest",
        Some(Which::Row) => "they stay as they are: rotate them, or revoke them",
        Some(Which::Latest | Which::Both) => "the latest that Vault has will count",
    };
    let mut lines = Vec::new();
    if !found.ahead.is_empty() {
        lines.push(format!("{} with a later secret in Vault: {ahead}", found.ahead.len()));
    }
    if !found.gone.is_empty() {
        lines.push(format!("{} whose secret is gone, with another one in its place: {gone}", found.gone.len()));
    }
    if found.others > 0 {
        lines.push(format!("{} others: as their lines say", found.others));
    }
    lines
}

async fn carry_out(app: &App, drift: &Drift, settlement: Settlement) -> Result<bool, ReconcileError> {
    let vault = reconcile::vault(app)?;
    Ok(app.life().settle(vault, drift, settlement, Settled::new(app.now(), settlement)).await?)
}
