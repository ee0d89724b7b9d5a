//! The rows that are in memory.

use agentidp_secrets_sqlx::memory::RowMemory;
use agentidp_secrets_sqlx::replicas::LeaseClock;
use tracing::warn;
use uuid::Uuid;

use crate::repo::RepoError;

/// Rows of known clients.
pub(super) type RowCache = RowMemory<Uuid, RepoError>;

/// Room for the rows of so many credentials.
pub(super) fn rows(capacity: usize, clock: LeaseClock) -> RowCache {
    RowCache::new(capacity, clock, client_of)
}

/// Who has changed, by what was told; none where anything may have.
fn client_of(told: &str) -> Option<Uuid> {
    /// What the triggers tell when it is more than one client.
    const ALL: &str = "all";
    let client_id = told.parse().ok();
    if client_id.is_none() && told != ALL {
        warn!("a notification names no client: everything is read again");
    }
    client_id
}
