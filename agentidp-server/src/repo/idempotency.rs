//! Requests that may come again.

use async_trait::async_trait;

use super::Result;
use crate::domain::Timestamp;
use crate::domain::idempotency::{Carried, Claim};

/// Requests with an `Idempotency-Key`. What such a request does is committed together with what is kept of its key, by
/// [`ChangeTx::carry_out`](super::ChangeTx::carry_out): there is no moment in which one is there without the other.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait IdempotencyRepo: Send + Sync + 'static {
    /// Takes the claim, unless the key is taken at `now`.
    async fn claim(&self, claim: &Claim, now: Timestamp) -> Result<Claimed>;

    /// Gives the claim back: the request failed, and may be tried again at once. Nothing happens if it was carried out.
    async fn release(&self, claim: &Claim) -> Result<()>;

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
