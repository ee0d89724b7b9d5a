//! A bcrypt with none beside it.
//!
//! A single lane and the `bcrypt` crate compute the same. Which is quicker depends on the processor, by up to 7 %, so the first
//! verification in a process measures both.

use std::sync::OnceLock;
use std::time::Duration;

use zeroize::Zeroizing;

use super::lanes;
use crate::clock::{Clock, SystemClock};

/// Computes the 23 bytes that a digest keeps.
type Way = fn(u32, &[u8], [u8; 16]) -> [u8; 23];

const WAYS: [Way; 2] = [in_a_lane, by_the_crate];

/// Cost 4, seven times: ten milliseconds for both.
const MEASURED_COST: u32 = 4;
const ROUNDS: usize = 7;

/// Computes the 23 bytes that a digest keeps, the quicker way. The caller bounds the cost.
pub(super) fn bcrypt(cost: u32, secret: &[u8], salt: [u8; 16]) -> [u8; 23] {
    static QUICKER: OnceLock<Way> = OnceLock::new();
    QUICKER.get_or_init(|| quicker(WAYS, time))(cost, secret, salt)
}

fn in_a_lane(cost: u32, secret: &[u8], salt: [u8; 16]) -> [u8; 23] {
    let [output] = lanes::bcrypt(cost, [secret], [salt]);
    output
}

/// The crate takes what bcrypt reads: the secret and a NUL, cut at 72 bytes.
fn by_the_crate(cost: u32, secret: &[u8], salt: [u8; 16]) -> [u8; 23] {
    let read: Zeroizing<Vec<u8>> = Zeroizing::new(secret.iter().copied().chain([0]).take(72).collect());
    let output = bcrypt::bcrypt(cost, salt, &read);
    std::array::from_fn(|at| output[at])
}

/// The way whose best round is the shortest, turn by turn: whatever else the machine does meets both.
fn quicker<W: Copy>([one, other]: [W; 2], mut time: impl FnMut(W) -> Duration) -> W {
    let (mut best_one, mut best_other) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        best_one = best_one.min(time(one));
        best_other = best_other.min(time(other));
    }
    if best_other < best_one { other } else { one }
}

fn time(way: Way) -> Duration {
    let begun = SystemClock.instant();
    std::hint::black_box(way(MEASURED_COST, b"the length of a secret is nothing to the time", [7; 16]));
    SystemClock.instant().saturating_duration_since(begun)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn both_ways_compute_the_same(secret in vec(any::<u8>(), 0..=80), salt in any::<[u8; 16]>()) {
            let [lane, crates] = WAYS.map(|way| way(4, &secret, salt));
            prop_assert_eq!(lane, crates);
            prop_assert_eq!(bcrypt(4, &secret, salt), lane);
        }
    }

    #[test]
    fn the_quicker_way_is_taken_by_its_best_round() {
        let best = |times: [[u64; ROUNDS]; 2]| {
            let mut turn = [0, 0];
            quicker([0, 1], |way: usize| {
                turn[way] += 1;
                Duration::from_micros(times[way][turn[way] - 1])
            })
        };
        assert_eq!(best([[5, 9, 9, 9, 9, 9, 9], [6; ROUNDS]]), 0);
        assert_eq!(best([[5; ROUNDS], [9, 9, 9, 9, 9, 9, 4]]), 1);
        assert_eq!(best([[5; ROUNDS], [5; ROUNDS]]), 0, "a lane wipes what it used");
    }
}
