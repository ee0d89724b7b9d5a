//! `check`: tries everything that a start relies on, one thing at a time, and says how to mend what is missing.

mod report;
mod vault;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use agentidp_secrets::SystemClock;

use self::report::Report;
use super::database::open_repos;
use super::terminal::print;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::ledger_clock::{Difference, LedgerClock};
use crate::repo::{RepoError, Repos, Schema};
use crate::wiring::{self, StartError};

/// Tries everything. Changes nothing but a secret of its own in Vault, which it deletes again.
pub(super) async fn check(config: &Config) -> Result<ExitCode, StartError> {
    let mut report = Report::default();
    report.ok("settings", "understood");
    let warnings = config.warnings.iter().map(String::as_str);
    for warning in warnings.chain(config.issuer_warning()).chain(config.selector_advice()) {
        report.note("settings", warning);
    }
    address(config, &mut report);
    signing_key(config, &mut report);
    selector_keys(config, &mut report);
    database(config, &mut report).await;
    vault::check(config, &mut report).await;
    print(&report)?;
    Ok(if report.all_is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn signing_key(config: &Config, report: &mut Report) {
    let path = DataDir::key_path_in(&config.storage.data_dir);
    if config.jwt.private_key.is_none() && !path.exists() {
        will_be(report, "signing key", "generated", &path, ("AGENTIDP_DATA_DIR", try_folder(&config.storage.data_dir)));
        return;
    }
    match wiring::tokens(config, config.issuer(), Arc::new(SystemClock::default())) {
        Ok(_) => report.ok("signing key", "can sign"),
        Err(error) => report.fail("signing key", error),
    }
}

/// A start that cannot make them goes without.
fn selector_keys(config: &Config, report: &mut Report) {
    if !config.makes_selector_keys() {
        return;
    }
    let (what, path) = ("selector keys", DataDir::selector_keys_path_in(&config.storage.data_dir));
    if path.exists() {
        match wiring::selector_keys(config) {
            Ok(_) => report.ok(what, "can be read"),
            Err(error) => report.fail(what, error),
        }
        return;
    }
    match try_folder(&config.storage.data_dir) {
        Ok(()) => report.ok(what, format_args!("will be generated at {}", path.display())),
        Err(error) => report.note(what, format_args!("cannot be kept at {}: {error}", path.display())),
    }
}

async fn database(config: &Config, report: &mut Report) {
    // Opening it would make it.
    if let Some((setting, path)) = wiring::missing_database(config) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let tried = match &config.storage.database_url {
            None => try_folder(&config.storage.data_dir),
            Some(_) => try_file_in(folder.unwrap_or(Path::new("."))),
        };
        return will_be(report, "database", "made", &path, (setting, tried));
    }
    match open_repos(config).await {
        Ok(repos) => {
            if let Err(error) = answering(&repos, config, report).await {
                report.fail("database", StartError::database(config, &error));
            }
            repos.database.close().await;
        }
        Err(error) => report.fail("database", error),
    }
}

/// What the first start makes, if it can, and the setting that says where.
fn will_be(report: &mut Report, what: &str, made: &str, path: &Path, (setting, tried): (&str, io::Result<()>)) {
    let path = path.display();
    match tried {
        Ok(()) => report.ok(what, format_args!("will be {made} at {path}")),
        Err(error) => report.fail(
            what,
            format_args!("cannot be {made} at {path}: {error}; name a folder that this user may write to in {setting}"),
        ),
    }
}

/// Whether the server may listen where it is told to. In use is no fault: by the server itself, as a rule.
fn address(config: &Config, report: &mut Report) {
    let (what, address) = ("address", config.listen.address());
    match super::serve::bind(address) {
        Ok(_) => report.ok(what, format_args!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            report
                .note(what, format_args!("{address} is in use: a server runs there, and a second one would not start"));
        }
        Err(source) => report.fail(what, StartError::Listen { address, source }),
    }
}

/// Makes a file in the folder, or where the folder would be made, and removes it again.
fn try_folder(folder: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(folder)?;
    try_file_in(absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(&absolute))
}

fn try_file_in(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".agentidp-check-{}", std::process::id()));
    fs::File::create_new(&file)?;
    fs::remove_file(&file)
}

async fn answering(repos: &Repos, config: &Config, report: &mut Report) -> Result<(), RepoError> {
    repos.database.ping().await?;
    report.ok("database", "answers");
    let clock = LedgerClock::new(Arc::new(SystemClock::default()));
    if let Some(difference) = clock.read(&*repos.database).await? {
        clocks(difference, report);
    }
    let schema = repos.database.schema().await?;
    migrations(&schema, report);
    if !schema.missing.is_empty() {
        return Ok(());
    }
    if let Some(problem) = wiring::lacking(&schema) {
        report.fail("database rights", format_args!("this role {problem}"));
    }
    match repos.database.try_write().await {
        Ok(()) => report.ok("database writes", "are taken"),
        Err(error) => report.fail("database writes", StartError::database(config, &error)),
    }
    let held = repos.drift.backends().await?;
    for needed in wiring::unconfigured(config, &*repos.drift, &held).await? {
        let (credentials, it, fix) = (needed.credentials, needed.part(), needed.fix());
        report.fail(
            format_args!("backend {}", needed.backend),
            format_args!("{credentials} active credentials need {it}, which is not configured: {fix}"),
        );
    }
    Ok(())
}

fn migrations(schema: &Schema, report: &mut Report) {
    let what = "migrations";
    let Schema { missing, newest, may_migrate, .. } = schema;
    let (count, newest) = (missing.len(), newest.unwrap_or_default());
    let gap: Vec<String> = missing.iter().filter(|version| **version < newest).map(ToString::to_string).collect();
    match (count, may_migrate) {
        (0, _) => match wiring::newer(schema) {
            None => report.ok(what, "are all applied"),
            Some(problem) => report.note(what, format_args!("are all applied, and the database has {problem}")),
        },
        (_, false) => report.fail(
            what,
            format_args!(
                "{count} are missing, and this role may not apply them: run `agentidp-server migrate` as the owner of the \
                 tables, or grant CREATE on the schema"
            ),
        ),
        _ if !gap.is_empty() => report.fail(
            what,
            format_args!(
                "{} of an older release is missing among those that are applied: restore the table _sqlx_migrations, or run \
                 `agentidp-server migrate`",
                gap.join(", ")
            ),
        ),
        _ => report.ok(what, format_args!("{count} will be applied by the first start")),
    }
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
