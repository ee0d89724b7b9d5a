//! What a source of tokens gives.

use http::HeaderValue;

/// A token from a source, with what the source says about its life.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) token: HeaderValue,
    /// None: to be asked about.
    pub(crate) lease: Option<Lease>,
}

/// A life as a login or a renewal grants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// In seconds; 0 is a token that never ends.
    pub(crate) seconds: u64,
    pub(crate) renewable: bool,
}
