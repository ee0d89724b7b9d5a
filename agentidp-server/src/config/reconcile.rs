//! `RECONCILE_INTERVAL`: how often the rows are compared with Vault.

use std::time::Duration;

use super::ConfigError;
use super::lookup::Lookup;

/// A comparison asks Vault twice for each credential there: a million take it a quarter of an hour or two.
const DEFAULT: Duration = Duration::from_secs(3600);

/// A week: whoever wants it less often wants it off.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// The comparison of rows and Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconcile {
    /// Time between two comparisons by the one server that makes them; zero is never.
    pub interval: Duration,
}

impl Reconcile {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let interval = lookup.duration("RECONCILE_INTERVAL", Duration::ZERO..=LONGEST)?;
        Ok(Self { interval: interval.unwrap_or(DEFAULT) })
    }
}
