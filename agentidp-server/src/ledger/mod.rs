//! Whether this database may delete in its folder in Vault.
//!
//! The folder has an entry, `{prefix}/ledger`, with one counter for each database that was admitted to it; the database
//! holds the same counter. Each value has a random mark. The counter is advanced once a minute, in these steps:
//!
//! | step | the database holds | the entry holds |
//! |---|---|---|
//! | before | `n`, its mark | `n`, its mark |
//! | the next mark is noted and committed | `n`, its mark, the mark of `n + 1` | `n`, its mark |
//! | the entry is written by compare-and-set on its version | the same | `n + 1`, the noted mark |
//! | the row is settled | `n + 1`, its mark | `n + 1`, its mark |
//!
//! A process that dies between two steps leaves a state of this table, and each of them agrees. A mark that was noted is
//! used until it is written, so a write that arrives late writes the same value. A database that was copied or restored,
//! a Vault that was restored, and the database of another deployment hold something else: see [`Disagreement`].
//!
//! Each process looks every [`LOOK_PERIOD`] and holds the [`DeletionGate`] open for [`GATE_LEASE`] from its last look. It opens
//! the gate when it has seen no other writer for [`WATCH_TIME`] and the entry was advanced meanwhile, by itself or by
//! another process on the same database. A copy that runs beside the original sees the original's advance within that time;
//! an original that stands still for as long has a closed gate before a copy can open its own. No process leads: whichever
//! finds the last advance a minute old makes the next one.

mod admit;
mod error;
mod gate;
mod judge;
mod report;
mod watch;

pub use self::admit::{AdmitError, Others};
pub use self::error::LedgerError;
pub use self::gate::{DeletionGate, GATE_LEASE, LedgerState};
pub use self::judge::{Disagreement, Judgement, judge};
pub use self::watch::{Comparison, LOOK_PERIOD, Ledger, WATCH_TIME};
