//! `admit`: lets this database delete in its folder in Vault, after the two were found to disagree.

use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::folder::{Comparison, Judgement, Others};
use agentidp_secrets::vault::ledger::LedgerEntry;
use agentidp_secrets::{Clock, SystemClock};

use super::database::open_repos;
use super::deletions::watch_time;
use super::terminal::{ask, fail, print};
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError};
use crate::wiring::{self, StartError};

/// Prints what was found and what will be done, asks, and does it.
pub(super) async fn admit(config: &Config, others: Others, yes: bool) -> Result<ExitCode, StartError> {
    let Some(settings) = &config.vault else {
        return fail("VAULT_ADDR is not set: there is no folder in Vault to be admitted to");
    };
    wiring::refuse_missing_database(config)?;
    let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    let vault = wiring::vault_backend(settings, &clock)?;
    let repos = open_repos(config).await?;
    let ledger = wiring::ledger(settings, vault, &repos, &clock, watch_time());
    let outcome = admit_to(&ledger, others, yes).await;
    repos.database.close().await;
    outcome
}

async fn admit_to(ledger: &Ledger, others: Others, yes: bool) -> Result<ExitCode, StartError> {
    let found = match ledger.compare().await {
        Ok(found) => found,
        Err(error) => return fail(error),
    };
    print(describe(&found))?;
    let Some(plan) = plan(&found, others) else {
        print("Nothing needs to be done.")?;
        return Ok(ExitCode::SUCCESS);
    };
    print(plan)?;
    if !ask("Admit this database?", yes)? {
        return fail("nothing was changed");
    }
    match ledger.admit(&found, others).await {
        Ok(()) => {
            print("This database is admitted. Its servers delete in Vault after they have watched for two minutes.")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(LedgerError::Changed) => {
            fail("the ledger entry or this database's row was changed meanwhile: run the command again")
        }
        Err(error) => fail(error),
    }
}

fn describe(found: &Comparison) -> String {
    let row = &found.row;
    let mut lines = vec![format!("this database: ledger {}, counter {}", row.identity, row.counter)];
    match &found.entry {
        LedgerEntry::Live { version, counters } => {
            lines.push(format!("the entry in Vault: version {version}"));
            for (identity, known) in counters {
                lines.push(format!("  admits ledger {identity}, counter {}", known.counter));
            }
        }
        LedgerEntry::Absent => lines.push("the entry in Vault: there is none".to_owned()),
        LedgerEntry::Deleted { version } => lines.push(format!("the entry in Vault: version {version} was deleted")),
        entry => lines.push(format!("the entry in Vault: version {} cannot be read", entry.version())),
    }
    lines.push(match found.judgement {
        Judgement::Unclaimed => "No database has claimed the folder: the server does it when it starts.".to_owned(),
        Judgement::Current | Judgement::Advanced => "They agree.".to_owned(),
        Judgement::Disagrees(disagreement) => format!("They disagree: {disagreement}."),
    });
    lines.join("\n")
}

/// What will be done; none where nothing needs to be.
fn plan(found: &Comparison, others: Others) -> Option<String> {
    let agrees = !matches!(found.judgement, Judgement::Disagrees(_));
    let removed = if others == Others::Remove { found.others() } else { 0 };
    if agrees && removed == 0 {
        return None;
    }
    let mut lines = vec![
        "The counter of this database will be advanced with a new mark. From then on this database deletes in the folder \
         what its own rows and jobs say, and a copy or an older state of it is stopped."
            .to_owned(),
    ];
    if removed > 0 {
        lines.push(format!("{removed} other ledgers will be removed from the entry, and their servers stop deleting."));
    } else if found.others() > 0 {
        lines.push(format!("{} other ledgers stay admitted.", found.others()));
    }
    Some(lines.join("\n"))
}
