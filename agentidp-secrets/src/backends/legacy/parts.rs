//! A digest that was read from a row, and what it may ask for.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::backend::Verdict;
use crate::error::{Error, ErrorKind, Result};

/// What a stored digest may ask for.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) pbkdf2_rounds: u32,
    pub(super) scrypt_memory_kib: u32,
    pub(super) bcrypt_cost: u32,
}

/// Salt and output.
pub(super) struct Salted {
    pub(super) salt: Vec<u8>,
    pub(super) output: Vec<u8>,
}

impl Salted {
    /// Outputs that are compared, in bytes. Each longer one costs PBKDF2 another run of all its rounds.
    const OUTPUT: std::ops::RangeInclusive<usize> = 16..=128;

    pub(super) fn new(salt: Vec<u8>, output: Vec<u8>) -> Option<Self> {
        Self::OUTPUT.contains(&output.len()).then_some(Self { salt, output })
    }

    /// Computes the output again and compares. Takes the same time wherever they differ.
    pub(super) fn verdict(&self, compute: impl FnOnce(&mut [u8])) -> Verdict {
        let mut output = zeroize::Zeroizing::new(vec![0; self.output.len()]);
        compute(&mut output);
        if output.ct_eq(&self.output).into() { Verdict::Match } else { Verdict::Mismatch }
    }
}

/// Shows neither salt nor output.
impl fmt::Debug for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salted").finish_non_exhaustive()
    }
}

pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Malformed, "the digest of other software is damaged; rotate the credential")
}

/// Refuses a digest that asks for more than `most`.
pub(super) fn within(what: &str, asked: u64, most: u32, method: &str) -> Result<()> {
    if asked <= u64::from(most) {
        return Ok(());
    }
    let message = format!(
        "the digest asks for {asked} {what}, and {most} is the most that is computed; raise \
         `LegacyKdfBuilder::{method}` or rotate the credential"
    );
    Err(Error::new(ErrorKind::Malformed, message))
}
