//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header).

use std::borrow::Cow;

use hyper::header::HeaderMap;

use crate::error::{ApiError, ApiResult};

const NAME: &str = "Idempotency-Key";

/// Longest key in characters: what large APIs take. A UUID has 36.
const LONGEST: usize = 255;

/// The key of a request, if it has one: a string in quotes, as the draft has it, or the same without quotes, as most clients
/// send it. Both are the same key.
///
/// # Errors
/// `Validation` when there is more than one, or it is empty, too long, or has other characters than visible ASCII ones (in
/// quotes also spaces).
pub(crate) fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = match (value.to_str(), values.next()) {
        (Ok(text), None) => read(text.trim_matches(' ')),
        _ => None,
    };
    match key {
        Some(key) if (1..=LONGEST).contains(&key.len()) => Ok(Some(key.into_owned())),
        _ => Err(ApiError::field(NAME, "must be one string of 1 to 255 visible ASCII characters, such as a UUID")),
    }
}

fn read(text: &str) -> Option<Cow<'_, str>> {
    match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted.strip_suffix('"')?).map(Cow::Owned),
        None => text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"').then_some(Cow::Borrowed(text)),
    }
}

/// What is between the quotes of a string (RFC 9651 §3.3.3): a backslash stands before a quote or a backslash, and nowhere
/// else.
fn unquote(quoted: &str) -> Option<String> {
    let (mut key, mut characters) = (String::new(), quoted.chars());
    while let Some(character) = characters.next() {
        key.push(match character {
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            '"' => return None,
            ' '..='~' => character,
            _ => return None,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("idempotency-key", hyper::header::HeaderValue::from_bytes(value).unwrap());
        }
        idempotency_key(&headers).map_err(|error| assert_eq!(error.code(), "VALIDATION_ERROR"))
    }

    #[test]
    fn with_and_without_quotes_it_is_the_same_key() {
        assert_eq!(key(&[]), Ok(None));
        for (text, read) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("\"8e03978e\"", "8e03978e"),
            (" a ", "a"),
            ("\"a b\"", "a b"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r"a\b", r"a\b"),
            ("!~", "!~"),
        ] {
            assert_eq!(key(&[text.as_bytes()]), Ok(Some(read.to_owned())), "{text}");
        }
        let longest = "k".repeat(255);
        assert_eq!(key(&[longest.as_bytes()]), Ok(Some(longest.clone())));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let too_long = "k".repeat(256);
        for wrong in
            ["", " ", "\"\"", "\"", "\"a", "a\"", "a\"b", "\"a\"b\"", r#""a\b""#, r#""a\""#, "a b", "a\tb", &too_long]
        {
            assert_eq!(key(&[wrong.as_bytes()]), Err(()), "{wrong:?}");
        }
        assert_eq!(key(&["a\u{e4}".as_bytes()]), Err(()));
        assert_eq!(key(&[b"a", b"a"]), Err(()));
    }
}
