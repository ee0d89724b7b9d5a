//! How much work there is for the digest threads.

use std::fmt;
use std::sync::Arc;

/// How many digests are computed and how many wait, at any moment: for metrics. Cheap to clone, and keeps no thread alive.
#[derive(Clone)]
pub struct DigestLoad(pub(super) Arc<dyn Count>);

/// What a pool tells of its work.
pub(super) trait Count: Send + Sync {
    /// Digests that wait.
    fn waiting(&self) -> usize;

    /// Threads that compute or rest.
    fn busy(&self) -> usize;
}

impl DigestLoad {
    /// Digests that wait for a thread. Those that nobody waits for any more count until a thread or a full queue meets them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Threads that compute, or rest after it.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.0.busy()
    }
}

impl fmt::Debug for DigestLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestLoad").field("waiting", &self.waiting()).field("busy", &self.busy()).finish()
    }
}
