//! What the caller keeps in its database so that a backend can verify later.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::backends::forms;
use crate::error::{Error, ErrorKind, Result};

pub use crate::backend_id::BackendId;

impl BackendId {
    /// Parses an id.
    ///
    /// # Errors
    /// `Malformed` when the text is not kebab-case or too long.
    pub fn parse(text: &str) -> Result<Self> {
        Self::of(text).ok_or_else(|| {
            let message = "a backend id is 1 to 32 bytes of a-z 0-9 -, beginning with a letter, and maybe a colon and 1 to 32 more";
            Error::new(ErrorKind::Malformed, message)
        })
    }

    /// The id of an instance of this kind: for a second backend of the kind in one store.
    ///
    /// # Errors
    /// `InvalidConfig` when `instance` is not 1 to 32 bytes of `a-z 0-9 -`.
    pub fn with_instance(&self, instance: &str) -> Result<Self> {
        Self::of(&format!("{}:{instance}", self.kind())).ok_or_else(|| {
            Error::new(ErrorKind::InvalidConfig, "the instance of a backend is 1 to 32 bytes of a-z 0-9 -")
        })
    }
}

/// A record: the backend that wrote it, and a payload that only that backend reads.
///
/// For a digest backend the payload is the digest; for Vault it is the path and the pinned version. Of several backends of one
/// kind the id names the [instance](BackendId::instance): `{vault-kv2:eu}…`. Keep it in your
/// database, as [text](Self::to_text) or through serde (the same text), and hand it back with every call.
///
/// `Debug` shows the backend only, because a digest is sensitive too. Equality is not in constant time: a record is not a
/// secret to guess at.
///
/// To find a row again, compare a revision column, or the text exactly as it was read:
/// [`guide::coexistence`](crate::guide::coexistence) has both under "The row". What the store gives back for a row of an older system
/// is another text: `{bcrypt}$2b$…` where the row held `$2b$…`.
///
/// ```
/// use agentidp_secrets::{BackendId, StoredSecret};
///
/// let record = StoredSecret::parse("{vault-kv2}secret/data/agentidp/agents/a/credentials/c?version=3")?;
/// assert_eq!(record.backend(), &BackendId::VAULT_KV2);
/// // Rows of older systems carry no id: the store asks its backends whose they are.
/// let bare = StoredSecret::parse("$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy")?;
/// assert_eq!(bare.backend(), &BackendId::UNCLAIMED);
/// assert!(bare.to_text().starts_with("$2b$"));
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoredSecret {
    backend: BackendId,
    payload: Box<str>,
}

impl StoredSecret {
    /// Longest record text in bytes that is read. The longest of ours, a path of long ids, has 1,900.
    pub const MAX_TEXT_LEN: usize = 4096;

    /// A record of `backend`. For backends: callers get theirs from `store` and `rotate`.
    #[must_use]
    pub fn new(backend: BackendId, payload: impl Into<Box<str>>) -> Self {
        Self { backend, payload: payload.into() }
    }

    /// The same payload under another id.
    pub(crate) fn renamed(self, backend: BackendId) -> Self {
        Self { backend, ..self }
    }

    /// The backend that wrote this record, as its text says; [unclaimed](BackendId::UNCLAIMED) where the text says nothing.
    /// [`SecretStore::backend_of`](crate::SecretStore::backend_of) finds out whose that is.
    #[must_use]
    pub fn backend(&self) -> &BackendId {
        &self.backend
    }

