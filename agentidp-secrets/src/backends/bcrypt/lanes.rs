//! Several bcrypts in lock step.
//!
//! A bcrypt is one chain of dependent table look-ups, so a core that computes one mostly waits for its cache. Two to
//! four independent ones, a step of each in turn, fill those waits: four take little longer than one.
//!
//! The `bcrypt` crate makes all digests, and is what every lane is tested against.

use std::iter::zip;

use zeroize::{Zeroize, Zeroizing};

use super::initial::{INITIAL, WORDS};

/// The most that are computed together. More take longer by as much as they bring: there are no waits left to fill.
pub(super) const MOST: usize = 4;

/// What bcrypt encrypts in the end: "OrpheanBeholderScryDoubt".
const PLAINTEXT: [Block; 3] = [[0x4f72_7068, 0x6561_6e42], [0x6568_6f6c, 0x6465_7253], [0x6372_7944, 0x6f75_6274]];

/// Both halves of a Blowfish block.
type Block = [u32; 2];

/// Key material in the length of the subkeys.
type Key = [u32; 18];

/// Computes the 23 bytes that a digest keeps, for each secret under its salt, at one cost for all.
///
/// bcrypt reads up to 72 bytes of a secret. Its caller bounds the cost.
pub(super) fn bcrypt<const N: usize>(cost: u32, secrets: [&[u8]; N], salts: [[u8; 16]; N]) -> [[u8; 23]; N] {
    let keys = Zeroizing::new(secrets.map(key));
    let salts = salts.map(|salt| cycled(salt.iter().copied().cycle()));
    let mut lanes = Lanes([INITIAL; N]);
    lanes.expand(&keys, Some(&salts));
    for _ in 0..1_u64 << cost {
        lanes.expand(&keys, None);
        lanes.expand(&salts, None);
    }
    let mut ciphertexts = [[[0; 2]; N]; PLAINTEXT.len()];
    for (blocks, plaintext) in zip(&mut ciphertexts, PLAINTEXT) {
        *blocks = [plaintext; N];
        for _ in 0..64 {
            lanes.encrypt(blocks);
        }
    }
    std::array::from_fn(|lane| {
        let mut bytes = ciphertexts.iter().flat_map(|blocks| blocks[lane]).flat_map(u32::to_be_bytes);
        // All but the last of 24: a slip of the first implementation that became the format.
        std::array::from_fn(|_| bytes.next().unwrap_or_default())
    })
}

/// The secret and a NUL, cut at 72 bytes, over and over.
fn key(secret: &[u8]) -> Key {
    cycled(secret.iter().copied().chain([0]).take(72).cycle())
}

fn cycled(mut bytes: impl Iterator<Item = u8>) -> Key {
    std::array::from_fn(|_| u32::from_be_bytes(std::array::from_fn(|_| bytes.next().unwrap_or_default())))
}

/// Blowfish schedules, each the subkeys and then the tables. What they hold follows from the secrets.
struct Lanes<const N: usize>([[u32; WORDS]; N]);

impl<const N: usize> Lanes<N> {
    /// Mixes a key into each schedule, and a salt too where there is one.
    fn expand(&mut self, keys: &[Key; N], salts: Option<&[Key; N]>) {
        for (schedule, key) in zip(&mut self.0, keys) {
            for (subkey, word) in zip(schedule, key) {
                *subkey ^= word;
            }
        }
        let mut blocks = [[0; 2]; N];
        for pair in 0..WORDS / 2 {
            if let Some(salts) = salts {
                for ([left, right], salt) in zip(&mut blocks, salts) {
                    *left ^= salt[2 * (pair % 2)];
                    *right ^= salt[2 * (pair % 2) + 1];
                }
            }
            self.encrypt(&mut blocks);
            for (schedule, [left, right]) in zip(&mut self.0, blocks) {
                schedule[2 * pair] = left;
                schedule[2 * pair + 1] = right;
            }
        }
    }

