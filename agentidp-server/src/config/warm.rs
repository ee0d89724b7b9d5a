//! `WARM_CAPACITY` and `WARM_VAULT_LIFETIME`: secrets that were proved once are decided in memory.

use std::time::Duration;

use super::ConfigError;
use super::lookup::Lookup;

/// The library's own default: about 10 MB.
const DEFAULT_CAPACITY: usize = 100_000;

/// 1 GB. More agents than that have more than one server.
const MAX_CAPACITY: usize = 10_000_000;

/// For so long an operator who deletes a secret in Vault itself may have to wait.
const LONGEST_VAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// What is remembered of secrets that were proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warm {
    /// Records at most; 0 remembers nothing.
    pub capacity: usize,
    /// For how long a record in Vault is decided without asking Vault. Zero asks every time, and is the default: with
    /// Vault down its credentials get an error and no token.
    pub vault_lifetime: Duration,
}

impl Warm {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let expected = format_args!("a number from 0 (remember nothing) to {MAX_CAPACITY}");
        let fits = |capacity: &usize| *capacity <= MAX_CAPACITY;
        let capacity = lookup.parsed("WARM_CAPACITY", expected, |text| text.parse().ok().filter(fits))?;
        let lifetime = lookup.duration("WARM_VAULT_LIFETIME", Duration::ZERO..=LONGEST_VAULT_LIFETIME)?;
        Ok(Self { capacity: capacity.unwrap_or(DEFAULT_CAPACITY), vault_lifetime: lifetime.unwrap_or(Duration::ZERO) })
    }
}
