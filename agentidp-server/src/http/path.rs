//! Paths, taken literally.

/// The segments of a path: of `/a/b`, `a` and `b`. `None` for a path that is written in any other than the plain way
/// (an empty segment, a trailing slash, `.` or `..`, a percent sign, a backslash), so that nothing in front of the
/// server or behind it can read it differently. No route of ours needs an escape.
pub(crate) fn segments(path: &str) -> Option<Vec<&str>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let sound = |segment: &&str| !matches!(*segment, "" | "." | "..") && segment.bytes().all(plain);
    segments.iter().all(sound).then_some(segments)
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
            "", "*", "/", "//", "health", "/health/", "//health", "/a//b", "/a/../b", "/./a", "/a/%2e%2e/b", "/a%00",
            "/a%2fb", "/a\\b", "/a;b", "/a:b", "/ä", "/a b",
        ] {
            assert_eq!(segments(trick), None, "{trick:?}");
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
