//! The `Authorization` header (RFC 9110 §11.6.2).

/// What follows the scheme, where the header is of this scheme. Schemes are compared without regard to case; one or more spaces
/// follow them, and a header may end with its scheme (RFC 9110 §11.4).
pub(super) fn of_scheme<'h>(header: &'h [u8], scheme: &str) -> Option<&'h [u8]> {
    let end = header.iter().position(|byte| *byte == b' ').unwrap_or(header.len());
    let (found, rest) = header.split_at(end);
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    found.eq_ignore_ascii_case(scheme.as_bytes()).then(|| &rest[spaces..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_spaces_follow_a_scheme_in_any_case() {
        for header in ["Basic a b", "basic   a b", "BASIC a b"] {
            assert_eq!(of_scheme(header.as_bytes(), "basic"), Some(&b"a b"[..]), "{header}");
        }
        for header in ["Basic", "Basic "] {
            assert_eq!(of_scheme(header.as_bytes(), "basic"), Some(&b""[..]), "{header}");
        }
        for header in ["", " Basic a", "Basi c", "Basics a", "Basic\ta", "Bearer a"] {
            assert_eq!(of_scheme(header.as_bytes(), "basic"), None, "{header}");
        }
    }
}
