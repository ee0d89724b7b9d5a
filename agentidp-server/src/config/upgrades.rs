//! `UPGRADE_ON_VERIFY`, `UPGRADE_RATE` and `UPGRADE_EXCEPT`.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::ConfigError;
use super::lookup::Lookup;

/// Which records a login puts into today's form, and how fast.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Upgrades {
    /// Whether it does at all.
    pub on_verify: bool,
    /// How many begin in a second at the most; none is no limit.
    pub rate: Option<u32>,
    /// The agents whose records stay as they are.
    pub except: Arc<BTreeSet<Uuid>>,
}

impl Upgrades {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let rate = lookup
            .parsed("UPGRADE_RATE", "a number of upgrades a second from 0 (no limit)", |text| text.parse().ok())?;
        let except = lookup.parsed("UPGRADE_EXCEPT", "ids of agents separated by commas", |text| {
            text.split(',').map(|id| Uuid::try_parse(id.trim()).ok()).collect::<Option<BTreeSet<_>>>()
        })?;
        Ok(Self {
            on_verify: lookup.flag("UPGRADE_ON_VERIFY")?.unwrap_or(false),
            rate: rate.filter(|rate| *rate > 0),
            except: Arc::new(except.unwrap_or_default()),
        })
    }
}
