//! Asserts that a secret stays out of sight.

use std::error::Error;
use std::fmt::Debug;

use super::coding::base64_inside;

/// Asserts that neither `{:?}` nor `{:#?}` of `value` shows `secret`, whole or in part.
///
/// Looked for are the plain text, its hexadecimal digits in either case, its base64 and base64url and its bytes as a list,
/// each of the secret and of every run of 16 bytes of it, forwards and backwards, so that a cut or a wrapped text is found
/// too. Any other coding is not.
///
/// # Panics
/// When the secret shows, or is too short to be told from chance.
#[track_caller]
pub fn assert_redacted(value: &dyn Debug, secret: &str) {
    assert_text_redacted(&format!("{value:?}"), secret);
    assert_text_redacted(&format!("{value:#?}"), secret);
}

/// Asserts the same of an error and of every error in its [`source`](Error::source) chain, for `Display` and `Debug`.
///
/// # Panics
/// As [`assert_redacted`].
#[track_caller]
pub fn assert_error_redacted(error: &(dyn Error + 'static), secret: &str) {
    let mut level = Some(error);
    while let Some(error) = level {
        assert_text_redacted(&format!("{error}"), secret);
        assert_text_redacted(&format!("{error:#}"), secret);
        assert_redacted(&error, secret);
        level = error.source();
    }
}

/// Asserts the same of a text, such as everything that was logged.
///
/// # Panics
/// As [`assert_redacted`].
#[track_caller]
pub fn assert_text_redacted(text: &str, secret: &str) {
    assert!(secret.len() >= SHORTEST, "a canary needs {SHORTEST} bytes or more, or it could show up by chance");
    if let Some(form) = leaked_form(text, secret) {
        panic_with(form, &text.replace(secret, "[the secret]"));
    }
}

/// In which form `secret` shows in `text`, if it does.
pub(super) fn leaked_form(text: &str, secret: &str) -> Option<&'static str> {
    let backwards: String = text.chars().rev().collect();
    forwards(text, secret).or_else(|| forwards(&backwards, secret).map(|_| "a coding from its end to its beginning"))
}

fn forwards(text: &str, secret: &str) -> Option<&'static str> {
    // `{:#?}` of a byte list has one number a line.
    let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let lower = dense.to_lowercase();
    let one_alphabet = dense.replace('-', "+").replace('_', "/");
    let bytes = secret.as_bytes();
    let list = |run: &[u8]| run.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    bytes.windows(RUN.min(bytes.len())).find_map(|run| {
        let plain = std::str::from_utf8(run).is_ok_and(|run| text.contains(run) || dense.contains(run));
        if plain {
            Some("plain text")
        } else if lower.contains(&hex::encode(run)) {
            Some("hexadecimal digits")
        } else if (0..3).any(|before| one_alphabet.contains(&base64_inside(run, before))) {
            Some("base64")
        } else if dense.contains(&list(run)) {
            Some("a list of bytes")
        } else {
            None
        }
    })
}

/// Shorter secrets are refused: they could show up by chance.
const SHORTEST: usize = 8;

/// Bytes in a row that count as a leak.
const RUN: usize = 16;

#[track_caller]
#[expect(clippy::panic, reason = "an assert fails by panicking")]
fn panic_with(form: &str, text: &str) -> ! {
    let beginning: String = text.chars().take(200).collect();
    panic!("the secret shows as {form} in: {beginning}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::coding::{STANDARD, URL_SAFE, base64};

    const CANARY: &str = "sk_live_canary-0123456789abcdef";

    #[test]
    fn every_form_of_a_leak_is_seen() {
        let bytes = CANARY.as_bytes();
        for (text, form) in [
            (format!("secret={CANARY}"), "plain text"),
            (format!("cut off: {}...", &CANARY[..20]), "plain text"),
            (format!("{:?}", hex::encode_upper(bytes)), "hexadecimal digits"),
            (format!("{bytes:?}"), "a list of bytes"),
            (format!("{bytes:#?}"), "a list of bytes"),
            (base64(bytes, STANDARD), "base64"),
            (base64(&[b"a", bytes].concat(), URL_SAFE), "base64"),
            (format!("x{}", &base64(&[b"ab", bytes, b"c"].concat(), STANDARD)[7..]), "base64"),
            (CANARY.chars().rev().collect(), "a coding from its end to its beginning"),
            (hex::encode(bytes).chars().rev().collect(), "a coding from its end to its beginning"),
        ] {
            assert_eq!(leaked_form(&text, CANARY), Some(form), "{text}");
        }
        assert_eq!(leaked_form("sk_live_[REDACTED] and 0123456789", CANARY), None);
    }

    #[test]
    fn the_whole_source_chain_is_read() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("outer")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        assert_error_redacted(&Outer(std::io::Error::other("harmless")), CANARY);
        let leaky = Outer(std::io::Error::other(CANARY));
        let read = std::panic::AssertUnwindSafe(|| assert_error_redacted(&leaky, CANARY));
        assert!(std::panic::catch_unwind(read).is_err());
    }
}
