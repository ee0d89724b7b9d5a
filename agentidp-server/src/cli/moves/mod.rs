//! `move`: secrets that can be read go to another backend, without their clients.

mod progress;
mod summary;
mod waiting;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::lifecycle::{BulkMove, MoveOutcome};
use agentidp_secrets::{ClientId, SystemClock};
use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use self::progress::Progress;
use self::summary::Summary;
use super::deletions::watch_time;
use super::terminal::{Lines, fail};
use crate::app::App;
use crate::config::{Config, NewSecrets};
use crate::error::chain;
use crate::life::Database;
use crate::wiring::{self, StartError};

/// Secrets that are moved at a time, so that a backend's answer is not waited for alone.
const AT_ONCE: usize = 8;

pub(super) const HELP: &str = "\
It runs beside servers, and may be killed at any moment: a second run finds what is left. Before it, set SECRET_BACKEND to the same
backend and start the servers anew; otherwise a login may move a secret back.

Exit codes: 0 everything that can be moved was; 1 something could not be, or a backend failed; 2 a setting or an argument is wrong.";

/// Where to, how fast, and whose.
#[derive(Debug, Args)]
pub(super) struct Choices {
    /// What is to keep the secrets
    #[arg(long, value_name = "BACKEND", value_parser = backends())]
    to: NewSecrets,
    /// Changes nothing, and says what would become of each secret; it reads those that would move
    #[arg(long)]
    dry_run: bool,
    /// Secrets a second at the most, from 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Only those of this agent
    #[arg(long, value_name = "ID")]
    agent: Option<Uuid>,
}

fn backends() -> impl clap::builder::TypedValueParser<Value = NewSecrets> {
    PossibleValuesParser::new(NewSecrets::ALL.map(|(name, _)| name))
        .try_map(|name| NewSecrets::named(&name).ok_or("no backend has this name"))
}

/// Tells of each secret that moves, and of each that cannot; then of those that need their clients, and what came of it.
pub(super) async fn move_secrets(config: &Config, choices: &Choices) -> Result<ExitCode, StartError> {
    let config = &config.storing_in(choices.to, "--to")?;
    let app = wiring::build_as_is(config, Arc::new(SystemClock::default()), watch_time()).await?;
    let mut progress = Progress::new(&app, total(config, choices, &app).await?);
    let (mut lines, mut summary) = (Lines::new(), Summary::new(&app, choices.dry_run));
    let outcome = moved(all(&app, choices)?, choices, &mut progress, &mut lines, &mut summary).await;
    progress.end();
    app.repos.database.close().await;
    summary.tell(&mut lines);
    lines.end()?;
    match outcome {
        Ok(()) if summary.is_complete() => Ok(ExitCode::SUCCESS),
        Ok(()) => Ok(ExitCode::FAILURE),
        Err(problem) => fail(format_args!("it stopped there, and a second run finds what is left: {problem}")),
    }
}

/// How many credentials will be told; nothing for one agent's, which are few among many.
async fn total(config: &Config, choices: &Choices, app: &App) -> Result<Option<u64>, StartError> {
    if choices.agent.is_some() {
        return Ok(None);
    }
    let held = app.repos.drift.backends().await.map_err(|error| StartError::database(config, &error))?;
    Ok(Some(held.bcrypt + held.argon2 + held.vault + held.keyed))
}

fn all(app: &App, choices: &Choices) -> Result<BulkMove<Database>, StartError> {
    let all = app.life().move_all().dry_run(choices.dry_run).at_once(AT_ONCE);
    Ok(match choices.agent {
        Some(agent) => all.of_client(ClientId::parse(&agent.to_string())?),
        None => all,
    })
}

/// Why it stopped, if it did.
async fn moved(
    mut all: BulkMove<Database>,
    choices: &Choices,
    progress: &mut Progress,
    lines: &mut Lines,
    summary: &mut Summary,
) -> Result<(), String> {
    let mut turns = interval(Duration::from_secs(1) / choices.rate);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(moved) = all.next().await.map_err(|failure| chain(&failure))? {
        if let Some(line) = summary.add(&moved) {
            lines.print(line);
        }
        progress.step(&moved.outcome);
        if matches!(moved.outcome, MoveOutcome::Moved | MoveOutcome::WouldMove | MoveOutcome::Failed(_)) {
            turns.tick().await;
        }
    }
    Ok(())
}
