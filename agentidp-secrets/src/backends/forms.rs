//! By what one knows a bare text of the backends here.

use crate::backend_id::BackendId;

/// The backend that a text looks like which no backend of a store recognises: for the error that says which one is missing. Always
/// compiled, so that it reads alike in every build.
pub(crate) fn looks_like(text: &str) -> Option<BackendId> {
    if is_bare_bcrypt(text) {
        Some(BackendId::BCRYPT)
    } else if is_bare_argon2(text) {
        Some(BackendId::ARGON2)
    } else if is_keyed_digest(text) {
        Some(BackendId::KEYED_DIGEST)
    } else {
        is_vault_path(text).then_some(BackendId::VAULT_KV2)
    }
}

fn is_bare_bcrypt(text: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|head| text.starts_with(head))
}

fn is_bare_argon2(text: &str) -> bool {
    ["$argon2id$", "$argon2i$", "$argon2d$"].iter().any(|head| text.starts_with(head))
}

pub(crate) fn is_keyed_digest(text: &str) -> bool {
    text.starts_with("$hmac-sha256$")
}

/// Whether the text is `mount/data/rest`; a mount may have several segments.
pub(crate) fn is_vault_path(text: &str) -> bool {
    let path = text.split_once('?').map_or(text, |(path, _version)| path);
    let sound = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'$' | b'{' | b'}');
    path.bytes().all(sound) && path.split('/').all(|segment| !segment.is_empty()) && path.split_once("/data/").is_some()
}

/// The bcrypt digest in a text of other software: bare, with the brace of Dovecot, LDAP or Spring, or as Django has it.
#[cfg(feature = "bcrypt")]
pub(crate) fn bcrypt_in(text: &str) -> Option<&str> {
    without_head(text, &["{BLF-CRYPT}", "{CRYPT}", "{bcrypt}", "bcrypt$"], is_bare_bcrypt)
}

/// The argon2 digest in a text of other software.
#[cfg(feature = "argon2")]
pub(crate) fn argon2_in(text: &str) -> Option<&str> {
    let heads = ["{ARGON2ID}", "{ARGON2I}", "{ARGON2}"];
    // Spring names the version of its parameters: `{argon2@SpringSecurity_v5_8}`.
    let spring = text.strip_prefix("{argon2@").and_then(|rest| rest.split_once('}')).map(|(_, digest)| digest);
    match spring {
        Some(digest) => is_bare_argon2(digest).then_some(digest),
        // Django writes the PHC form without its first sign, under a name of its own: `argon2$argon2id$v=19$…`.
        None => without_head(text, &heads, is_bare_argon2)
            .or_else(|| text.strip_prefix("argon2").filter(|rest| is_bare_argon2(rest))),
    }
}

/// The rest after the first of these heads, or the whole text, where `is` says yes.
#[cfg(any(feature = "argon2", feature = "bcrypt"))]
fn without_head<'a>(text: &'a str, heads: &[&str], is: fn(&str) -> bool) -> Option<&'a str> {
    let rest = heads.iter().find_map(|head| after_head(text, head)).unwrap_or(text);
    is(rest).then_some(rest)
}

/// What follows a head. LDAP, Dovecot and Spring read a scheme in braces in any case.
#[cfg(any(feature = "argon2", feature = "bcrypt", feature = "legacy"))]
pub(crate) fn after_head<'a>(text: &'a str, head: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(head.len())?;
    let is_head = if head.starts_with('{') { start.eq_ignore_ascii_case(head) } else { start == head };
    is_head.then_some(rest)
}

#[cfg(all(test, any(feature = "argon2", feature = "bcrypt")))]
mod tests {
    use super::*;

    #[cfg(feature = "argon2")]
    #[test]
    fn argon2_is_found_in_the_texts_of_others() {
        let digest = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";
        let heads = ["{ARGON2ID}", "{argon2id}", "{ARGON2}", "{Argon2}", "{argon2}"];
        for text in heads.into_iter().chain(["", "{argon2@SpringSecurity_v5_8}", "{argon2@a}", "argon2"]) {
            assert_eq!(argon2_in(&format!("{text}{digest}")), Some(digest), "{text}");
        }
        for text in ["$argon2x$", "argon2", "{argon2@a$argon2id$", "{argon2@a}$2b$", "ARGON2$argon2id$", "bcrypt$", ""]
        {
            assert_eq!(argon2_in(text), None, "{text}");
        }
    }

    #[cfg(feature = "bcrypt")]
    #[test]
    fn bcrypt_is_found_in_the_texts_of_others() {
        for text in ["", "{BLF-CRYPT}", "{blf-crypt}", "{CRYPT}", "{crypt}", "{BCRYPT}", "{bcrypt}", "bcrypt$"] {
            assert_eq!(bcrypt_in(&format!("{text}$2y$10$rest")), Some("$2y$10$rest"), "{text}");
        }
        for text in
            ["$2c$10$", "bcrypt$$2c$", "bcrypt_sha256$$2b$12$", "{CRYPT}$6$", "{crypt}é", "BCRYPT$$2b$", "{SHA}", ""]
        {
            assert_eq!(bcrypt_in(text), None, "{text}");
        }
    }
}
