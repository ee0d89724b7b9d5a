//! Rows in memory: a login of a known client asks the database nothing.
//!
//! [`PgLedger`](crate::PgLedger) keeps rows so. It is public for a ledger over tables of your own; what keeps the rows true is
//! [`replicas`](crate::replicas).
//!
//! Rows in memory may let a client in. They never keep a client out: before a refusal the rows are read again, by a read that began
//! after they were served ([`Freshness::After`](agentidp_secrets::lifecycle::Freshness::After)). Callers that wait for the same client share that read, so a flood of wrong secrets
//! has at most one read in progress for each client.
//!
//! The changes of this process are counted also where nothing is kept. A login compares the counts right before its answer, and so
//! notices a change that was made during its last read.

mod cache;
mod flights;
mod reading;
mod rows;
mod sync;

pub use self::reading::Reading;
pub use self::rows::RowMemory;

#[cfg(test)]
mod interleavings;
