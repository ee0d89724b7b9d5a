//! Paths in Vault, as settings name them.

/// Segments of `A-Z a-z 0-9 . _ -`; slashes around them are dropped, as Vault's own tools do.
pub(super) fn parse_path(text: &str) -> Option<String> {
    let path = text.trim_matches('/');
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let segment = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(sound);
    path.split('/').all(segment).then(|| path.to_owned())
}

/// None for the namespace at the top, which Vault's own clients call by a slash or `root`.
pub(super) fn parse_namespace(text: &str) -> Option<Option<String>> {
    match text.trim_matches('/') {
        "" | "root" => Some(None),
        path => parse_path(path).map(Some),
    }
}
