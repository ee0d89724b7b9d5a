//! Whether this database may delete in its folder in Vault.
//!
//! A second deployment that was given the same folder, a copy of the database, and one that was restored from a backup all hold
//! rows that look like any others, and would delete what is not theirs. So the folder has an entry, `{prefix}/ledger`, with one counter for
//! each database that was admitted to it, and the database holds the same counter in a [`FolderRow`]. Each value has a random mark.
//! The counter is advanced once a minute, in these steps:
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
//! Each process looks every [`LOOK_PERIOD`] and holds the [`FolderGate`] open for [`GATE_LEASE`] from its last look. It opens
//! the gate when it has seen no other writer for [`WATCH_TIME`] and the entry was advanced meanwhile, by itself or by
//! another process on the same database. A copy that runs beside the original sees the original's advance within that time;
//! an original that stands still for as long has a closed gate before a copy can open its own. No process leads: whichever
//! finds the last advance a minute old makes the next one.
//!
//! While the gate is closed, deletions wait and logins go on. While the two are known to disagree, a rotation is refused, too, where it would
//! push out a version, or change what a record means that names none: either may be the other database's. A disagreement stays until
//! an operator decides which database is the right one, and [admits](Folder::admit) it.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use agentidp_secrets::folder::{Folder, FolderRows};
//! use agentidp_secrets::lifecycle::{Ledger, Lifecycle};
//! use agentidp_secrets::vault::VaultKv2;
//! use agentidp_secrets::{SecretStore, SystemClock};
//!
//! # fn example(vault: VaultKv2, store: SecretStore, ledger: impl Ledger, rows: impl FolderRows) {
//! let folder = Folder::new(vault.clone(), rows, "secret/agentidp", Arc::new(SystemClock::default()))
//!     .with_observer(|state, problem| eprintln!("the folder in Vault: {}, {problem:?}", state.name()));
//! let life = Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task))).with_gate(folder.gate().clone());
//! tokio::spawn(async move { folder.watch().await });
//! # }
//! ```

mod admit;
mod error;
mod gate;
mod judge;
mod memory;
mod row;
mod watch;

pub use self::admit::Others;
pub use self::error::FolderError;
pub use self::gate::{FolderGate, FolderState, GATE_LEASE};
pub use self::judge::{Comparison, Disagreement, Judgement, judge};
pub use self::memory::MemoryFolderRows;
pub use self::row::{FolderRow, FolderRows};
pub use self::watch::{Folder, LOOK_PERIOD, WATCH_TIME};
