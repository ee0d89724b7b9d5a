//! The refusals of `POST /token` (RFC 6749 §5.2).

use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use serde_json::json;

use super::respond::{self, Response};

/// Why no token is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OAuthError {
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
}

impl OAuthError {
    /// The error code.
    pub(crate) fn code(self) -> &'static str {
        self.parts().1
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response {
        let (status, code, description) = self.parts();
        let mut response = respond::json(status, &json!({ "error": code, "error_description": description }));
        if self == (Self::InvalidClient { basic: true }) {
            let challenge = HeaderValue::from_static("Basic realm=\"agentidp\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
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
        }
    }
}
