//! Paths and the ids in them, taken literally.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The segments of a path: of `/a/b`, `a` and `b`. `None` for a path that is written in any other than the plain way
/// (an empty segment, a trailing slash, `.` or `..`, a percent sign, a backslash), so that nothing in front of the
/// server or behind it can read it differently. No route of ours needs an escape.
pub(crate) fn segments(path: &str) -> Option<Vec<&str>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let sound = |segment: &&str| !matches!(*segment, "" | "." | "..") && segment.bytes().all(plain);
    segments.iter().all(sound).then_some(segments)
}

/// Reads a UUID in its hyphenated form, in either case. The crate would also take braces, URNs and bare digits.
pub(crate) fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == Hyphenated::LENGTH).then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_paths_have_segments() {
        assert_eq!(segments("/health").unwrap(), ["health"]);
        assert_eq!(segments("/.well-known/jwks.json").unwrap(), [".well-known", "jwks.json"]);
        for trick in [
            "",
            "*",
            "/",
            "//",
            "health",
            "/health/",
            "//health",
            "/a//b",
            "/a/../b",
            "/./a",
            "/a/%2e%2e/b",
            "/a%00",
            "/a%2fb",
            "/a\\b",
            "/a;b",
            "/a:b",
            "/ä",
            "/a b",
        ] {
            assert_eq!(segments(trick), None, "{trick:?}");
        }
    }

    #[test]
    fn only_hyphenated_uuids_are_read() {
        let id = "67E55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(uuid(id).unwrap().to_string(), id.to_lowercase());
        let bare = id.replace('-', "");
        for refused in
            ["", "1", &bare, &format!("{{{id}}}"), &format!("urn:uuid:{id}"), &format!("{id} "), &"a".repeat(36)]
        {
            assert_eq!(uuid(refused), None, "{refused}");
        }
    }

    proptest! {
        #[test]
        fn segments_are_what_was_written(path in "\\PC{0,80}") {
            if let Some(segments) = segments(&path) {
                prop_assert_eq!(format!("/{}", segments.join("/")), path);
            }
        }
    }
}
