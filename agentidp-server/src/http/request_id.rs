//! Request ids, by which a client and the log speak of the same request.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header, in requests and answers.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id in bytes that is taken over.
const MAX_LEN: usize = 128;

/// The client's id where it is sane, else a fresh one. What is taken over ends up in the log.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (1..=MAX_LEN).contains(&id.len()) && id.bytes().all(plain)
    };
    let theirs = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
    theirs.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

/// Puts the id on an answer.
pub(crate) fn mark(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_taken_over_and_others_replaced() {
        let id_for = |value: &str| request_id(&HeaderMap::from_iter([(X_REQUEST_ID, value.parse().unwrap())]));
        assert_eq!(id_for("abc-1_2.3"), "abc-1_2.3");
        for refused in ["", "a b", "a\"b", "a{b}", &"a".repeat(129)] {
            assert_ne!(id_for(refused), refused);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
