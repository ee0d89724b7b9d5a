//! What Vault says about a token.

use std::time::Duration;

use super::answer::Inspected;

/// What Vault says about the token in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStatus {
    /// How long it lives unless it is renewed; `None` if it never ends.
    pub ttl: Option<Duration>,
    /// Whether it can be renewed at all.
    pub renewable: bool,
    /// What each renewal of a periodic token sets the life to. A token without a period dies at its longest life,
    /// renewed or not.
    pub period: Option<Duration>,
    /// The longest life that it was made with, if any: no renewal leads beyond it, periodic or not.
    pub longest: Option<Duration>,
    /// Whether it may do everything. The backend needs far less: see [`VaultKv2::policy`](crate::vault::VaultKv2::policy).
    pub root: bool,
}

impl From<Inspected> for TokenStatus {
    fn from(token: Inspected) -> Self {
        Self {
            ttl: token.expire_time.map(|_| Duration::from_secs(token.ttl)),
            renewable: token.renewable.unwrap_or(false),
            period: token.period.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            longest: token.explicit_max_ttl.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            root: token.policies.iter().any(|policy| policy == "root"),
        }
    }
}
