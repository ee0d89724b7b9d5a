//! What a refusal says beside its code.

/// Why the secret of a request that was carried out is not shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotShownAgain {
    /// It was used, and only a digest of it is kept.
    Used,
    /// Another rotation has replaced it.
    Changed,
    /// The credential is revoked, or gone.
    Revoked,
}

impl NotShownAgain {
    /// One word for programs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Changed => "changed",
            Self::Revoked => "revoked",
        }
    }

    /// What is so, and what to do.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Used => {
                "its secret has been used since, so it is not replaced: go on using it, or rotate the credential with a new key"
            }
            Self::Changed => {
                "its secret has been replaced since: use the newer one, or rotate the credential with a new key"
            }
            Self::Revoked => "its credential has been revoked since: create another one with a new key",
        }
    }
}

/// What a 401 says about the token (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Challenge {
    /// There was none.
    Missing,
    /// There was one, and it is malformed, not ours, over, revoked, or its agent is no longer active. Which of these
    /// is not told.
    Invalid,
}

impl Challenge {
    /// The value of `WWW-Authenticate`.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::Missing => "Bearer realm=\"agentidp\"",
            Self::Invalid => "Bearer realm=\"agentidp\", error=\"invalid_token\"",
        }
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Missing => "a bearer token is needed",
            Self::Invalid => "the bearer token is not accepted",
        }
    }
}
