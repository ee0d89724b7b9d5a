//! From a database URL to the repositories.

use std::path::PathBuf;
use std::sync::Arc;

use agentidp_secrets::{Clock, SystemClock};

use super::reach::Reach;
use super::watch::{NobodyListens, QueryObserver, Watch};
use super::{RepoError, Repos, Result, postgres, sqlite};

/// Connects to the database at `url`: `postgres://…`, `postgresql://…` or `sqlite:path`. Migrates nothing.
///
/// # Errors
/// `Unavailable` when the URL is of no known kind, or the database cannot be reached.
pub async fn open(url: &str) -> Result<Repos> {
    open_observed(url, Arc::new(SystemClock::default()), Arc::new(NobodyListens)).await
}

/// As [`open`], and `observer` hears how long each operation took.
///
/// # Errors
/// As [`open`].
pub async fn open_observed(url: &str, clock: Arc<dyn Clock>, observer: Arc<dyn QueryObserver>) -> Result<Repos> {
    let watch = Watch::new(clock, observer, Reach::embedded());
    if is_postgres(url) {
        postgres::open(url, watch).await
    } else if url.starts_with("sqlite:") {
        sqlite::open(url, watch).await
    } else {
        Err(RepoError::unavailable("open", "DATABASE_URL must begin with postgres://, postgresql:// or sqlite:"))
    }
}

/// The file of a SQLite database, where opening would make it.
#[must_use]
pub(crate) fn missing_file(url: &str) -> Option<PathBuf> {
    let path = url.starts_with("sqlite:").then(|| sqlite::file(url)).flatten()?;
    (!path.exists()).then_some(path)
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}
