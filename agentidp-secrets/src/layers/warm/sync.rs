//! What these files share between threads. `tests/interleavings` puts shuttle's in its place.

pub(super) use std::sync::atomic::{AtomicU32, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};

/// The fewest counters of what was forgotten: 16 KiB.
pub(super) const LEAST_EPOCHS: usize = 1 << 12;
