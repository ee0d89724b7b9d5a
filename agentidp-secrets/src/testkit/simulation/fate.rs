//! What becomes of a request on its way.

use std::time::Duration;

use super::rates;
use super::world::World;

/// What becomes of a request that changes something.
pub(super) enum Fate {
    Sound,
    Denied,
    Lost,
    Unanswered,
    /// Carried out when the caller has given up.
    Late(Duration),
    /// Carried out again after this time; whether the second answer is the one that arrives.
    Twice(Duration, bool),
    /// A standby that has not heard of the path says that there is nothing to delete.
    Unheard,
}

impl World {
    pub(super) fn fate_of_request(&mut self) -> Fate {
        if let Some(small) = &mut self.small {
            return small.lateness().map_or(Fate::Sound, Fate::Late);
        }
        let (rates, chance) = (&self.rates, &mut self.chance);
        if chance.happens(rates.denied) {
            Fate::Denied
        } else if chance.happens(rates.lost) {
            Fate::Lost
        } else if chance.happens(rates.unanswered) {
            Fate::Unanswered
        } else if chance.happens(rates.late) {
            Fate::Late(rates::lateness(chance))
        } else if chance.happens(rates.twice) {
            let is_at_once = chance.happens(500);
            let wait = if is_at_once { Duration::ZERO } else { rates::lateness(chance) };
            Fate::Twice(wait, is_at_once && chance.happens(500))
        } else if chance.happens(rates.standby) {
            Fate::Unheard
        } else {
            Fate::Sound
        }
    }
}
