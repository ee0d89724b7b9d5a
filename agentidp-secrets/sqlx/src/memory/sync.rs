//! What the cache shares between threads. `interleavings/` puts shuttle's in its place.

pub(super) use std::sync::Mutex;
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
