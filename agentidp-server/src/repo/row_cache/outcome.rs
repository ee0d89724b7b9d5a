//! What the metrics count of the row cache.

/// What became of a look into the row cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each outcome")]
pub enum RowCacheOutcome {
    /// It was held.
    Hit,
    /// It was read.
    Miss,
    /// It was read, because nobody would tell if it changed.
    Off,
    /// It was held and did not let the client in, so it was read again before the client was
    /// refused.
    Anew,
}

impl RowCacheOutcome {
    /// As metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Off => "off",
            Self::Anew => "anew",
        }
    }
}
