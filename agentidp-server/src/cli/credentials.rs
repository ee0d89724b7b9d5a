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

/// A hundred years: further than that no time can be told.
const LONGEST: Duration = DAY.saturating_mul(36_500);

/// Which credentials, and in what form.
#[derive(Debug, Args)]
pub(super) struct Choices {
    /// One JSON object a line instead of the table
    #[arg(long)]
    json: bool,
    /// How many there are by backend, parameters and generation, instead of each
    #[arg(long)]
    summary: bool,
    /// Only those whose clients fail without this backend, such as `bcrypt` or `vault-kv2`; those with a previous secret there too
    #[arg(long, value_name = "BACKEND")]
    without: Option<String>,
    /// Only those that expire within this time, such as 12h or 7d; those that have expired too
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expiring: Option<Duration>,
    /// Only those with no secret used for this time, such as 90d, nor made or rotated within it
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
        let is_there = |without: &String| backend(reported) == *without || is_previous_at(reported, without);
        let backend = self.without.as_ref().is_none_or(is_there);
        let expires = |within: Duration| reported.row.expires_at.is_some_and(|end| end <= now + within);
        let is_idle = |long: Duration| reported.unseen_since().is_none_or(|at| at + long <= now);
        backend && self.expiring.is_none_or(expires) && self.unused.is_none_or(is_idle)
    }
}

fn is_previous_at(reported: &Reported, backend: &str) -> bool {
    reported.previous_backend().is_some_and(|previous| previous.as_str() == backend)
}

const HEAD: &str = "AGENT                                CREDENTIAL                           BACKEND      MADE                     \
                    LAST USED                EXPIRES                  PREVIOUS     PREVIOUS UNTIL           PREVIOUS USED";

fn line(reported: &Reported) -> String {
    let row = &reported.row;
    let [made, last, expires, until, used] = times(reported).map(|at| at.unwrap_or_else(|| "-".to_owned()));
    let (client, credential, backend) = (row.key.client_id(), row.key.credential_id(), backend(reported));
    let previous = reported.previous_backend().map_or_else(|| "-".to_owned(), ToString::to_string);
    format!(
        "{client:<36} {credential:<36} {backend:<12} {made:<24} {last:<24} {expires:<24} {previous:<12} {until:<24} {used}"
    )
}

fn line_of_json(reported: &Reported) -> String {
    let row = &reported.row;
    let [made, last, expires, until, previous] = times(reported);
    json!({
        "agentId": row.key.client_id().as_str(),
        "credentialId": row.key.credential_id().as_str(),
        "backend": backend(reported),
        "parameters": reported.parameters_of(Generation::Current),
        "createdAt": reported.created_at.map(text),
        "rotatedAt": reported.usage.since.map(text),
        "secretMadeAt": made,
        "lastUsedAt": last,
        "expiresAt": expires,
        "previousBackend": reported.previous_backend().map(ToString::to_string),
        "previousParameters": reported.parameters_of(Generation::Previous),
        "previousExpiresAt": until,
        "previousLastUsedAt": previous,
    })
    .to_string()
}

/// When the secret was made, its last use, expiry, end of the overlap, last use of the previous secret.
fn times(reported: &Reported) -> [Option<String>; 5] {
    let (made, usage, until) = (reported.secret_made_at(), reported.usage, reported.previous_until());
    let used = usage.previous_last_used_at.filter(|_| until.is_some());
    [made, usage.last_used_at, reported.row.expires_at, until, used].map(|at| at.map(text))
}

pub(super) fn backend(reported: &Reported) -> String {
    reported.backend().map_or_else(|| "unreadable".to_owned(), ToString::to_string)
}

pub(super) fn text(at: SystemTime) -> String {
    Timestamp::from(at).to_string()
}

/// As settings have times, and days.
fn parse_time(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok()).map(|days: u32| DAY.saturating_mul(days));
    let time = days.or_else(|| parse_duration(text)).filter(|time| *time <= LONGEST);
    time.ok_or_else(|| "must be a time such as 90d, 12h or 30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_in_days() {
        for (text, seconds) in [("7d", 7 * 86_400), ("0d", 0), ("12h", 43_200), ("90s", 90)] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in [
            "",
            "d",
            "-1d",
            "7",
            "1.5d",
            "36501d",
            "4294967296d",
            "876001h",
            "1000000000000000h",
            "18446744073709551615s",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
