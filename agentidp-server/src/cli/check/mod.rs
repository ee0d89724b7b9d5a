//! `check`: tries everything that a start relies on, one thing at a time, and says how to mend what is missing.

mod report;
mod vault;

use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::SystemClock;

use self::report::Report;
use super::database::open_repos;
use super::terminal::print;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::ledger_clock::{Difference, LedgerClock};
use crate::wiring::{self, StartError};

/// Tries everything. Changes nothing but a secret of its own in Vault, which it deletes again.
pub(super) async fn check(config: &Config) -> Result<ExitCode, StartError> {
    let mut report = Report::default();
    report.ok("settings", "understood");
    signing_key(config, &mut report);
    database(config, &mut report).await;
    vault::check(config, &mut report).await;
    print(&report)?;
    Ok(if report.all_is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn signing_key(config: &Config, report: &mut Report) {
    let path = DataDir::key_path_in(&config.storage.data_dir);
    if config.jwt.private_key.is_none() && !path.exists() {
        report.ok("signing key", format_args!("will be generated at {}", path.display()));
        return;
    }
    match wiring::tokens(config, Arc::new(SystemClock::default())) {
        Ok(_) => report.ok("signing key", "can sign"),
        Err(error) => report.fail("signing key", error),
    }
}

async fn database(config: &Config, report: &mut Report) {
    let path = DataDir::database_path_in(&config.storage.data_dir);
    if config.storage.database_url.is_none() && !path.exists() {
        report.ok("database", format_args!("will be made at {}", path.display()));
        return;
    }
    match answering(config).await {
        Ok(difference) => {
            report.ok("database", "answers");
            if let Some(difference) = difference {
                clocks(difference, report);
            }
        }
        Err(error) => report.fail("database", error),
    }
}

/// By how much this machine's clock differs from the database's, where that has a clock of its own.
async fn answering(config: &Config) -> Result<Option<Difference>, StartError> {
    let repos = open_repos(config).await?;
    let clock = LedgerClock::new(Arc::new(SystemClock::default()));
    let asked = async {
        repos.database.ping().await?;
        clock.read(&*repos.database).await
    };
    let answer = asked.await.map_err(|error| StartError::database(config, &error));
    repos.database.close().await;
    answer
}

fn clocks(difference: Difference, report: &mut Report) {
    if difference.is_too_much() {
        report.fail("clocks", difference);
        report.advise(
            "The database's clock counts for all servers. Nothing is deleted by its age until both clocks agree: set them \
             by NTP.\n"
                .to_owned(),
        );
    } else {
        report.ok("clocks", "this machine's and the database's agree");
    }
}
