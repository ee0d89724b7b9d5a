//! What a read is for.

/// Why rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each")]
pub enum Reading {
    /// They are not in memory, or the latest are asked for.
    Missing,
    /// No notification would tell if they changed.
    Unheard,
    /// Those in memory did not let the client in.
    Anew,
}
