//! The database of a command that serves nobody.

use std::sync::Arc;

use agentidp_secrets::{Clock, SystemClock};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::repo::Repos;
use crate::wiring::{self, StartError};

/// The database, with nobody to look at metrics.
pub(super) async fn open_repos(config: &Config) -> Result<Repos, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    wiring::open_repos(config, &clock, &Metrics::new()).await
}
