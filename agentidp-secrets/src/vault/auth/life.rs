//! How long a token lives, and when to do something about it.

use std::time::{Duration, Instant};

use super::grant::Lease;

/// What is known of a token's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Not asked about yet.
    Unknown,
    /// It may not be asked about.
    Mute,
    /// It never ends.
    Endless,
    /// It ends unless somebody does something.
    Ends(Term),
}

/// A life that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) end: Instant,
    /// The whole of it, as it was last granted.
    pub(super) full: Duration,
    pub(super) renewable: bool,
    /// Whether every renewal grants the whole again.
    pub(super) periodic: bool,
}

/// How long the token in use lives, by what was last heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenLife {
    /// What is left of it.
    pub left: Duration,
    /// The whole of it, as it was last granted.
    pub full: Duration,
    /// Whether a renewal can lengthen it.
    pub renewable: bool,
}

impl TokenLife {
    /// Whether less than a third is left. Until then the token was to be renewed or replaced, so either that keeps failing
    /// or nobody can do it: the token dies unless somebody acts.
    #[must_use]
    pub fn is_in_danger(&self) -> bool {
        self.left < self.full / 3
    }
}

impl Life {
    pub(super) fn granted(lease: Lease, now: Instant) -> Self {
        match Duration::from_secs(lease.seconds) {
            Duration::ZERO => Self::Endless,
            full => Self::Ends(Term { end: now + full, full, renewable: lease.renewable, periodic: false }),
        }
    }

    pub(super) fn told(&self, now: Instant) -> Option<TokenLife> {
        match self {
            Self::Ends(Term { end, full, renewable, .. }) => {
                Some(TokenLife { left: end.saturating_duration_since(now), full: *full, renewable: *renewable })
            }
            _ => None,
        }
    }
}

impl Term {
    /// When it is to be renewed: between 18 and 19 thirtieths of it, so that many replicas that started together do not
    /// come together. That is a thirtieth before danger begins, within which one that fails can be tried again.
    /// `jitter` is from 0 to 255.
    pub(super) fn due(&self, jitter: u8) -> Instant {
        let early = self.full / 30 * 11 + self.full / 30 * u32::from(jitter) / 255;
        // What is left may be less than that from the start.
        self.end.checked_sub(early).unwrap_or(self.end)
    }

    /// The life after a renewal that was sent at `now`.
    ///
    /// One that grants less than the one before has met the longest life that the token may have: no further one gets it
    /// any further.
    pub(super) fn renewed(self, lease: Lease, now: Instant) -> Life {
        let granted = Duration::from_secs(lease.seconds);
        let cut = !self.periodic && granted + Duration::from_secs(1) < self.full;
        let full = if cut { self.full } else { granted };
        match granted {
            Duration::ZERO => Life::Endless,
            _ => Life::Ends(Self { end: now + granted, full, renewable: lease.renewable && !cut, ..self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    fn lease(seconds: u64) -> Lease {
        Lease { seconds, renewable: true }
    }

    fn term(seconds: u64, now: Instant) -> Term {
        match Life::granted(lease(seconds), now) {
            Life::Ends(term) => term,
            life => panic!("{life:?}"),
        }
    }

    #[test]
    fn a_renewal_is_due_shortly_before_two_thirds() {
        let now = SystemClock.instant();
        let term = term(900, now);
        assert_eq!(term.due(0), now + Duration::from_secs(570));
        assert_eq!(term.due(255), now + Duration::from_secs(540));
    }

    #[test]
    fn danger_begins_after_the_time_at_which_it_was_to_be_renewed() {
        let now = SystemClock.instant();
        let told = |after: u64| Life::granted(lease(900), now).told(now + Duration::from_secs(after)).unwrap();
        assert!(!told(600).is_in_danger() && told(601).is_in_danger());
        assert_eq!(told(1000).left, Duration::ZERO);
        assert_eq!(Life::granted(lease(0), now), Life::Endless);
    }

    #[test]
    fn a_renewal_that_grants_less_is_the_last_one() {
        let now = SystemClock.instant();
        let whole = term(900, now).renewed(lease(900), now);
        assert!(matches!(whole, Life::Ends(Term { renewable: true, .. })));
        let cut = term(900, now).renewed(lease(500), now);
        let expected = Term { end: now + Duration::from_secs(500), renewable: false, ..term(900, now) };
        assert_eq!(cut, Life::Ends(expected), "danger is told by the whole life");
        let periodic = Term { periodic: true, ..term(900, now) }.renewed(lease(500), now);
        assert!(matches!(periodic, Life::Ends(Term { renewable: true, full, .. }) if full == Duration::from_secs(500)));
    }
}
