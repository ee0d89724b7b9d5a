//! Replicas that keep rows in memory, and obey a change before it is acknowledged.
//!
//! [`PgLedger`](crate::PgLedger) uses it for its own tables. It is public for a ledger over tables of your own.
//!
//! | who | does what, in this order |
//! |---|---|
//! | replica | listens, puts itself on the list (`agentidp_replicas`), forgets all rows; only then it serves rows |
//! | replica, every 250 ms | asks the database for a sign of life; what it is told meanwhile it forgets, then rows may be served for [`LEASE`] from when it asked |
//! | writer | commits, then reads the list and asks all that are on it, in one statement |
//! | replica | answers each question after it has forgotten what was told before it |
//! | writer | returns when all have answered; or [`LEASE`] and [`MARGIN`] after it asked, and takes those off the list that were silent |
//! | replica | when it finds itself taken off, it forgets all rows and begins anew |
//!
//! PostgreSQL tells of commits in their order. So the answer to a question that was asked after a commit says that the change
//! was heard of, and no older answer is taken for it. A replica that puts itself on the list after it was read has begun to read
//! after the commit.
//!
//! One that is taken off stays on the list, marked, for [`LEASE`] and [`MARGIN`]: it may serve rows until its lease is over, and
//! other writers have to wait for it as well.
//!
//! A writer waits for [`LEASE`] and [`MARGIN`] whatever is answered where it listens to nobody, where the list cannot be read, and
//! beside replicas of a release that answers no questions.

mod lease;
mod list;
mod listener;
mod questions;
mod replica;
mod wait;

pub use self::lease::{LEASE, LeaseClock, MARGIN, Memory};
pub use self::list::Tables;
pub use self::replica::Replicas;
pub use self::wait::Obeyed;
#[cfg(test)]
pub(crate) use self::wait::{Next, Wait};
