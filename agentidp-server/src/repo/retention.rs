//! The horizon up to which rows are deleted by their age.

use async_trait::async_trait;

use super::Result;
use crate::domain::Timestamp;

/// The stored horizon. The clock alone never decides that a row is old enough to be deleted: see
/// [`Horizon`](crate::horizon::Horizon).
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait RetentionRepo: Send + Sync + 'static {
    /// The horizon. While the database has none, it becomes the time of the newest row, at most `now`. `None` while there
    /// are no rows either.
    ///
    /// The first horizon also takes back what an earlier release released from the audit trail by a wrong clock.
    async fn horizon(&self, now: Timestamp) -> Result<Option<Timestamp>>;

    /// Moves the horizon forward to `to`, never back, and returns it. `None` while the database has no horizon.
    async fn advance(&self, to: Timestamp) -> Result<Option<Timestamp>>;
}
