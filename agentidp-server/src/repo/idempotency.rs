//! Requests that may come again.

use async_trait::async_trait;

use super::{InsertCredential, Result};
use crate::domain::idempotency::{Carried, Claim};
use crate::domain::{AuditEvent, Credential, Timestamp};

/// Requests with an `Idempotency-Key`. What such a request does is committed together with what is kept of its key: there
/// is no moment in which one is there without the other.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait IdempotencyRepo: Send + Sync + 'static {
    /// Takes the claim, unless the key is taken at `now`.
    async fn claim(&self, claim: &Claim, now: Timestamp) -> Result<Claimed>;

    /// Gives the claim back: the request failed, and may be tried again at once. Nothing happens if it was carried out.
    async fn release(&self, claim: &Claim) -> Result<()>;

    /// As [`CredentialRepo::insert`](super::CredentialRepo::insert), if the claim still counts.
    async fn insert(
        &self,
        claim: &Claim,
        credential: &Credential,
        event: &AuditEvent,
    ) -> Result<Once<InsertCredential>>;

    /// As [`CredentialRepo::rotate`](super::CredentialRepo::rotate), if the claim still counts.
    async fn rotate(
        &self,
        claim: &Claim,
        before: &Credential,
        after: &Credential,
        event: &AuditEvent,
    ) -> Result<Once<bool>>;

    /// Replaces a secret that nobody has used by another, for a request that has been carried out before; says whether it
    /// did. It does not if the secret was used, or the row was changed, meanwhile.
    async fn replace(&self, claim: &Claim, before: &Credential, after: &Credential, event: &AuditEvent)
    -> Result<bool>;

    /// The secret of `credential` was used: from now on it is not to be replaced. Says whether it still is the row's.
    async fn used(&self, credential: &Credential) -> Result<bool>;

    /// Forgets keys whose time was over before `now`.
    async fn prune(&self, now: Timestamp) -> Result<u64>;
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each outcome")]
pub enum Claimed {
    /// It is ours.
    Ours,
    /// Another holds it: the same request is in flight.
    Taken,
    /// The key belongs to another request.
    Reused,
    /// The request has been carried out.
    Done(Carried),
}

/// What became of a commit that needs a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each outcome")]
pub enum Once<T> {
    /// What it would be without a claim.
    Decided(T),
    /// The claim was over, and nothing was changed.
    TooLate,
}
