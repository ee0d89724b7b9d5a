//! A short keyed fingerprint of a generated secret, which picks the one record worth checking.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

use crate::credential::ClientId;
use crate::error::{Error, ErrorKind, Result};
use crate::format::SecretFormats;
use crate::keys::{KeyId, MacKey, MacKeys, Purpose};
use crate::secret::ClientSecret;

/// What is kept beside a record so that a candidate can be told to be another credential's without checking it: the
/// first 8 bytes of HMAC-SHA-256 of the secret, under one of the caller's [`MacKeys`].
///
/// It is bound to the client and not to the credential, unless the store
/// [looks keys up](crate::SecretStoreBuilder::look_up_by_key), where it is bound to neither: one MAC of a candidate picks among all of a client's credentials.
/// A right secret then costs one check and a wrong one none, however many credentials there are, after a restart and on
/// every replica. It only selects. A candidate whose selector fits is checked against the record as ever, and by chance
/// one in 2⁶⁴ wrong ones is.
///
/// Only generated secrets have one: those of a [form](SecretFormats) that the store was given. A chosen secret could be guessed by
/// whoever has both database and keys, at the speed of a MAC: for those the slow digest has to remain the only way.
/// For 128 random bits and more there is no such way, so the selector takes nothing from the digest beside it.
///
/// Keep it in the row beside the record, as [text](Self::to_text) or through serde (the same text). It belongs to that one
/// record: whoever writes another record into the row replaces the selector too, or clears it. One that was left behind
/// makes the right secret a mismatch; it never makes a wrong one match.
///
/// `Debug` shows the key's id only.
#[derive(Clone, Copy)]
pub struct Selector {
    key_id: KeyId,
    reach: Reach,
    fingerprint: Fingerprint,
}

/// Among whose records it picks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Client,
    Everybody,
}

/// Half of it would do to tell a few credentials apart; at this length a wrong secret has in practice no record to check.
pub(crate) type Fingerprint = [u8; 8];

impl MacKeys {
    /// The selector of a secret under the first key. `None` for a secret that is not of the
    /// [documented form](crate::SecretFormat::documented).
    ///
    /// A [`SecretStore`](crate::SecretStore) with keys makes them by itself; this is for filling rows by other means.
    #[must_use]
    pub fn selector(&self, client: &ClientId, secret: &ClientSecret) -> Option<Selector> {
        self.selector_of(&SecretFormats::default(), client, secret)
    }

    /// The same of a secret of one of these forms.
    #[must_use]
    pub fn selector_of(&self, formats: &SecretFormats, client: &ClientId, secret: &ClientSecret) -> Option<Selector> {
        let key = self.first();
        let fingerprint = || fingerprint(key, client, secret);
        formats.recognises(secret).then(|| Selector {
            key_id: key.id(),
            reach: Reach::Client,
            fingerprint: fingerprint(),
        })
    }

    /// The selector of a secret by which its row is found without the client's id, under the first key. `None` for a secret of none
    /// of these forms.
    #[must_use]
    pub fn look_up_of(&self, formats: &SecretFormats, secret: &ClientSecret) -> Option<Selector> {
        formats.recognises(secret).then(|| Selector::found_by(self.first(), secret))
    }

    /// The same under each key: what to look for.
    pub(crate) fn look_ups(&self, formats: &SecretFormats, secret: &ClientSecret) -> Vec<Selector> {
        if !formats.recognises(secret) {
            return Vec::new();
        }
        self.all().map(|key| Selector::found_by(key, secret)).collect()
    }
}

/// Of a secret that is known to be a generated one, whosever it is.
pub(crate) fn look_up_fingerprint(key: &MacKey, secret: &ClientSecret) -> Fingerprint {
    short(key.mac(Purpose::LookUp, &[secret.expose_secret().as_bytes()]))
}

/// Of a secret that is known to be a generated one.
pub(crate) fn fingerprint(key: &MacKey, client: &ClientId, secret: &ClientSecret) -> Fingerprint {
    short(key.mac(Purpose::Selector, &[client.as_str().as_bytes(), secret.expose_secret().as_bytes()]))
}

fn short(mac: [u8; 32]) -> Fingerprint {
    let mut fingerprint = [0; 8];
    fingerprint.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
    fingerprint
}