    /// Encrypts a block in each lane: a half round of every lane, then the next.
    #[inline(always)]
    fn encrypt(&self, blocks: &mut [Block; N]) {
        for round in 0..8 {
            for (schedule, [left, right]) in zip(&self.0, &mut *blocks) {
                *left ^= schedule[2 * round];
                *right ^= substitute(schedule, *left);
            }
            for (schedule, [left, right]) in zip(&self.0, &mut *blocks) {
                *right ^= schedule[2 * round + 1];
                *left ^= substitute(schedule, *right);
            }
        }
        for (schedule, block) in zip(&self.0, blocks) {
            let [left, right] = *block;
            *block = [right ^ schedule[17], left ^ schedule[16]];
        }
    }
}

/// Blowfish's round function: one word of each table, by the four bytes of `half`.
#[inline(always)]
fn substitute(schedule: &[u32; WORDS], half: u32) -> u32 {
    let [a, b, c, d] = half.to_be_bytes().map(usize::from);
    (schedule[18 + a].wrapping_add(schedule[274 + b]) ^ schedule[530 + c]).wrapping_add(schedule[786 + d])
}

impl<const N: usize> Drop for Lanes<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::array::from_fn;

    use bcrypt::{HashParts, Version, hash_with_salt};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::text::ends_in;
    use super::*;

    type Job = (Vec<u8>, [u8; 16]);

    fn in_lanes(cost: u32, jobs: &[Job]) -> Vec<[u8; 23]> {
        fn lock_step<const N: usize>(cost: u32, jobs: &[Job]) -> Vec<[u8; 23]> {
            bcrypt::<N>(cost, from_fn(|lane| jobs[lane].0.as_slice()), from_fn(|lane| jobs[lane].1)).to_vec()
        }
        [lock_step::<1>, lock_step::<2>, lock_step::<3>, lock_step::<MOST>][jobs.len() - 1](cost, jobs)
    }

    #[test]
    fn published_vectors_hold_in_every_lane() {
        // From jBCrypt, and checked with libxcrypt.
        let known = [
            ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
            ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
            ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
            ("abcdefghijklmnopqrstuvwxyz", "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC"),
            ("~!@#$%^&*()      ~!@#$%^&*()PNBFRD", "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO"),
        ];
        for first in 0..known.len() {
            let chosen: Vec<_> = known.iter().cycle().skip(first).take(MOST).collect();
            let salt = |digest: &str| digest.parse::<HashParts>().unwrap().get_salt_raw();
            let jobs: Vec<Job> =
                chosen.iter().map(|(secret, digest)| (secret.as_bytes().to_vec(), salt(digest))).collect();
            for lanes in 1..=MOST {
                for ((_, digest), output) in zip(&chosen, in_lanes(6, &jobs[..lanes])) {
                    assert!(ends_in(digest, &output), "{lanes} lanes: {digest}");
                }
            }
        }
    }

    fn secret() -> impl Strategy<Value = Vec<u8>> {
        // The lengths around which implementations differ, as often as all others.
        let critical = select(vec![0_usize, 1, 55, 56, 57, 71, 72]);
        prop_oneof![0_usize..=72, critical].prop_flat_map(|len| vec(any::<u8>(), len))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_lane_computes_what_the_crate_does(
            cost in 4_u32..=6,
            jobs in vec((secret(), any::<[u8; 16]>()), 1..=MOST),
            version in 0..4,
        ) {
            let version = || match version {
                0 => Version::TwoA,
                1 => Version::TwoB,
                2 => Version::TwoX,
                _ => Version::TwoY,
            };
            for ((secret, salt), output) in zip(&jobs, in_lanes(cost, &jobs)) {
                let digest = hash_with_salt(secret, cost, *salt).unwrap().format_for_version(version());
                prop_assert!(ends_in(&digest, &output), "{digest}");
                let mut flipped = output;
                flipped[22] ^= 1;
                prop_assert!(!ends_in(&digest, &flipped), "the last bit counts");
            }
        }
    }
}
