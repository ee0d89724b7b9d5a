//! An id as one segment of a path, and back.
//!
//! Bytes of `A-Z a-z 0-9 . _ -` stand for themselves; every other byte of the UTF-8 text is a `~` and two lower-case hexadecimal
//! digits. The dots of `.` and `..` are escaped too. So the result is ASCII, no two ids share one, and nothing in it means
//! anything to a URL, to a policy or to Vault, which reads `%2F` as a slash.

use std::borrow::Cow;

use crate::credential::CredentialKey;

const ESCAPE: char = '~';

/// The segment of an id. An id of the plain bytes is its own.
pub(crate) fn escape(id: &str) -> Cow<'_, str> {
    let is_relative = matches!(id, "." | "..");
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || byte == b'.' && !is_relative;
    if id.bytes().all(is_plain) {
        return Cow::Borrowed(id);
    }
    let mut segment = String::with_capacity(id.len() + 16);
    for byte in id.bytes() {
        if is_plain(byte) {
            segment.push(char::from(byte));
        } else {
            segment.push(ESCAPE);
            segment.push_str(&hex::encode([byte]));
        }
    }
    Cow::Owned(segment)
}

/// The id of a segment. `None` for a text that [`escape`] never makes.
pub(crate) fn unescape(segment: &str) -> Option<Cow<'_, str>> {
    let mut parts = segment.split(ESCAPE);
    let plain = parts.next()?;
    let mut id = Vec::from(plain);
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        id.extend(hex::decode(digits).ok()?);
        id.extend(rest.as_bytes());
    }
    let id = String::from_utf8(id).ok()?;
    // One form for each id: no escape where none is needed, no upper-case digits, no byte that has to be escaped.
    (escape(&id) == segment).then_some(Cow::Owned(id))
}

/// A key as two segments. Its `Display` is for people: with a slash in an id, two keys may share it.
pub(crate) fn path_of(key: &CredentialKey) -> String {
    format!("{}/{}", escape(key.client_id().as_str()), escape(key.credential_id().as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_become_the_documented_segments() {
        for (id, segment) in [
            ("0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            ("A-Z_0.9", "A-Z_0.9"),
            ("...", "..."),
            (".", "~2e"),
            ("..", "~2e~2e"),
            ("https://idp.example/a", "https~3a~2f~2fidp.example~2fa"),
            ("user@example.com", "user~40example.com"),
            ("a~2fb", "a~7e2fb"),
            ("a%2fb", "a~252fb"),
            ("ä", "~c3~a4"),
        ] {
            assert_eq!(escape(id), segment);
            assert_eq!(unescape(segment).unwrap(), id);
        }
    }

    #[test]
    fn a_segment_has_one_form() {
        for segment in ["a b", "a/b", "..", "~41", "~2F", "~2", "~", "~zz", "~c3", "ä", "a%2fb", "~2e.", "~ä", "~+1"]
        {
            assert_eq!(unescape(segment), None, "{segment}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_found_again_from_its_segment(id in "([a-c./~%]|\\PC){1,40}") {
            let segment = escape(&id).into_owned();
            prop_assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte)), "{}", segment);
            prop_assert!(!matches!(segment.as_str(), "" | "." | ".."));
            prop_assert_eq!(unescape(&segment).unwrap(), id);
        }

        #[test]
        fn a_segment_stands_for_one_id(segment in "([a-c.]|~[0-9a-c][0-9a-f]|~|\\PC){1,12}") {
            if let Some(id) = unescape(&segment) {
                prop_assert_eq!(escape(&id), segment.as_str());
            }
        }
    }
}
