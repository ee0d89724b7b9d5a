//! What a lifecycle with a flaw does otherwise.

use std::time::SystemTime;

use super::Lifecycle;
use super::flaw::Flaw;
use super::note::Note;
use super::rows::{Revision, Row};
use crate::record::StoredSecret;

impl<L> Lifecycle<L> {
    /// The revision of a row that is written.
    pub(super) fn revision_after(&self, before: &Row, after: &Row, attempt: Revision) -> Option<Revision> {
        let current = |row: &Row| row.secrets.as_ref().map(|secrets| secrets.current.clone());
        let is_same = current(before) == current(after);
        if self.has(Flaw::ComparesCurrentRecords) && is_same { before.revision } else { Some(attempt) }
    }

    /// Whether a deletion at the place may be under way, as far as its claim says.
    pub(super) fn awaits_deletion(&self, note: &Note, place: &StoredSecret, now: SystemTime) -> bool {
        note.debts.iter().any(|debt| debt.place == *place && debt.claimed_until.is_some_and(|until| until > now))
    }

    #[cfg(feature = "testkit")]
    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.0.flaw == Some(flaw)
    }

    #[cfg(not(feature = "testkit"))]
    #[expect(clippy::unused_self, reason = "with feature `testkit` it is")]
    pub(super) fn has(&self, _flaw: Flaw) -> bool {
        false
    }
}
