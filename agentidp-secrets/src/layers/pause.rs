//! Pauses with a random part, which keeps many processes from coming back at the same instant.

use std::time::Duration;

/// Between half of `full` and all of it, as `random` says; every value of it should be as likely as any other.
pub(super) fn jittered(full: Duration, random: u64) -> Duration {
    let half = full / 2;
    let span = u128::from(u64::try_from(half.as_nanos()).unwrap_or(u64::MAX));
    let part = span * u128::from(random) / u128::from(u64::MAX);
    half.saturating_add(Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX)))
}

/// Without randomness every pause is its shorter half, which is no reason to fail a request.
pub(super) fn system_random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_between_half_and_all() {
        let full = Duration::from_secs(1);
        let table = [(0, full / 2), (u64::MAX / 2, full * 3 / 4 - Duration::from_nanos(1)), (u64::MAX, full)];
        for (random, expected) in table {
            assert_eq!(jittered(full, random), expected);
        }
        assert!(jittered(Duration::MAX, u64::MAX) > Duration::MAX / 2);
    }
}
