//! The contract of the places in Vault that have to be forgotten.

use async_trait::async_trait;

use super::Result;
use crate::domain::{PurgeClaim, PurgeJob, Timestamp};

/// Places in Vault to forget.
///
/// A place is deleted only when its credential has ended or was never committed: its id is never used again, so no DELETE,
/// however late Vault carries it out, can meet a secret that counts. A place that a credential has left can be moved back to:
/// blank versions push the secrets out there, each by compare-and-set. What an active row points to is never claimed.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait PurgeRepo: Send + Sync + 'static {
    /// Schedules a deletion; a job that the place has already takes its due time and begins anew. A claim on it stands, and
    /// its holder leaves the job to be done once more.
    async fn schedule(&self, job: &PurgeJob) -> Result<()>;

    /// Up to `limit` jobs that are due and unclaimed, oldest first. Jobs of an older release, and places of credentials that
    /// were never committed or have ended elsewhere, become jobs here first; one whose place an active row points to is dropped.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<PurgeJob>>;

    /// Claims a job that is due, until then. Nothing when another server holds a claim, the job is gone or put off, or a row
    /// counts that the job would hurt.
    async fn claim(&self, job: &PurgeJob, now: Timestamp, until: Timestamp) -> Result<Option<PurgeClaim>>;

    /// Vault has done it. A deletion is repeated after 90 s, an hour and a day, for a first write that arrives after it; after
    /// that the job is dropped. A place that was blanked is kept in mind until the credential ends. A job that was scheduled
    /// again meanwhile only loses the claim.
    async fn done(&self, claim: &PurgeClaim, now: Timestamp) -> Result<()>;

    /// It failed; try again at `next`. A claim that has passed to another server changes nothing, here and in `done`.
    async fn failed(&self, claim: &PurgeClaim, next: Timestamp) -> Result<()>;

    /// Whether a server of an older release may be moving the credential to the job's place, or has moved it. It knows no open
    /// writes: from before its write to Vault it has a job there, and then its row.
    async fn is_moving_in(&self, job: &PurgeJob) -> Result<bool>;

    /// How many jobs Vault has not done yet, due or not, with new credentials that are not committed yet. Repetitions do not
    /// count.
    async fn pending(&self) -> Result<u64>;
}