    /// Nothing where this backend wrote the record; else the error of a backend that is given another one's.
    pub(crate) fn check_backend(&self, id: &BackendId) -> Result<()> {
        if self.backend == *id {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, "the record belongs to another backend"))
    }

    /// What the backend wrote. Sensitive where it is a digest.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The text form, `{backend}payload`; of an unclaimed record the text that was parsed. Sensitive where the payload is a digest.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.text().into_owned()
    }

    /// Reads the text form.
    ///
    /// Any other one line of text is an [unclaimed](BackendId::UNCLAIMED) record: a bare digest, a bare Vault path, or a row of
    /// other software, which the store shows to its [backends](crate::SecretBackend::recognises).
    ///
    /// # Errors
    /// `Malformed` when the text is empty, longer than [`MAX_TEXT_LEN`](Self::MAX_TEXT_LEN), or has a control character and
    /// no id.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > Self::MAX_TEXT_LEN {
            return Err(Error::new(ErrorKind::Malformed, "the record is longer than 4096 bytes"));
        }
        let named = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        if let Some((backend, payload)) = named.and_then(|(id, payload)| Some((BackendId::of(id)?, payload))) {
            return Ok(Self::new(backend, payload));
        }
        if text.is_empty() || text.contains(char::is_control) {
            let message = "the record is empty, or has a control character and names no backend";
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        Ok(Self::new(BackendId::UNCLAIMED, text))
    }

    /// Who has written a record that no backend of a store claims, as far as one can see. A guess will do: it keeps a rotation from
    /// taking a bare path of a Vault that is not configured for a damaged row, and from leaving the old secret there.
    pub(crate) fn seems_of(&self) -> BackendId {
        let guess = || forms::looks_like(&self.payload).unwrap_or(BackendId::UNCLAIMED);
        if self.backend == BackendId::UNCLAIMED { guess() } else { self.backend.clone() }
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        if self.backend == BackendId::UNCLAIMED {
            Cow::Borrowed(&self.payload)
        } else {
            format!("{{{}}}{}", self.backend, self.payload).into()
        }
    }
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredSecret({{{}}}[REDACTED])", self.backend)
    }
}

impl Serialize for StoredSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for StoredSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_a_kind_and_maybe_an_instance() {
        let longest = format!("a{0}:{0}b", "x".repeat(31));
        for text in ["vault-kv2", "vault-kv2:eu", "a:2", "a:-", &longest] {
            let id = BackendId::parse(text).unwrap();
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
            assert_eq!(id.with_instance("us").unwrap().as_str(), format!("{}:us", id.kind()));
        }
        for text in ["", ":", "a:", ":a", "2:a", "a:b:c", "a:B", "a b", "a:b c", "a:b}", &format!("{longest}x")] {
            assert_eq!(BackendId::parse(text).unwrap_err().kind(), ErrorKind::Malformed, "{text}");
        }
        let bcrypt = BackendId::BCRYPT;
        assert_eq!((bcrypt.kind(), bcrypt.instance()), ("bcrypt", None));
        for instance in ["", "eu:1", "EU", "a b", "}", &"x".repeat(33)] {
            assert_eq!(bcrypt.with_instance(instance).unwrap_err().kind(), ErrorKind::InvalidConfig, "{instance}");
        }
    }
    #[test]
    fn debug_hides_the_payload() {
        let record = StoredSecret::new(BackendId::BCRYPT, "$2b$10$canary");
        assert_eq!(format!("{record:?}"), "StoredSecret({bcrypt}[REDACTED])");
        assert!(!format!("{record:#?}").contains("canary"));
    }

    #[test]
    fn errors_do_not_repeat_the_text() {
        for text in ["can\nary", "{Canary}\0rest", &"canary".repeat(1000), ""] {
            let error = StoredSecret::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(!format!("{error} {error:?}").to_lowercase().contains("canary"));
        }
    }

    #[test]
    fn a_text_of_other_software_is_an_unclaimed_record_and_stays_as_it_is() {
        for text in [
            "$2b$10$rest",
            "a/data/b",
            "{SSHA256}czO44OTV",
            "{argon2@SpringSecurity_v5_8}$argon2id$",
            "pbkdf2_sha256$1$salt$hash",
            "{}",
            "{",
        ] {
            let record = StoredSecret::parse(text).unwrap();
            assert_eq!((record.backend(), record.payload()), (&BackendId::UNCLAIMED, text));
            assert_eq!(record.to_text(), text);
            assert_eq!(StoredSecret::parse(&record.to_text()).unwrap(), record);
            assert_eq!(format!("{record:?}"), "StoredSecret({(unclaimed)}[REDACTED])");
        }
        assert!(BackendId::parse(BackendId::UNCLAIMED.as_str()).is_err(), "no backend can take the id");
    }

    proptest! {
        #[test]
        fn text_and_serde_round_trip(id in "[a-z][a-z0-9-]{0,31}(:[a-z0-9-]{1,32})?", payload in ".{0,200}") {
            let record = StoredSecret::new(BackendId::parse(&id).unwrap(), payload);
            prop_assert_eq!(&StoredSecret::parse(&record.to_text()).unwrap(), &record);
            let json = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<StoredSecret>(&json).unwrap(), &record);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,300}") {
            let _ = StoredSecret::parse(&text);
        }
    }
}
