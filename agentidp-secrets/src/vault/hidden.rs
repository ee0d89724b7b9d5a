//! Texts that are never shown: tokens, secret ids, keys.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// A text that nothing shows: `Debug` prints `[REDACTED]`, the memory is wiped when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Hidden(Arc<Zeroizing<String>>);

impl Hidden {
    /// The text, without the white space around it.
    pub(crate) fn expose(&self) -> &str {
        self.0.trim()
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        unquoted(String::deserialize(deserializer).map(Self::from), "a secret is a text")
    }
}

/// What was read of a setting that may be a secret, or was meant for one. The errors of `serde` quote what they were given: this one says
/// what was expected, and no more.
pub(crate) fn unquoted<T, E: de::Error>(read: Result<T, E>, expected: &'static str) -> Result<T, E> {
    read.map_err(|_| E::custom(expected))
}
