//! `operator-token`: the way to a first agent.

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::SystemClock;

use super::terminal::print as print_out;
use crate::config::{Config, ConfigError, parse_duration};
use crate::data_dir::DataDir;
use crate::domain::Scopes;
use crate::tokens::{Issuer, LONGEST_LIFE, OPERATOR};
use crate::wiring::{self, StartError};

/// An operator token cannot be tied to an agent's status, so it does not live for long.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=LONGEST_LIFE;

/// Reads `--ttl`.
pub(super) fn parse_ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|ttl| TTL.contains(ttl))
        .ok_or_else(|| "must be a time from 1s to 24h, such as 90s, 15m or 1h".to_owned())
}

/// Reads `--name`: it goes into every audit event that the token causes.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("must have 1 to 64 letters, digits, and characters of . _ @ -".to_owned())
}

/// Prints a token, signed with the server's key. Needs no database, and no server that runs.
pub(super) fn print(config: &Config, ttl: Duration, name: Option<&str>) -> Result<ExitCode, StartError> {
    let key = DataDir::key_path_in(&config.storage.data_dir);
    if config.jwt.private_key.is_none() && !key.exists() {
        // A new key would sign a token that no server accepts.
        let problem = format!(
            "has no signing key ({}): run this command in the folder and with the settings of the server, after its first \
             start",
            key.display()
        );
        return Err(ConfigError::new("AGENTIDP_DATA_DIR", problem).into());
    }
    // Only the issuer that is set: HOST and PORT of this shell need not be the server's.
    let issuer = config.jwt.issuer.clone().map(Issuer::new);
    let tokens = wiring::tokens(config, issuer, Arc::new(SystemClock::default()))?;
    let subject = name.map_or_else(|| OPERATOR.to_owned(), |name| format!("{OPERATOR}:{name}"));
    let issued = tokens.issue_now(&subject, Scopes::ALL, ttl, true).map_err(|error| StartError::System {
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
