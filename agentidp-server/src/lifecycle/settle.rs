//! Commits of which nobody knows whether they took place.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::app::App;
use crate::domain::Credential;

/// How long a lost answer to a commit is looked for: a healthy database takes some milliseconds.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a commit of `after`. Where it failed, the row tells: it has the revision of this attempt if the commit took
/// place after all.
pub(super) async fn settled<E: std::fmt::Display>(
    app: &App,
    after: &Credential,
    commit: Result<bool, E>,
) -> Result<bool, E> {
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
            warn!(credential_id = %after.credential_id, "nobody knows whether a commit took place: the database is silent");
            Err(error)
        }
    }
}

/// Asks until there is an answer. A commit that is still under way holds the row's lock and is waited for by whoever writes it;
/// it may come after this look, and is then found by the next sequence.
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
