//! Texts that are never shown: tokens, secret ids, keys.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
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
        String::deserialize(deserializer).map(Self::from)
    }
}
