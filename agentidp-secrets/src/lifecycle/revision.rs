//! Which write a row is of.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Names one state of a row's secret columns: each write sets a fresh one, and compare-and-set is on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision([u8; 16]);

impl Revision {
    /// Of these bytes, such as those of a UUID.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads the form of `Display`.
    ///
    /// # Errors
    /// `Malformed` when the text is anything but 32 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| Error::new(ErrorKind::Malformed, "a revision is 32 hexadecimal digits"))?;
        Ok(Self(bytes))
    }

    /// A fresh one: 128 bits from the operating system.
    pub(crate) fn fresh() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a revision"))?;
        Ok(Self(bytes))
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}
