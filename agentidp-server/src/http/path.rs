//! Paths and the ids in them, taken literally.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The segments of a path as they were written: of `/a/b`, `a` and `b`. `None` for a path whose segments a proxy in front of
/// the server may divide differently: an empty segment, a trailing slash, `.` or `..`, a backslash, and the escapes of a dot,
/// a slash or a backslash. Other escapes stay as they are. So an escaped name of a route is no route, and an escaped id is no
/// UUID.
pub(crate) fn segments(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    segments.iter().all(|segment| is_sound(segment)).then_some(segments)
}

fn is_sound(segment: &str) -> bool {
    let divides = |escape: &[u8]| [&b"%2e"[..], b"%2f", b"%5c"].iter().any(|one| escape.eq_ignore_ascii_case(one));
    !matches!(segment, "" | "." | "..") && !segment.contains('\\') && !segment.as_bytes().windows(3).any(divides)
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
    fn only_paths_that_all_divide_alike_have_segments() {
        assert_eq!(segments("/health").unwrap(), ["health"]);
        assert_eq!(segments("/.well-known/jwks.json").unwrap(), [".well-known", "jwks.json"]);
        for literal in ["a%20b", "a%00", "%61", "%252f", "a;b", "a:b", "a@b.example", "...", "%", "%2", "ä"] {
            assert_eq!(segments(&format!("/{literal}/c")).unwrap(), [literal, "c"]);
        }
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
            "/a%2Eb",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/a\\b",
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
