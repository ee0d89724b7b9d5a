//! Cross-origin requests of the one page origin that is configured.

use hyper::Method;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};

/// CORS for one origin, or none at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cors<'a>(Option<&'a HeaderValue>);

impl<'a> Cors<'a> {
    /// Lets pages of `origin` call.
    pub(crate) fn new(origin: Option<&'a HeaderValue>) -> Self {
        Self(origin)
    }

    /// Whether the request only asks what a page may send.
    pub(crate) fn is_preflight(self, method: &Method, headers: &HeaderMap) -> bool {
        self.0.is_some()
            && method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Answers a preflight for a route that has `methods`.
    pub(crate) fn preflight(self, headers: &mut HeaderMap, methods: &'static str) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, idempotency-key, x-request-id"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }

    /// Lets the page read the answer.
    pub(crate) fn allow(self, headers: &mut HeaderMap) {
        let Some(origin) = self.0 else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "idempotent-replayed, link, retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id",
            ),
        );
    }
}
