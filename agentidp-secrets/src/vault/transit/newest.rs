//! Which version of the key is the newest, as far as is known.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// How long what is known lasts. A rotated key is taken up within it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What is known. Clones of the backend share it.
pub(super) struct NewestVersion {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    version: u64,
    looked: Option<Instant>,
}

impl NewestVersion {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// Notes the version of an HMAC that Vault has just made.
    pub(super) fn note(&self, version: u64) {
        let now = self.clock.instant();
        let mut known = self.known();
        known.version = known.version.max(version);
        known.looked = Some(now);
    }

    /// Whether there is a newer version than this one.
    pub(super) fn is_beyond(&self, version: u64) -> bool {
        self.known().version > version
    }

    /// Whether it is time to look again. Says so to one caller, whatever becomes of its look.
    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.instant();
        let mut known = self.known();
        let is_due = known.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_AGAIN);
        if is_due {
            known.looked = Some(now);
        }
        is_due
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No code panics while it holds the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for NewestVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewestVersion({})", self.known().version)
    }
}
