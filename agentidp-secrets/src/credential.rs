//! Whose secret it is. Ids are parsed once; a backend that builds paths escapes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};

/// Longest id in bytes: what a column of 255 holds.
const MAX_ID_LEN: usize = 255;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 255 bytes of UTF-8 text without control characters: a URL, an address of e-mail, a name with blanks. Ids are equal
        /// when their bytes are; nothing is normalised.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            /// `Malformed` when the text is empty, too long, or has a control character. The message does not repeat it.
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
/// `Display` is for people: ids may have slashes in them, so two keys may print the same.
///
/// ```
/// use agentidp_secrets::CredentialKey;
///
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// assert_eq!(key.to_string(), "agent-7/credential-1");
/// assert!(CredentialKey::parse("https://idp.example/agents/7", "laptop of Zoë").is_ok());
/// assert!(CredentialKey::parse("agent-7", "two\nlines").is_err());
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
    let fits = (1..=MAX_ID_LEN).contains(&text.len()) && !text.contains(char::is_control);
    // The text is not repeated: a caller may have mixed up its arguments and passed the secret.
    if fits {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::Malformed,
            format!("a {what} is 1 to 255 bytes of UTF-8 text without control characters"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_text_of_one_line() {
        for refused in ["", "a\0", "a\n", "\u{7f}", "\u{85}", "\u{1b}[2J", &"a".repeat(256), &"ä".repeat(128)] {
            assert!(ClientId::parse(refused).is_err(), "{refused:?}");
            assert!(CredentialId::parse(refused).is_err(), "{refused:?}");
        }
        let emoji = "🔑".repeat(63);
        for fine in
            ["a", ".", "..", "https://idp.example/a?b#c", "user@example.com", " \"'", "a%2fb", &"a".repeat(255), &emoji]
        {
            assert_eq!(ClientId::parse(fine).unwrap().as_str(), fine);
            assert_eq!(CredentialId::parse(fine).unwrap().as_str(), fine);
        }
    }

    proptest! {
        #[test]
        fn parsing_refuses_or_keeps_the_text(text in ".{0,200}|\\PC{0,300}") {
            match ClientId::parse(&text) {
                Ok(id) => prop_assert_eq!(id.as_str(), &text),
                Err(_) => prop_assert!(text.is_empty() || text.len() > 255 || text.contains(char::is_control)),
            }
        }
    }
}
