//! What a sequence can come to instead of success.

use std::error::Error as StdError;
use std::fmt;
use std::time::SystemTime;

use crate::error::Error;

/// Why a sequence did not succeed. But for `Unknown` and `Cut` nothing has changed: the old secret works, and nothing was shown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Failure<E> {
    /// There is no such credential.
    NotFound,
    /// The credential has ended.
    Ended,
    /// There is a row of this key already, or there was: choose a fresh credential id.
    Exists,
    /// There is no previous secret that counts.
    NoPrevious,
    /// The previous secret was used not long ago, at this time: whoever uses it would be refused.
    PreviousInUse(SystemTime),
    /// Another change of the same credential takes long. Try again.
    Busy,
    /// A backend failed.
    Backend(Error),
    /// The database failed, or the caller's [`Change`](super::Change) refused.
    Ledger(E),
    /// The database was lost at the commit, and cannot be asked whether it was carried out. The row will tell. No secret was
    /// shown: where the commit was carried out, rotate once more.
    Unknown(E),
    /// The sequence came to no end: its task panicked, perhaps in the caller's [`Change`](super::Change) or
    /// [`acknowledge`](super::Ledger::acknowledge), or the spawner dropped it. As with `Unknown` the row will tell whether the change was
    /// committed, and no secret was shown. A change that was committed may not be obeyed by every replica yet.
    Cut,
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Backend(error)
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such credential"),
            Self::Ended => f.write_str("the credential has ended"),
            Self::Exists => f.write_str("the credential id was used before; choose a fresh one for each credential"),
            Self::NoPrevious => f.write_str("the credential has no previous secret that counts"),
            Self::PreviousInUse(_) => {
                f.write_str("the previous secret was used not long ago: its user would be refused")
            }
            Self::Busy => f.write_str("another change of the same credential is under way; try again"),
            Self::Backend(error) => error.fmt(f),
            Self::Ledger(error) => error.fmt(f),
            Self::Unknown(error) => write!(f, "nobody knows whether the change was committed: {error}"),
            Self::Cut => f.write_str(
                "the sequence came to no end, since its task panicked or was dropped: nobody knows whether the change was committed",
            ),
        }
    }
}

impl<E: StdError + 'static> StdError for Failure<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Backend(error) => error.source(),
            Self::Ledger(error) => error.source(),
            Self::Unknown(error) => Some(error),
            _ => None,
        }
    }
}
