//! The contract of writes to Vault that are about to happen.

use async_trait::async_trait;
use uuid::Uuid;

use super::Result;
use crate::domain::{LeftWrite, OpenWrite, PurgeJob, Timestamp};

/// Open writes: at most one a credential, recorded before Vault is written and redeemed by the commit. While its lease lasts
/// no other server writes to the credential's place.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait OpenWriteRepo: Send + Sync + 'static {
    /// Opens a write of an active or a new credential until then, or takes over one whose lease is over. What the attempt holds already it opens again, for
    /// another purpose.
    async fn open(&self, write: &OpenWrite, now: Timestamp, until: Timestamp) -> Result<Opened>;

    /// Extends the lease until then, if the write is still this attempt's; says whether it is. If it is, no other server has
    /// written since it was opened.
    async fn renew(&self, credential_id: Uuid, attempt: Uuid, until: Timestamp) -> Result<bool>;

    /// Vault has definitely written nothing. The write is forgotten, unless an earlier holder left something.
    async fn close(&self, credential_id: Uuid, attempt: Uuid, now: Timestamp) -> Result<()>;

    /// Vault may have written something, or has, and there is no commit. The lease ends at once; what was noted stays for the
    /// next writer.
    async fn end_lease(&self, credential_id: Uuid, attempt: Uuid, now: Timestamp) -> Result<()>;

    /// A new credential is given up: its place becomes due to be deleted. Nothing where the write is not this attempt's any
    /// more.
    async fn abandon(&self, credential_id: Uuid, attempt: Uuid, now: Timestamp) -> Result<Option<PurgeJob>>;

    /// Credentials with a repair that its writer did not finish, up to `limit`: client and credential.
    async fn unfinished_repairs(&self, now: Timestamp, limit: u32) -> Result<Vec<(Uuid, Uuid)>>;
}

/// What became of an attempt to open a write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each outcome")]
pub enum Opened {
    /// It is ours, and this is what an earlier holder left.
    Ours(Option<LeftWrite>),
    /// Another server holds it, or an older release is purging the place.
    Busy,
    /// The credential has ended, or never was.
    Ended,
}