impl Selector {
    /// The key that it was made under.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    fn found_by(key: &MacKey, secret: &ClientSecret) -> Self {
        Self { key_id: key.id(), reach: Reach::Everybody, fingerprint: look_up_fingerprint(key, secret) }
    }

    /// Whether a row is found by it without the client's id.
    #[must_use]
    pub fn is_for_look_up(&self) -> bool {
        self.reach == Reach::Everybody
    }

    /// The text form: the key's id, a colon, another one where it is [for a look-up](Self::is_for_look_up), and 16 hexadecimal
    /// digits; at most 34 bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        let colons = if self.is_for_look_up() { "::" } else { ":" };
        format!("{}{colons}{}", self.key_id, hex::encode(self.fingerprint))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// `Malformed` when the text is not one, upper-case digits included.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed =
            || Error::new(ErrorKind::Malformed, "a selector is a key id, one or two colons and 16 hexadecimal digits");
        let (key_id, digits) = text.split_once(':').ok_or_else(malformed)?;
        let key_id = KeyId::parse(key_id).map_err(|_| malformed())?;
        let (reach, digits) = match digits.strip_prefix(':') {
            Some(digits) => (Reach::Everybody, digits),
            None => (Reach::Client, digits),
        };
        let mut fingerprint = [0; 8];
        hex::decode_to_slice(digits, &mut fingerprint).map_err(|_| malformed())?;
        let selector = Self { key_id, reach, fingerprint };
        if selector.to_text() == text { Ok(selector) } else { Err(malformed()) }
    }

    /// Appends it in few bytes, for rows in memory.
    pub(crate) fn pack(&self, to: &mut Vec<u8>) {
        let id = self.key_id.as_str().as_bytes();
        to.push((id.len() as u8) << 1 | u8::from(self.is_for_look_up()));
        to.extend(id);
        to.extend(self.fingerprint);
    }

    /// Takes what [`pack`](Self::pack) has appended.
    pub(crate) fn unpack(from: &mut &[u8]) -> Option<Self> {
        let (head, rest) = from.split_first()?;
        let (id, rest) = rest.split_at_checked(usize::from(head >> 1))?;
        let (fingerprint, rest) = rest.split_first_chunk::<{ size_of::<Fingerprint>() }>()?;
        *from = rest;
        let (id, fingerprint) = (std::str::from_utf8(id).ok()?, *fingerprint);
        let reach = if head & 1 == 1 { Reach::Everybody } else { Reach::Client };
        Some(Self { key_id: KeyId::parse(id).ok()?, reach, fingerprint })
    }

    /// Whether the fingerprint is this one, in constant time.
    pub(crate) fn is(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint.ct_eq(fingerprint).into()
    }
}

/// The time taken does not depend on where the fingerprints differ.
impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.reach == other.reach && self.is(&other.fingerprint)
    }
}

impl Eq for Selector {}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({}:[REDACTED])", self.key_id)
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testkit::{assert_error_redacted, assert_redacted};

    const KEYS: &str = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn selector(client: &str, secret: &str) -> Option<Selector> {
        MacKeys::parse(KEYS).unwrap().selector(&ClientId::parse(client).unwrap(), &secret.into())
    }

    /// Computed by Python's `hmac`: the key is the MAC of `agentidp-secrets selector v1` under the key above, the message
    /// is both parts, each after its length in four bytes.
    #[test]
    fn it_is_what_another_implementation_computes() {
        assert_eq!(selector("0f8fad5b-d9cb-469f-a165-70867728950e", SECRET).unwrap().to_text(), "k1:2f4b06495ff53f45");
    }

    #[test]
    fn it_depends_on_the_client_the_secret_and_the_key() {
        let reference = selector("a", SECRET).unwrap();
        assert_eq!(selector("a", SECRET), Some(reference));
        assert_ne!(selector("b", SECRET), Some(reference));
        assert_ne!(selector("a", &SECRET.replace('f', "0")), Some(reference));
        let renamed = MacKeys::parse(&KEYS.replace("k1", "k2")).unwrap();
        let renamed = renamed.selector(&ClientId::parse("a").unwrap(), &SECRET.into()).unwrap();
        assert_ne!(renamed, reference);
        assert_eq!(renamed.to_text().split_at(2).1, reference.to_text().split_at(2).1);
    }

    /// Computed by Python's `hmac`, as above, with `agentidp-secrets look-up v1` and the secret alone.
    #[test]
    fn one_for_a_look_up_is_bound_to_no_client() {
        let keys = MacKeys::parse(KEYS).unwrap();
        let selector = keys.look_up_of(&SecretFormats::default(), &SECRET.into()).unwrap();
        assert_eq!(selector.to_text(), "k1::4f311e12c2e9d8f0");
        assert!(selector.is_for_look_up() && keys.look_ups(&SecretFormats::default(), &SECRET.into()) == [selector]);
        assert_eq!(keys.look_up_of(&SecretFormats::default(), &"correct horse".into()), None);
    }

    #[test]
    fn a_secret_that_could_be_guessed_has_none() {
        for chosen in ["", "correct horse", &SECRET[..71], &SECRET.to_uppercase(), &SECRET.replace("live", "test")] {
            assert_eq!(selector("a", chosen), None, "{chosen:?}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_and_not_repeated() {
        for text in [
            "",
            "k1",
            "k1:",
            ":0123456789abcdef",
            "k1:0123456789ABCDEF",
            "K1:0123456789abcdef",
            "k1:0123456789abcde",
            "k1:0123456789abcdef0",
            "k1:0123456789abcdeg",
            "k1:k1:0123456789abcdef",
            "k1:::0123456789abcdef",
            "k1::",
            " k1:0123456789abcdef",
            "k1:0123456789abcdef ",
            SECRET,
        ] {
            let error = Selector::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{text:?}");
            assert_error_redacted(&error, SECRET);
        }
    }

    #[test]
    fn debug_shows_the_key_and_no_fingerprint() {
        let selector = Selector::parse("k1:0123456789abcdef").unwrap();
        assert_eq!(format!("{selector:?}"), "Selector(k1:[REDACTED])");
        assert_redacted(&selector, "0123456789abcdef");
    }

    proptest! {
        #[test]
        fn text_and_serde_round_trip(text in "[a-z0-9-]{1,16}::?[0-9a-f]{16}") {
            let selector = Selector::parse(&text).unwrap();
            prop_assert_eq!(&selector.to_text(), &text);
            let json = serde_json::to_string(&selector).unwrap();
            prop_assert_eq!(serde_json::from_str::<Selector>(&json).unwrap(), selector);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = Selector::parse(&text);
        }
    }
}
