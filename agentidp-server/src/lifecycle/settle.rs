//! Commits whose outcome is unknown.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::write_lease::WriteLease;
use crate::app::App;
use crate::domain::Credential;

/// How long a lost answer to a commit is looked for: a healthy database takes some milliseconds.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a commit of `after`. A lease ends where it did not take place.
///
/// Where the commit failed, the row tells: it has the revision of this attempt if the commit took place after all. The lease is
/// ended first, which waits for a commit that is still under way: it holds the lock of the open write.
pub(super) async fn settled<E: std::fmt::Display>(
    app: &App,
    after: &Credential,
    lease: Option<&WriteLease<'_>>,
    commit: Result<bool, E>,
) -> Result<bool, E> {
    if let Some(lease) = lease.filter(|_| !matches!(commit, Ok(true))) {
        lease.end().await;
    }
    let error = match commit {
        Ok(committed) => return Ok(committed),
        Err(error) => error,
    };
    match timeout(ON_THE_SPOT, is_committed(app, after)).await {
        Ok(true) => {
            info!(credential_id = %after.credential_id, %error, "the answer to a commit was lost, and it took place");
            Ok(true)
        }
        Ok(false) => Err(error),
        Err(_) => {
            warn!(credential_id = %after.credential_id, "the outcome of a commit is unknown: the database does not answer");
            Err(error)
        }
    }
}

/// Asks until there is an answer.
async fn is_committed(app: &App, after: &Credential) -> bool {
    loop {
        match app.repos.credentials.find(after.client_id, after.credential_id).await {
            Ok(row) => {
                return after.secret.revision.is_some()
                    && row.is_some_and(|row| row.secret.revision == after.secret.revision);
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
