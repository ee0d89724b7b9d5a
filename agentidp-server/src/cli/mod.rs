//! The command line.

mod admit;
mod check;
mod credentials;
mod database;
mod deletions;
mod moves;
mod operator_token;
mod reconcile;
mod remove_paths;
mod restored;
mod serve;
mod stop_signal;
mod summary_table;
mod terminal;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agentidp_secrets::folder::Others;
use clap::{Parser, Subcommand};
use tracing::warn;

use self::database::open_repos;
use self::terminal::print;
use crate::config::{Config, Environment, misspelt};
use crate::reconcile::Mode;
use crate::telemetry;
use crate::wiring::StartError;

/// A minimal identity provider for AI agents.
///
/// Settings come from the environment and from `.env` in the working directory; `.env.example` explains each of them.
/// None is needed: without any the server listens on 127.0.0.1:3000 and keeps its rows and its key in ./agentidp-data.
#[derive(Debug, Parser)]
#[command(name = "agentidp-server", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings the database up to date and serves until SIGTERM or SIGINT (what happens without a command)
    Serve,
    /// Brings the database up to date and exits
    Migrate,
    /// Prints a token that may do everything, and nothing else, on standard output
    OperatorToken {
        /// How long the token lives: 1s to 24h, such as 90s, 15m or 1h
        #[arg(long, default_value = "15m", value_parser = operator_token::parse_ttl)]
        ttl: Duration,
        /// Who it is for: the audit trail names the actor `operator:NAME`, and each name has a rate limit of its own
        #[arg(long, value_parser = operator_token::parse_name)]
        name: Option<String>,
    },
    /// Tries the settings, the key, the database, Vault, its mount, its token and each right, and says what is missing
    Check,
    /// Compares the rows with Vault, carries out what a crash left, and lists what only an operator can mend
    Reconcile {
        /// Only lists, and changes nothing
        #[arg(long)]
        dry_run: bool,
        /// Removes the paths without a row from Vault, if there are exactly N of them and at most 100
        #[arg(long, value_name = "N", conflicts_with = "dry_run")]
        remove_paths: Option<usize>,
        /// Does not ask before it removes them
        #[arg(long, requires = "remove_paths")]
        yes: bool,
    },
    /// Lists the active credentials: what keeps each secret, when it was last used, when it expires, and its overlap
    Credentials(credentials::Choices),
    /// Moves the secrets that can be read to another backend, and lists those that move when their clients log in
    #[command(after_help = moves::HELP)]
    Move(moves::Choices),
    /// After the database or Vault was restored from a backup: says what differs, and settles which secrets count
    Restored(restored::Choices),
    /// Lets this database delete in its folder in Vault after the two were found to disagree; says why, and asks
    Admit {
        /// Removes every other database from the folder's ledger entry
        #[arg(long)]
        only: bool,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  agentidp-server                                  serve; with an empty database it prints the first steps
  PORT=0 LOG_FORMAT=json agentidp-server           serve on any free port, log for collectors
  DATABASE_URL=postgres://… agentidp-server migrate
  TOKEN=$(agentidp-server operator-token --ttl 5m --name alice)
  agentidp-server reconcile --dry-run              list where the rows and Vault differ
  agentidp-server credentials --summary            how many secrets of each kind there are, and how many are in use
  agentidp-server credentials --without vault-kv2  which clients fail without Vault, and when each was last seen
  agentidp-server move --to bcrypt --dry-run       what would become of each secret
  agentidp-server restored --ahead both            after a restore, let both secrets count for a day
  agentidp-server admit                            go on deleting in Vault after a restore
  agentidp-server check && agentidp-server         serve only if everything is in place

Exit codes: 0 done; 1 it could not be done, or `check`, `reconcile` or `move` found something; 2 a setting or an argument is wrong.";

/// Runs the command that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse().command.unwrap_or(Command::Serve)) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to be told if standard error is gone.
            let _ = writeln!(io::stderr(), "agentidp-server: {error}");
            error.exit_code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, StartError> {
    let environment = Environment::read(Path::new("."))?;
    let mut config = Config::from_lookup(|name| environment.get(name))?;
    config.warnings.extend(misspelt(&environment.names()));
    config.warnings.extend(environment.warning(Path::new(".")));
    telemetry::init(&config.log);
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| StartError::System { what: "threads could not be started", source })?;
    runtime.block_on(async {
        match command {
            Command::Serve => serve::serve(&config).await,
            Command::Migrate => migrate(&config).await,
            Command::OperatorToken { ttl, name } => operator_token::print(&config, ttl, name.as_deref()),
            Command::Check => check::check(&config).await,
            Command::Reconcile { remove_paths: Some(count), yes, .. } => {
                remove_paths::remove_paths(&config, count, yes).await
            }
            Command::Reconcile { dry_run, .. } => {
                reconcile::reconcile(&config, if dry_run { Mode::DryRun } else { Mode::Repair }).await
            }
            Command::Credentials(choices) => credentials::credentials(&config, &choices).await,
            Command::Move(choices) => moves::move_secrets(&config, &choices).await,
            Command::Restored(choices) => restored::restored(&config, &choices).await,
            Command::Admit { only, yes } => {
                admit::admit(&config, if only { Others::Remove } else { Others::Keep }, yes).await
            }
        }
    })
}

async fn migrate(config: &Config) -> Result<ExitCode, StartError> {
    let repos = open_repos(config).await?;
    repos.database.migrate().await.map_err(|error| StartError::database(config, &error))?;
    repos.database.close().await;
    print(format_args!("the database is up to date"))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["agentidp-server"]).unwrap().command.is_none());
        assert!(Cli::try_parse_from(["agentidp-server", "operator-token", "--ttl", "25h"]).is_err());
        assert!(Cli::try_parse_from(["agentidp-server", "server"]).is_err());
    }
}
