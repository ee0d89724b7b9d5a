//! The token that Vault knows us by.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::vault::hidden::Hidden;
use crate::vault::setting::{Names, Setting};

/// A Vault token. `Debug` prints `[REDACTED]`; the memory is wiped when the last clone is dropped.
///
/// Surrounding white space is cut off, because tokens come from files that end in a newline.
#[derive(Clone)]
pub struct VaultToken(Hidden);

impl VaultToken {
    /// Longest token in bytes. Batch tokens, the longest there are, have a few hundred.
    const MAX_LEN: usize = 8192;

    /// The header that carries it, marked sensitive.
    pub(crate) fn header(&self, names: Names) -> Result<HeaderValue> {
        let (token, setting) = (self.0.expose(), names.of(Setting::Token));
        if token.is_empty() {
            return Err(Error::new(ErrorKind::InvalidConfig, format!("the Vault token is empty: set {setting}")));
        }
        if token.len() > Self::MAX_LEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!(
                "the Vault token has a space, a control character or a non-ASCII one within, or more than 8192 bytes: look \
                 at {setting}"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        // The header owns a copy that is wiped with it.
        let owned = Zeroizing::new(token.as_bytes().to_vec());
        let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(owned))
            .map_err(|_| Error::new(ErrorKind::InvalidConfig, "the Vault token does not fit into a header"))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

impl From<String> for VaultToken {
    fn from(token: String) -> Self {
        Self(Hidden::from(token))
    }
}

/// Copies the text; the caller's copy is the caller's to wipe.
impl From<Hidden> for VaultToken {
    fn from(token: Hidden) -> Self {
        Self(token)
    }
}

impl From<&str> for VaultToken {
    fn from(token: &str) -> Self {
        Self::from(token.to_owned())
    }
}

impl fmt::Debug for VaultToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultToken([REDACTED])")
    }
}

impl<'de> Deserialize<'de> for VaultToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrounding_space_is_cut_off() {
        let header = VaultToken::from(" s.canary\n").header(Names::default()).unwrap();
        assert_eq!(header.as_bytes(), b"s.canary");
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_being_repeated() {
        let long = "canary".repeat(2000);
        for token in ["", " \n", "s.can\nary", "s.can\0ary", "s.can ary", "s.canäry", &long] {
            let error = VaultToken::from(token).header(Names::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains("`VaultAuth::Token`"));
            assert!(!format!("{error} {error:?}").contains("can"), "{error}");
        }
    }

    #[test]
    fn neither_the_token_nor_its_header_is_shown() {
        let token = VaultToken::from("s.canary");
        let header = token.header(Names::default()).unwrap();
        assert!(!format!("{token:?} {token:#?} {header:?}").contains("canary"));
    }
}
