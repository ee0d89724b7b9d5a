//! Making Vault forget.

use std::time::Duration;

use agentidp_secrets::{BackendId, Error, ErrorKind, Operation, StoredSecret};
use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::blank::blank;
use super::fail_point::fail_point;
use super::key;
use crate::app::App;
use crate::domain::{PurgeJob, PurgeKind};
use crate::error::ApiError;

/// How long a request waits for Vault to forget. What takes longer is left to the background.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// How long the background waits: above the deadlines of a call (5 s with the usual settings), far below a claim's life.
const IN_THE_BACKGROUND: Duration = Duration::from_secs(20);

/// How long a claim lasts whose process was killed. The rest above one attempt is for a process that stalls between its claim
/// and its call; should it stall longer, its DELETE is late, and finds nothing that counts.
const CLAIM_LIFE: Duration = Duration::from_secs(60);

/// Wait after the first failure; each further one doubles it up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Wait for a place on another mount or prefix than this server's: only a change of settings brings it within reach.
const ELSEWHERE_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Makes Vault forget a place: deletes it with all its versions, or pushes its secrets out. On failure the job is put off. A job
/// that is not due, that another server has claimed or whose place counts after all is left as it is. So is every
/// job while the [gate](crate::ledger::DeletionGate) is closed.
///
/// # Errors
/// `VAULT_WRITE_ERROR` when Vault did not do it or is not configured, `INTERNAL_SERVER_ERROR` when the database failed.
/// The job is still there then.
pub async fn purge(app: &App, job: &PurgeJob) -> Result<(), ApiError> {
    purge_within(app, job, IN_THE_BACKGROUND).await
}

async fn purge_within(app: &App, job: &PurgeJob, bound: Duration) -> Result<(), ApiError> {
    if !app.gate.may_delete() {
        debug!(credential_id = %job.credential_id, "a purge waits until deletions are allowed");
        return Ok(());
    }
    let now = app.now();
    let Some(claim) = app.repos.purges.claim(job, now, now.plus(CLAIM_LIFE)).await? else {
        debug!(credential_id = %job.credential_id, "another server holds this purge, or it is void");
        return Ok(());
    };
    fail_point("purge.claimed");
    let forgotten = match timeout(bound, forget(app, job)).await {
        Ok(forgotten) => forgotten?,
        Err(_) => Err(Error::new(ErrorKind::Unavailable, "Vault is slow to forget").with_operation(Operation::Revoke)),
    };
    match forgotten {
        Ok(()) => {
            fail_point("purge.forgotten");
            app.repos.purges.done(&claim, app.now()).await?;
            fail_point("purge.done");
            info!(credential_id = %job.credential_id, "Vault has forgotten a secret");
            Ok(())
        }
        Err(error) => {
            let wait = if error.kind() == ErrorKind::Malformed { ELSEWHERE_WAIT } else { wait_after(job.attempts) };
            warn!(
                credential_id = %job.credential_id, error = %error, retry_in_s = wait.as_secs(),
                "Vault did not forget a secret; it no longer authenticates, and Vault is asked again",
            );
            app.repos.purges.failed(&claim, app.now().plus(wait)).await?;
            Err(ApiError::vault(error))
        }
    }
}

/// Has Vault do what the job asks for. The outer error is of the database.
async fn forget(app: &App, job: &PurgeJob) -> Result<Result<(), Error>, ApiError> {
    match job.kind {
        PurgeKind::Blank => blank(app, job).await,
        PurgeKind::Delete | PurgeKind::Rest => {
            let key = key(job.client_id, job.credential_id)?;
            let record = StoredSecret::new(BackendId::VAULT_KV2, job.vault_path.as_str());
            Ok(app.store.revoke(&key, &record.into()).await)
        }
    }
}

/// Tries the jobs at once and side by side, for a bounded time. What fails is still scheduled.
pub(super) async fn purge_now(app: &App, jobs: &[PurgeJob]) {
    // A failure was logged, and the job put off, where it happened.
    let _ = join_all(jobs.iter().map(|job| purge_within(app, job, ON_THE_SPOT))).await;
}

fn wait_after(attempts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempts)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits = [0, 1, 2, 5, 6, 40, u32::MAX].map(|attempts| wait_after(attempts).as_secs());
        assert_eq!(waits, [5, 10, 20, 160, 300, 300, 300]);
    }
}
