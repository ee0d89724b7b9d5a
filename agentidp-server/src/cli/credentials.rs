//! `credentials`: what keeps each secret, and who uses it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{Reported, Summary};
use agentidp_secrets::{Generation, SystemClock};
use clap::Args;
use serde_json::json;

use super::deletions::watch_time;
use super::summary_table;
use super::terminal::{Lines, fail};
use crate::config::{Config, parse_duration};
use crate::domain::Timestamp;
use crate::error::chain;
use crate::wiring::{self, StartError};

const DAY: Duration = Duration::from_secs(86_400);

/// Which credentials, and in what form.
#[derive(Debug, Args)]
pub(super) struct Choices {
    /// One JSON object a line instead of the table
    #[arg(long)]
    json: bool,
    /// How many there are by backend, parameters and generation, instead of each
    #[arg(long)]
    summary: bool,
    /// Only those whose clients fail without this backend, such as `bcrypt` or `vault-kv2`
    #[arg(long, value_name = "BACKEND")]
    without: Option<String>,
    /// Only those that expire within this time, such as 12h or 7d; those that have expired too
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expiring: Option<Duration>,
    /// Only those that were not used for this time, such as 90d; those that were never used too
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    unused: Option<Duration>,
}

/// One line for each credential, as it is read: memory does not grow with their number. In the end how many there are by backend.
pub(super) async fn credentials(config: &Config, choices: &Choices) -> Result<ExitCode, StartError> {
    let app = wiring::build_as_is(config, Arc::new(SystemClock::default()), watch_time()).await?;
    let now: SystemTime = app.now().into();
    let (mut lines, mut counts) = (Lines::new(), BTreeMap::<String, u64>::new());
    let mut summary = Summary::at(now);
    if !choices.json && !choices.summary {
        lines.print(HEAD);
    }
    let mut tell = |reported: &Reported| {
        if !choices.include(reported, now) {
            return;
        }
        if choices.summary {
            return summary.add(reported);
        }
        *counts.entry(backend(reported)).or_default() += 1;
        lines.print(if choices.json { line_of_json(reported) } else { line(reported) });
    };
    let outcome = app.life().report(&mut tell).await;
    app.repos.database.close().await;
    if outcome.is_ok() && choices.summary {
        summary_table::show(&summary, choices.json, &mut lines);
    } else if outcome.is_ok() && !choices.json {
        let all: u64 = counts.values().sum();
        let by: Vec<_> = counts.iter().map(|(backend, count)| format!(", {count} {backend}")).collect();
        lines.print(format_args!("{all} credentials{}", by.concat()));
    }
    lines.end()?;
    match outcome {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(failure) => fail(chain(&failure)),
    }
}

impl Choices {
    fn include(&self, reported: &Reported, now: SystemTime) -> bool {
        let backend = self.without.as_ref().is_none_or(|without| backend(reported) == *without);
        let expires = |within: Duration| reported.row.expires_at.is_some_and(|end| end <= now + within);
        let is_idle = |long: Duration| reported.usage.last_used_at.is_none_or(|at| at + long <= now);
        backend && self.expiring.is_none_or(expires) && self.unused.is_none_or(is_idle)
    }
}

const HEAD: &str = "AGENT                                CREDENTIAL                           BACKEND      LAST USED                \
                    EXPIRES                  PREVIOUS UNTIL           PREVIOUS USED";

fn line(reported: &Reported) -> String {
    let row = &reported.row;
    let [last, expires, until, previous] = times(reported).map(|at| at.unwrap_or_else(|| "-".to_owned()));
    let (client, credential) = (row.key.client_id(), row.key.credential_id());
    let line = format!(
        "{client:<36} {credential:<36} {:<12} {last:<24} {expires:<24} {until:<24} {previous}",
        backend(reported)
    );
    line.trim_end().to_owned()
}

fn line_of_json(reported: &Reported) -> String {
    let row = &reported.row;
    let [last, expires, until, previous] = times(reported);
    json!({
        "agentId": row.key.client_id().as_str(),
        "credentialId": row.key.credential_id().as_str(),
        "backend": backend(reported),
        "parameters": reported.parameters_of(Generation::Current),
        "rotatedAt": reported.usage.since.map(text),
        "lastUsedAt": last,
        "expiresAt": expires,
        "previousBackend": reported.previous_backend().map(ToString::to_string),
        "previousParameters": reported.parameters_of(Generation::Previous),
        "previousExpiresAt": until,
        "previousLastUsedAt": previous,
    })
    .to_string()
}

/// Last use, expiry, end of the overlap, last use of the previous secret.
fn times(reported: &Reported) -> [Option<String>; 4] {
    let previous = reported.row.secrets.as_ref().and_then(|secrets| secrets.previous.as_ref());
    let until = previous.map(|previous| previous.valid_until);
    let used = reported.usage.previous_last_used_at.filter(|_| until.is_some());
    [reported.usage.last_used_at, reported.row.expires_at, until, used].map(|at| at.map(text))
}

pub(super) fn backend(reported: &Reported) -> String {
    reported.backend().map_or_else(|| "unreadable".to_owned(), ToString::to_string)
}

pub(super) fn text(at: SystemTime) -> String {
    Timestamp::from(at).to_string()
}

/// As settings have times, and days.
fn parse_time(text: &str) -> Result<Duration, String> {
    let days =
        text.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| *days <= 36_500).map(|days| DAY * days);
    days.or_else(|| parse_duration(text)).ok_or_else(|| "must be a time such as 90d, 12h or 30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_in_days() {
        for (text, seconds) in [("7d", 7 * 86_400), ("0d", 0), ("12h", 43_200), ("90s", 90)] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "d", "-1d", "7", "1.5d", "36501d", "4294967296d"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
