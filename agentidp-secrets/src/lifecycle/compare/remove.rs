//! Removing places without a row, as somebody asks for it who knows whose they are.

use super::place::Standing;
use super::{Difference, DifferenceKind, Mode, Pass};
use crate::error::Error;
use crate::inventory::Inventory;
use crate::lifecycle::ledger::Ledger;
use crate::lifecycle::note::DebtKind;
use crate::lifecycle::{Failure, Lifecycle};

/// How many places one call removes at most: more than that is another deployment rather than leftovers.
pub const MOST_PLACES: usize = 100;

/// What became of the places without a row.
#[derive(Debug)]
#[non_exhaustive]
pub enum Removal {
    /// So many were removed. The rest got a row meanwhile, or the gate was closed.
    Removed(usize),
    /// There are so many, and others were expected, or more than [`MOST_PLACES`]: none was removed.
    Refused(usize),
    /// The backend may not be listed.
    Unlisted(Error),
}

impl<L: Ledger> Lifecycle<L> {
    /// Removes the places that no row of this ledger vouches for, if there are exactly `how_many` of them and no more than
    /// [`MOST_PLACES`]. They are looked for again, and each is looked at once more under its lock.
    ///
    /// They may be another database's, whose secrets are then lost: ask whoever runs it before.
    ///
    /// # Errors
    /// [`Failure`]: `Backend`, `Ledger`; what was removed until then stays removed.
    pub async fn remove_places(
        &self,
        inventory: &dyn Inventory,
        how_many: usize,
    ) -> Result<Removal, Failure<L::Error>> {
        let mut keys = Vec::new();
        let mut tell = |found: &Difference| {
            let is_nobodys = found.kind == DifferenceKind::PathWithoutRow;
            keys.extend(found.key().filter(|_| is_nobodys));
        };
        let pass = Pass::new(self, inventory, Mode::DryRun, &mut tell);
        if let Some(error) = pass.compare_places().await? {
            return Ok(Removal::Unlisted(error));
        }
        if keys.len() != how_many || how_many > MOST_PLACES {
            return Ok(Removal::Refused(keys.len()));
        }
        let mut removed = 0;
        for key in &keys {
            let Some(place) = inventory.place(key) else { continue };
            if !self.may_delete(place.backend()) {
                break;
            }
            let is_owed = self.edit(key, |state, note, now| {
                let is_nobodys = matches!(self.standing(state, note, &place, now), Standing::Unknown);
                if is_nobodys {
                    note.owe(place.clone(), DebtKind::Delete, now);
                }
                is_nobodys
            });
            if is_owed.await? {
                self.purge_now(key).await;
                removed += 1;
            }
        }
        Ok(Removal::Removed(removed))
    }
}
