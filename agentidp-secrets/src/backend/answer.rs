//! What a backend answers.

use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Where a record points.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "backends make it")]
pub struct Pointer {
    /// The place, as [`SecretBackend::place`](crate::SecretBackend::place) names it.
    pub place: StoredSecret,
    /// The version that is meant there, 1 or more; none for whichever is the latest.
    pub version: Option<u64>,
}

/// What a backend holds at the place of a key.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle both")]
pub enum Held {
    /// Nothing, or not that version.
    Nothing,
    /// A version.
    Version {
        /// Its number, 1 or more.
        version: u64,
        /// The record that names it.
        stored: StoredSecret,
        /// The secret; none where it was deleted, or something else was written.
        secret: Option<ClientSecret>,
    },
}

impl Held {
    /// The number of the version; 0 for nothing.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Version { version, .. } => *version,
        }
    }

    /// The secret, where there is one.
    #[must_use]
    pub fn secret(&self) -> Option<&ClientSecret> {
        match self {
            Self::Nothing => None,
            Self::Version { secret, .. } => secret.as_ref(),
        }
    }
}

/// A decision on a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "ignoring a verdict accepts every secret"]
pub enum Verdict {
    /// The candidate is the secret.
    Match,
    /// The candidate is the secret, and the record was made with other parameters than today's: worth an upgrade.
    MatchOutdated,
    /// The candidate is the secret as far as is known: it was proved before, and the backend, which would know whether
    /// the secret is still there, cannot be asked. Only a layer that was told to says this.
    MatchStale,
    /// The candidate is not the secret.
    Mismatch,
}

impl Verdict {
    /// Whether the candidate is the secret.
    #[must_use]
    pub fn is_match(self) -> bool {
        matches!(self, Self::Match | Self::MatchOutdated | Self::MatchStale)
    }
}
