//! The rows against what a backend holds, and mending what can be mended.
//!
//! What a crash leaves is in the ledger: places that have to be forgotten, and writes whose commit never came. That is carried
//! out first. Then each row is looked up in the backend and, where listing is allowed, each place in the ledger. What differs is
//! a [`Difference`]. It is looked at once more under the lock of its row, so what is under way is none.
//!
//! | found | and what becomes of it |
//! |---|---|
//! | a place whose credential has ended here | it is deleted: its row is the evidence |
//! | a place of an active credential that its row has left | kept in mind, and deleted when the credential ends |
//! | a place without a row | told. It may be another database's: only [`remove_places`](Lifecycle::remove_places) removes it |
//! | a row whose place or version is gone | told: its secret is lost |
//! | a later version than the row pins | told, unless it is known that no client has it |
//!
//! While the [`Gate`](super::Gate) is closed nothing is mended: in a restored database a row, or its lack, is no evidence. After a
//! restore [`settle`](Lifecycle::settle) decides, as the operator says, which of two secrets counts.
//!
//! A comparison may run in several places at once, be cut at any point, and run again: a second time there is nothing left to
//! change.

mod difference;
mod place;
mod remove;
mod row;
mod settle;

use std::sync::{Mutex, PoisonError};

use super::ledger::Ledger;
use super::{Failure, Lifecycle};
use crate::error::Error;
use crate::inventory::Inventory;

pub use self::difference::{Counts, Difference, DifferenceKind};
pub use self::remove::{MOST_PLACES, Removal};
pub use self::settle::Settlement;

/// Rows, and credentials of one client, in memory at a time.
const PAGE: usize = 1000;

/// Whether a comparison changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum Mode {
    /// What can be mended is mended, and what is due is carried out.
    Repair,
    /// Nothing is changed.
    DryRun,
}

/// What a comparison came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// Differences by kind.
    pub found: Counts,
    /// Why places were not compared with rows; none where they were.
    pub unlisted: Option<Error>,
}

/// One comparison.
struct Pass<'a, L> {
    life: &'a Lifecycle<L>,
    inventory: &'a dyn Inventory,
    mode: Mode,
    found: Mutex<Found<'a>>,
}

/// What was found so far, and who hears of it.
struct Found<'a> {
    counts: Counts,
    tell: &'a mut (dyn FnMut(&Difference) + Send),
}

impl<L: Ledger> Lifecycle<L> {
    /// Compares once, and tells each difference as it is found. `inventory` is one of the store's backends; rows and records of
    /// others are left alone.
    ///
    /// # Errors
    /// [`Failure`]: `Backend`, `Ledger`; what was done until then stays. That the backend may not be listed is no error: see
    /// [`Comparison::unlisted`].
    pub async fn compare(
        &self,
        inventory: &dyn Inventory,
        mode: Mode,
        tell: &mut (dyn FnMut(&Difference) + Send),
    ) -> Result<Comparison, Failure<L::Error>> {
        if mode == Mode::Repair {
            // What fails is put off, so this ends.
            while self.may_delete(&inventory.info().id) && self.round().await.forgotten > 0 {}
        }
        let pass = Pass::new(self, inventory, mode, tell);
        pass.compare_rows().await?;
        let unlisted = pass.compare_places().await?;
        let found = pass.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Comparison { found: found.counts, unlisted })
    }
}

impl<'a, L> Pass<'a, L> {
    fn new(
        life: &'a Lifecycle<L>,
        inventory: &'a dyn Inventory,
        mode: Mode,
        tell: &'a mut (dyn FnMut(&Difference) + Send),
    ) -> Self {
        Self { life, inventory, mode, found: Mutex::new(Found { counts: Counts::default(), tell }) }
    }

    fn found(&self, difference: &Difference) {
        let difference = Difference { backend: Some(self.inventory.info().id.clone()), ..difference.clone() };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.counts.add(difference.kind);
        (found.tell)(&difference);
    }
}

#[cfg(test)]
mod tests;
