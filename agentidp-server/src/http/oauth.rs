//! The refusals of OAuth (RFC 6749 §5.2).

use hyper::StatusCode;

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthError {
    /// A parameter is missing or repeated, or the form is malformed.
    InvalidRequest(&'static str),
    /// Another grant than client credentials.
    UnsupportedGrantType,
    /// Not proved to be the client. Why is told to nobody.
    InvalidClient {
        /// Whether Basic was used.
        basic: bool,
    },
    /// The client, but it may not have a token.
    UnauthorizedClient(&'static str),
    /// A scope that does not exist.
    InvalidScope,
    /// A resource that is none, or too many (RFC 8707 §2).
    InvalidTarget,
}

impl OAuthError {
    /// The error code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.parts().1
    }

    /// What is wrong, for the client.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.parts().2
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.parts().0
    }

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest(why) => (StatusCode::BAD_REQUEST, "invalid_request", why),
            Self::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "the grant type must be client_credentials")
            }
            Self::InvalidClient { .. } => (StatusCode::UNAUTHORIZED, "invalid_client", "client authentication failed"),
            Self::UnauthorizedClient(why) => (StatusCode::FORBIDDEN, "unauthorized_client", why),
            Self::InvalidScope => (
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "scope is a space-separated list of agents:read, agents:write, tokens:read, audit:read",
            ),
            Self::InvalidTarget => (
                StatusCode::BAD_REQUEST,
                "invalid_target",
                "resource is an absolute URI without a fragment, of at most 512 bytes, given at most 8 times",
            ),
        }
    }
}
