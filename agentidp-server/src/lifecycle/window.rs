//! Which version to write over, so that none is evicted that counts.
//!
//! Vault keeps so many versions of a place, counted from the latest one, committed or not. Versions on top of the one that the
//! row pins are left by writes whose commit never came, or by hand.

/// What lies at a place whose row pins a version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The version that the row pins.
    pub(super) base: u64,
    /// The latest version; 0 where there is nothing.
    pub(super) latest: u64,
    /// Whether the latest version is a secret that was generated for this base and never shown.
    pub(super) is_noted: bool,
    /// Whether the pinned version can still be read.
    pub(super) has_base: bool,
    /// Whether the version before the pinned one is still there; nothing where there never was one.
    pub(super) has_older: Option<bool>,
    /// How many versions Vault keeps, by the setting.
    pub(super) kept: u64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Commit the latest version as it is.
    Adopt,
    /// Write over the latest version.
    Write,
    /// Write the current secret over the latest version and have the row pin it, before the pinned version is evicted.
    Repair,
}

impl Place {
    pub(super) fn next(&self) -> Next {
        if self.is_noted && self.latest == self.base + 1 {
            return Next::Adopt;
        }
        if self.latest <= self.base || !self.has_base {
            return Next::Write;
        }
        // Versions from the pinned one to the one that is about to be written, and one more: so a repair always fits.
        let needed = self.latest - self.base + 3;
        if needed > self.kept() { Next::Repair } else { Next::Write }
    }

    /// Whether one more write evicts the pinned version.
    pub(super) fn evicts(&self) -> bool {
        self.latest - self.base + 2 > self.kept()
    }

    /// The place shows when Vault keeps fewer than the setting says: the version before the pinned one is gone.
    fn kept(&self) -> u64 {
        match self.has_older {
            Some(false) => self.kept.min(self.latest - self.base + 1),
            _ => self.kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { base: 4, latest: 4, is_noted: false, has_base: true, has_older: Some(true), kept: 10 };

    #[test]
    fn nothing_on_top_is_written_over() {
        assert_eq!(PLACE.next(), Next::Write);
        assert_eq!(Place { latest: 0, ..PLACE }.next(), Next::Write, "deleted by hand");
        assert_eq!(Place { latest: 2, ..PLACE }.next(), Next::Write, "restored from an older moment");
    }

    #[test]
    fn only_a_noted_secret_right_on_top_is_adopted() {
        assert_eq!(Place { latest: 5, is_noted: true, ..PLACE }.next(), Next::Adopt);
        assert_eq!(Place { latest: 5, ..PLACE }.next(), Next::Write);
        assert_ne!(Place { latest: 6, is_noted: true, ..PLACE }.next(), Next::Adopt);
    }

    #[test]
    fn the_pinned_version_is_never_evicted() {
        for kept in 2..12 {
            for latest in 5..30 {
                let place = Place { latest, kept, ..PLACE };
                // What is kept after one more write.
                let oldest_after = (latest + 1).saturating_sub(kept - 1);
                if place.next() == Next::Write {
                    assert!(oldest_after < place.base, "{place:?}: a repair must still fit");
                }
            }
        }
        assert_eq!(Place { latest: 11, ..PLACE }.next(), Next::Write);
        assert_eq!(Place { latest: 12, ..PLACE }.next(), Next::Repair);
    }

    #[test]
    fn a_place_that_shows_less_is_believed() {
        assert_eq!(Place { latest: 5, has_older: Some(false), ..PLACE }.next(), Next::Repair);
        assert_eq!(Place { latest: 5, has_older: None, base: 1, ..PLACE }.next(), Next::Write);
    }

    #[test]
    fn what_is_gone_needs_no_room() {
        assert_eq!(Place { latest: 30, has_base: false, has_older: Some(false), ..PLACE }.next(), Next::Write);
    }
}
