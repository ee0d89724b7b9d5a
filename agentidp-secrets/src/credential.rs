//! Whose secret it is. Ids are parsed once, because backends build paths from them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};

/// Longest id in bytes. A UUID has 36.
const MAX_ID_LEN: usize = 128;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 128 bytes of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..`: an id becomes a segment of a Vault path.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            /// `Malformed` when the text is empty, too long, or has a byte outside the allowed ones.
            pub fn parse(text: &str) -> Result<Self> {
                check_id(text, $what)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type! {
    /// Id of an OAuth 2.0 client.
    ClientId, "client id"
}

id_type! {
    /// Id of one credential of a client.
    CredentialId, "credential id"
}

/// Which secret is meant: a client and one of its credentials.
///
/// ```
/// use agentidp_secrets::CredentialKey;
///
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// assert_eq!(key.to_string(), "agent-7/credential-1");
/// assert!(CredentialKey::parse("agent-7", "../../sys/seal").is_err());
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialKey {
    client_id: ClientId,
    credential_id: CredentialId,
}

impl CredentialKey {
    /// The key of `credential_id` of `client_id`.
    #[must_use]
    pub fn new(client_id: ClientId, credential_id: CredentialId) -> Self {
        Self { client_id, credential_id }
    }

    /// Parses both ids.
    ///
    /// # Errors
    /// `Malformed` as [`ClientId::parse`] and [`CredentialId::parse`] say.
    pub fn parse(client_id: &str, credential_id: &str) -> Result<Self> {
        Ok(Self::new(ClientId::parse(client_id)?, CredentialId::parse(credential_id)?))
    }

    /// The client.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The credential.
    #[must_use]
    pub fn credential_id(&self) -> &CredentialId {
        &self.credential_id
    }
}

impl fmt::Display for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client_id, self.credential_id)
    }
}

fn check_id(text: &str, what: &'static str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let fits = (1..=MAX_ID_LEN).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != "..";
    // The text is not repeated: a caller may have mixed up its arguments and passed the secret.
    if fits {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Malformed, format!("a {what} is 1 to 128 bytes of A-Z a-z 0-9 . _ -")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn path_tricks_are_no_ids() {
        for trick in ["", ".", "..", "a/b", "a%2fb", "%2e%2e", "a\0", "a\n", "a b", "ä", "a\\b", &"a".repeat(129)] {
            assert!(ClientId::parse(trick).is_err(), "{trick:?}");
        }
        for fine in ["a", "...", "a.b", "A-Z_0.9", &"a".repeat(128)] {
            assert!(ClientId::parse(fine).is_ok(), "{fine:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_one_path_segment(text in ".{0,200}") {
            if let Ok(id) = ClientId::parse(&text) {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert!(!text.contains(['/', '%', '\0', '?', '#']) && text != "." && text != "..");
            }
        }
    }
}
