//! The plaintext: generated, shown once, compared in constant time, wiped from memory.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, ErrorKind, Result};

/// A client secret in the clear, whether freshly generated or presented by a client.
///
/// Reading it takes [`expose_secret`](Self::expose_secret), so that every place that does can be found by name. There
/// is no `Display`, `Serialize` or `PartialEq`; `Debug` prints `[REDACTED]`; the memory is wiped when the last clone is
/// dropped. Clones share one allocation.
///
/// ```
/// use agentidp_secrets::ClientSecret;
///
/// let secret = ClientSecret::generate()?;
/// assert_eq!(secret.expose_secret().len(), ClientSecret::GENERATED_LEN);
/// assert_eq!(format!("{secret:?}"), "ClientSecret([REDACTED])");
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
///
/// Nobody compares two by accident:
///
/// ```compile_fail
/// # use agentidp_secrets::ClientSecret;
/// let (one, other) = (ClientSecret::from("a"), ClientSecret::from("b"));
/// assert!(one != other); // no `PartialEq`: its time would depend on where they differ
/// ```
#[derive(Clone)]
pub struct ClientSecret(Arc<Zeroizing<String>>);

impl ClientSecret {
    /// What every generated secret starts with, so that leak scanners can find one.
    pub const GENERATED_PREFIX: &'static str = "sk_live_";

    /// Length of a generated secret in bytes: the prefix and 64 hexadecimal digits. It is exactly as much as bcrypt
    /// reads.
    pub const GENERATED_LEN: usize = 72;

    /// The plaintext. Give it to a hash, to Vault, or once to its owner; never to a log.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.as_str()
    }

    /// Whether both are the same secret. The time taken depends on the lengths and not on where they differ.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl From<String> for ClientSecret {
    fn from(plaintext: String) -> Self {
        Self(Arc::new(Zeroizing::new(plaintext)))
    }
}

/// Copies the text; the caller's copy is the caller's to wipe.
impl From<&str> for ClientSecret {
    fn from(plaintext: &str) -> Self {
        Self::from(plaintext.to_owned())
    }
}

/// Wipes the bytes when they are not UTF-8, because they may still be a secret.
impl TryFrom<Vec<u8>> for ClientSecret {
    type Error = Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self> {
        String::from_utf8(bytes).map(Self::from).map_err(|refused| {
            refused.into_bytes().zeroize();
            Error::new(ErrorKind::InvalidSecret, "a client secret must be UTF-8 text")
        })
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_have_the_documented_form_and_differ() {
        let (one, other) = (ClientSecret::generate().unwrap(), ClientSecret::generate().unwrap());
        let digits = one.expose_secret().strip_prefix("sk_live_").unwrap();
        assert_eq!(digits.len(), 64);
        assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        assert!(!one.ct_eq(&other));
        assert!(one.has_generated_form());
    }

    #[test]
    fn every_other_form_is_told_from_the_generated_one() {
        let text = ClientSecret::generate().unwrap().expose_secret().to_owned();
        for other in [
            String::new(),
            text[..71].to_owned(),
            format!("{text}0"),
            text.to_uppercase(),
            text.replacen("live", "test", 1),
            format!("{}g", &text[..71]),
            format!("{}\0", &text[..71]),
            format!("{}\u{e4}", &text[..70]),
            "0".repeat(72),
        ] {
            assert!(!ClientSecret::from(other.as_str()).has_generated_form(), "{other:?}");
        }
    }

    #[test]
    fn equality_is_on_every_byte_and_the_length() {
        let secret = ClientSecret::from("sk_live_abc");
        assert!(secret.ct_eq(&ClientSecret::from("sk_live_abc")));
        for near_miss in ["", "sk_live_ab", "sk_live_abcd", "sk_live_abC", "sk_live_abc\0"] {
            assert!(!secret.ct_eq(&ClientSecret::from(near_miss)), "{near_miss:?}");
        }
    }

    #[test]
    fn debug_is_redacted() {
        let secret = ClientSecret::from("canary-secret");
        assert!(!format!("{secret:?} {secret:#?}").contains("canary"));
        let refused = ClientSecret::try_from(b"canary-\xff".to_vec()).unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("canary"));
    }
}
