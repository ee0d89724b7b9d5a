//! What it fails with.

use std::fmt;

/// What a [`MemoryLedger`](super::MemoryLedger) fails with: never by itself, and by what a change refuses with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryError(Box<str>);

impl MemoryError {
    /// A refusal of a [`Change`](crate::lifecycle::Change).
    #[must_use]
    pub fn new(why: &str) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MemoryError {}
