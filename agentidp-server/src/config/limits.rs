//! `BCRYPT_COST`, `RATE_LIMIT_PER_MINUTE` and those beside it, `AGENT_LIMIT`, `CREDENTIAL_LIMIT`, `MONTHLY_TOKEN_LIMIT`,
//! `MAX_OVERLAP`, `PREVIOUS_SECRET_IDLE` and `END_IDLE_OVERLAPS`.

use std::time::Duration;

use super::ConfigError;
use super::lookup::Lookup;
use crate::rate_limit::Rates;

/// The documented cost. A generated secret has 256 random bits, so a higher one buys nothing but time.
const DEFAULT_BCRYPT_COST: u32 = 10;

/// Highest cost taken, as the library does: 14 is about a second of one core for every token request.
const MAX_BCRYPT_COST: u32 = 14;

/// The documented limit.
const DEFAULT_RATE_LIMIT: u32 = 100;

/// Long enough for a release of whatever uses the secret.
const DEFAULT_MAX_OVERLAP: Duration = Duration::from_secs(7 * 86_400);

/// Longer than a token of ours lives, so whoever still uses the secret has come by within it; a minute of it may be missing.
const DEFAULT_PREVIOUS_SECRET_IDLE: Duration = Duration::from_secs(2 * 3600);

/// What clients and agents may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Cost of new bcrypt digests.
    pub bcrypt_cost: u32,
    /// Requests a minute.
    pub rates: Rates,
    /// Agents that are not decommissioned; none is no limit.
    pub agents: Option<u64>,
    /// Active credentials of one agent; none is no limit.
    pub credentials: Option<u64>,
    /// Tokens of one agent in a calendar month; none is no limit.
    pub monthly_tokens: Option<u64>,
    /// How long the secret before a rotation may be asked to work; zero is never.
    pub max_overlap: Duration,
    /// How long the secret before has to be unused for its end before its time; zero is not at all.
    pub previous_secret_idle: Duration,
    /// How long the secret before has to be unused for the server to end it before its time; zero is never.
    pub end_idle_overlaps: Duration,
}

impl Limits {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let costs = DEFAULT_BCRYPT_COST..=MAX_BCRYPT_COST;
        let cost = lookup.parsed(
            "BCRYPT_COST",
            format_args!("a number from {} to {}", costs.start(), costs.end()),
            |text| text.parse().ok().filter(|cost| costs.contains(cost)),
        )?;
        let rate = |name| lookup.parsed(name, "a number from 0 (no limit)", |text| text.parse().ok());
        let defaults = Rates::of(rate("RATE_LIMIT_PER_MINUTE")?.unwrap_or(DEFAULT_RATE_LIMIT));
        Ok(Self {
            bcrypt_cost: cost.unwrap_or(DEFAULT_BCRYPT_COST),
            rates: Rates {
                introspection: rate("INTROSPECTION_RATE_LIMIT_PER_MINUTE")?.unwrap_or(defaults.introspection),
                operator: rate("OPERATOR_RATE_LIMIT_PER_MINUTE")?.unwrap_or(defaults.operator),
                failures: rate("FAILURE_LIMIT_PER_MINUTE")?.unwrap_or(defaults.failures),
                ..defaults
            },
            agents: optional_limit(lookup, "AGENT_LIMIT")?,
            credentials: optional_limit(lookup, "CREDENTIAL_LIMIT")?,
            monthly_tokens: optional_limit(lookup, "MONTHLY_TOKEN_LIMIT")?,
            max_overlap: lookup
                .duration("MAX_OVERLAP", Duration::ZERO..=365 * Duration::from_secs(86_400))?
                .unwrap_or(DEFAULT_MAX_OVERLAP),
            previous_secret_idle: lookup
                .duration("PREVIOUS_SECRET_IDLE", Duration::ZERO..=365 * Duration::from_secs(86_400))?
                .unwrap_or(DEFAULT_PREVIOUS_SECRET_IDLE),
            end_idle_overlaps: lookup
                .duration("END_IDLE_OVERLAPS", Duration::ZERO..=365 * Duration::from_secs(86_400))?
                .unwrap_or_default(),
        })
    }
}

/// 0 is refused, because some would read it as "none at all" and some as "no limit".
fn optional_limit(lookup: &Lookup<'_>, name: &'static str) -> Result<Option<u64>, ConfigError> {
    // SQL counts in signed 64 bits.
    let fits = |limit: &u64| (1..=i64::MAX as u64).contains(limit);
    lookup.parsed(name, "a number from 1 (unset it for no limit)", |text| text.parse().ok().filter(fits))
}
