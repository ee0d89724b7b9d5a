//! Which version to write over, so that none is evicted that counts.
//!
//! A backend keeps so many versions of a place, counted from the latest one, committed or not. Versions on top of the one that the
//! row pins are left by writes whose commit never came, or by hand.

/// What lies at a place whose row pins a version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The version that the row pins.
    pub(super) base: u64,
    /// The oldest version that the row vouches for: the previous secret's within an overlap, else the base.
    pub(super) oldest: u64,
    /// The latest version; 0 where there is nothing.
    pub(super) latest: u64,
    /// Whether the latest version is a secret that was generated for this base and never shown.
    pub(super) is_noted: bool,
    /// Whether it is certain that neither the ledger nor the backend was restored: else what lies on top may have been committed in
    /// another life.
    pub(super) may_adopt: bool,
    /// Whether no other database vouches for any version. Where one may, none is evicted, and room for one more is left to it.
    pub(super) may_push_out: bool,
    /// Whether the pinned version can still be read.
    pub(super) has_base: bool,
    /// Whether the version before the pinned one is still there; nothing where there never was one.
    pub(super) has_older: Option<bool>,
    /// How many versions the backend keeps, as far as it says so.
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
    /// A repair would evict the pinned version, while it is not certain whether what lies on top counts; or another version would evict
    /// one that another database may vouch for. That is for the operator.
    Wait,
    /// One more version would evict one that counts.
    Refuse,
}

impl Window {
    pub(super) fn next(&self) -> Next {
        if !self.may_push_out && self.latest + 1 >= self.kept() {
            return Next::Wait;
        }
        if self.is_noted && self.may_adopt && self.latest == self.base + 1 {
            return Next::Adopt;
        }
        if self.oldest < self.base && self.evicts(self.oldest) {
            return Next::Refuse;
        }
        if self.latest <= self.base || !self.has_base {
            let evicts_at_once = self.latest == self.base && self.evicts(self.base);
            return if evicts_at_once && self.has_base { Next::Refuse } else { Next::Write };
        }
        // Versions from the pinned one to the one that is about to be written, and one more: so a repair always fits.
        let needed = self.latest - self.base + 3;
        if needed <= self.kept() {
            Next::Write
        } else if self.evicts_base() && !self.may_adopt {
            Next::Wait
        } else {
            Next::Repair
        }
    }

    /// Whether one more write evicts the pinned version.
    pub(super) fn evicts_base(&self) -> bool {
        self.evicts(self.base)
    }

    /// Whether one more write evicts this version.
    pub(super) fn evicts(&self, version: u64) -> bool {
        (self.latest + 2).saturating_sub(version) > self.kept()
    }

    /// The place shows when the backend keeps fewer than it says: the version before the pinned one is gone.
    fn kept(&self) -> u64 {
        match self.has_older {
            Some(false) => self.kept.min((self.latest + 1).saturating_sub(self.base)),
            _ => self.kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Window = Window {
        base: 4,
        oldest: 4,
        latest: 4,
        is_noted: false,
        may_adopt: true,
        may_push_out: true,
        has_base: true,
        has_older: Some(true),
        kept: 10,
    };

    #[test]
    fn nothing_on_top_is_written_over() {
        assert_eq!(PLACE.next(), Next::Write);
        assert_eq!(Window { latest: 0, ..PLACE }.next(), Next::Write, "deleted by hand");
        assert_eq!(Window { latest: 2, ..PLACE }.next(), Next::Write, "restored from an older moment");
    }

    #[test]
    fn only_a_noted_secret_right_on_top_is_adopted() {
        assert_eq!(Window { latest: 5, is_noted: true, ..PLACE }.next(), Next::Adopt);
        assert_eq!(Window { latest: 5, ..PLACE }.next(), Next::Write);
        assert_ne!(Window { latest: 6, is_noted: true, ..PLACE }.next(), Next::Adopt);
    }

    #[test]
    fn in_doubt_nothing_is_adopted_and_nothing_evicted() {
        let noted = Window { latest: 5, is_noted: true, may_adopt: false, ..PLACE };
        assert_eq!(noted.next(), Next::Write);
        assert_eq!(Window { kept: 3, ..noted }.next(), Next::Repair, "the pinned version stays");
        assert_eq!(Window { kept: 2, ..noted }.next(), Next::Wait);
    }

    /// The oldest one may be what the original of a copy vouches for.
    #[test]
    fn where_another_database_may_vouch_for_a_version_none_is_evicted() {
        for latest in 0..30 {
            for base in 1..30 {
                let place = Window { base, oldest: base, latest, may_adopt: false, may_push_out: false, ..PLACE };
                let has_room = latest + 1 < place.kept;
                assert!(has_room || place.next() == Next::Wait, "{place:?}");
                assert!(!has_room || base < latest || place.next() == Next::Write, "{place:?}");
            }
        }
        assert_eq!(Window { is_noted: true, latest: 9, base: 8, may_push_out: false, ..PLACE }.next(), Next::Wait);
        let shows_less = Window { has_older: Some(false), may_push_out: false, ..PLACE };
        assert_eq!(shows_less.next(), Next::Wait);
    }

    #[test]
    fn the_pinned_version_is_never_evicted() {
        for kept in 2..12 {
            for latest in 5..30 {
                let place = Window { latest, kept, ..PLACE };
                // What is kept after one more write.
                let oldest_after = (latest + 1).saturating_sub(kept - 1);
                if place.next() == Next::Write {
                    assert!(oldest_after < place.base, "{place:?}: a repair must still fit");
                }
            }
        }
        assert_eq!(Window { latest: 11, ..PLACE }.next(), Next::Write);
        assert_eq!(Window { latest: 12, ..PLACE }.next(), Next::Repair);
    }

    #[test]
    fn a_place_that_shows_less_is_believed() {
        assert_eq!(Window { latest: 5, has_older: Some(false), ..PLACE }.next(), Next::Repair);
        assert_eq!(Window { latest: 5, has_older: None, base: 1, oldest: 1, ..PLACE }.next(), Next::Write);
    }

    #[test]
    fn what_is_gone_needs_no_room() {
        assert_eq!(Window { latest: 30, has_base: false, has_older: Some(false), ..PLACE }.next(), Next::Write);
    }

    #[test]
    fn within_an_overlap_the_previous_version_stays_too() {
        let overlap = Window { oldest: 3, ..PLACE };
        assert_eq!(overlap.next(), Next::Write);
        assert_eq!(Window { kept: 3, ..overlap }.next(), Next::Write);
        assert_eq!(Window { kept: 2, ..overlap }.next(), Next::Refuse);
        assert_eq!(Window { latest: 12, ..overlap }.next(), Next::Refuse);
        assert_eq!(Window { kept: 1, ..PLACE }.next(), Next::Refuse, "a place that keeps one version");
    }
}
