//! `WARM_CAPACITY`, `WARM_VAULT_LIFETIME` and `WARM_VAULT_STALE`: secrets that were proved once are decided in memory.

use std::time::Duration;

use super::ConfigError;
use super::lookup::Lookup;

/// The library's own default: about 10 MB.
const DEFAULT_CAPACITY: usize = 100_000;

/// 1 GB. More agents than that have more than one server.
const MAX_CAPACITY: usize = 10_000_000;

/// For so long an operator who deletes a secret in Vault itself may have to wait.
const LONGEST_VAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// A day of an outage; past that somebody has to look at who may still come in.
const LONGEST_VAULT_STALE: Duration = Duration::from_secs(86_400);

/// What is remembered of secrets that were proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warm {
    /// Records at most; 0 remembers nothing.
    pub capacity: usize,
    /// For how long a record in Vault is decided without asking Vault. Zero asks every time, and is the default: with
    /// Vault down its credentials get an error and no token.
    pub vault_lifetime: Duration,
    /// For how long after that it is decided so while Vault is unavailable. Zero, the default, is never.
    pub vault_stale: Duration,
}

impl Warm {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let expected = format_args!("a number from 0 (remember nothing) to {MAX_CAPACITY}");
        let fits = |capacity: &usize| *capacity <= MAX_CAPACITY;
        let capacity = lookup.parsed("WARM_CAPACITY", expected, |text| text.parse().ok().filter(fits))?;
        let lifetime = lookup.duration("WARM_VAULT_LIFETIME", Duration::ZERO..=LONGEST_VAULT_LIFETIME)?;
        let stale = lookup.duration("WARM_VAULT_STALE", Duration::ZERO..=LONGEST_VAULT_STALE)?;
        Ok(Self {
            capacity: capacity.unwrap_or(DEFAULT_CAPACITY),
            vault_lifetime: lifetime.unwrap_or(Duration::ZERO),
            vault_stale: stale.unwrap_or(Duration::ZERO),
        })
    }

    /// Whether anything of Vault's is remembered at all.
    pub(crate) fn holds_vault(&self) -> bool {
        !(self.vault_lifetime.is_zero() && self.vault_stale.is_zero())
    }
}
