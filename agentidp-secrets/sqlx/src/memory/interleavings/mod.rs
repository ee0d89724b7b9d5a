//! The memory of rows with shuttle's counters in place of the standard library's: each run takes the threads through another order of
//! their steps, and prints it where something old was served.
//!
//! The map that holds the rows is taken as one step: it has tests of its own.

mod acknowledged;
mod reads;

use super::reading;

/// In place of `memory/sync.rs`.
mod sync {
    pub(super) use shuttle::sync::Mutex;
    pub(super) use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}

#[expect(clippy::duplicate_mod, reason = "the same text over other counters is what this is about")]
#[path = "../cache.rs"]
mod cache;
#[expect(clippy::duplicate_mod, reason = "the same text over other counters is what this is about")]
#[path = "../flights.rs"]
mod flights;
#[expect(
    clippy::duplicate_mod,
    dead_code,
    unreachable_pub,
    reason = "the same text over other counters is what this is about"
)]
#[path = "../rows.rs"]
mod rows;
