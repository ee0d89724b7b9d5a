//! `operator-token`: the way to a first agent.

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::SystemClock;

use super::terminal::print as print_out;
use crate::config::{Config, parse_duration};
use crate::domain::Scopes;
use crate::tokens::{LONGEST_LIFE, OPERATOR};
use crate::wiring::{self, StartError};

/// An operator token cannot be tied to an agent's status, so it does not live for long.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=LONGEST_LIFE;

/// Reads `--ttl`.
pub(super) fn parse_ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|ttl| TTL.contains(ttl))
        .ok_or_else(|| "must be a time from 1s to 24h, such as 90s, 15m or 1h".to_owned())
}

/// Prints a token, signed with the server's key. Needs no database, and no server that runs.
pub(super) fn print(config: &Config, ttl: Duration) -> Result<ExitCode, StartError> {
    let tokens = wiring::tokens(config, Arc::new(SystemClock::default()))?;
    let issued = tokens.issue_now(OPERATOR, Scopes::ALL, ttl, true).map_err(|error| StartError::System {
        what: "the token could not be signed",
        source: std::io::Error::other(error),
    })?;
    print_out(&issued.token)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_from_a_second_to_a_day() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("24h", 86_400)] {
            assert_eq!(parse_ttl(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["0s", "999ms", "25h", "1d", "15", "", "-1m"] {
            assert!(parse_ttl(text).is_err(), "{text:?}");
        }
    }
}
