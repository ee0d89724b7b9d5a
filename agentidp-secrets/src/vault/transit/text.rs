//! What a record of the transit backend says.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::record::StoredSecret;

/// As many random bytes as make it unlikely that two records ever share them.
pub(super) type Salt = [u8; 16];

/// What Vault's transit engine gives: `vault:v3:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mac {
    /// Of the key, 1 or more.
    pub(super) version: u64,
    mac: [u8; 32],
}

impl Mac {
    /// Takes nothing but what [`Display`](fmt::Display) writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (version, mac) = text.strip_prefix("vault:v")?.split_once(':')?;
        let version = version.parse().ok().filter(|_| !version.starts_with(['0', '+']))?;
        Some(Self { version, mac: STANDARD.decode(mac).ok()?.try_into().ok()? })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vault:v{}:{}", self.version, STANDARD.encode(self.mac))
    }
}

/// The payload of a record.
pub(super) struct TransitText {
    pub(super) key: Box<str>,
    pub(super) salt: Salt,
    pub(super) mac: Mac,
}

impl TransitText {
    const SCHEME: &'static str = "$vault-transit$";
    const HEAD: &'static str = "$vault-transit$v=1$key=";

    /// Whether the text begins as a record of any version.
    pub(super) fn is_headed(text: &str) -> bool {
        text.starts_with(Self::SCHEME)
    }

    /// Takes nothing but what [`Display`](fmt::Display) writes.
    pub(super) fn parse(payload: &str) -> Option<Self> {
        let mut parts = payload.strip_prefix(Self::HEAD)?.split('$');
        let key = parts.next().filter(|key| is_key(key))?.into();
        let digits = parts.next().filter(|digits| !digits.bytes().any(|digit| digit.is_ascii_uppercase()))?;
        let mut salt = Salt::default();
        hex::decode_to_slice(digits, &mut salt).ok()?;
        let mac = Mac::parse(parts.next()?)?;
        parts.next().is_none().then_some(Self { key, salt, mac })
    }
}

/// The key and its version, for a report.
pub(super) fn parameters(stored: &StoredSecret) -> Option<String> {
    TransitText::parse(stored.payload()).map(|text| format!("key={},version={}", text.key, text.mac.version))
}

impl fmt::Display for TransitText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}${}${}", Self::HEAD, self.key, hex::encode(self.salt), self.mac)
    }
}

/// Whether Vault takes it for the name of a key, and a URL and a policy take it literally.
pub(super) fn is_key(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let ends = text.bytes().next().is_some_and(word) && text.bytes().last().is_some_and(word);
    ends && text.len() <= 128 && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "$vault-transit$v=1$key=agentidp$000102030405060708090a0b0c0d0e0f\
        $vault:v3:VyrFUhA4ilD0C8eYBCf9tvfu2xMJpI+77uw4K5cQ9xY=";

    #[test]
    fn a_record_is_read_in_one_form_only() {
        let text = TransitText::parse(TEXT).unwrap();
        assert_eq!((&*text.key, text.mac.version, text.to_string().as_str()), ("agentidp", 3, TEXT));
        for (from, to) in [
            ("$vault", "vault"),
            ("v=1", "v=2"),
            ("key=agentidp", "key="),
            ("key=agentidp", "key=-a"),
            ("key=agentidp", "key=a."),
            ("key=agentidp", "key=a/b"),
            ("$0001", "$00010"),
            ("0a0b", "0A0B"),
            (":v3:", ":v03:"),
            (":v3:", ":v0:"),
            (":v3:", ":v+3:"),
            (":v3:", ":v-3:"),
            (":v3:", ":v18446744073709551616:"),
            (":v3:", ":"),
            ("vault:v3", "other:v3"),
            ("xY=", "xY"),
            ("xY=", "xZ="),
            ("xY=", "xY=$"),
            ("xY=", "xY=\n"),
        ] {
            let damaged = TEXT.replacen(from, to, 1);
            assert_ne!(damaged, TEXT);
            assert!(TransitText::parse(&damaged).is_none(), "{damaged}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_is_what_is_written(
            payload in "\\PC{0,60}",
            tail in "[A-Za-z0-9._-]{0,12}\\$[0-9a-f]{30,33}\\$vault:v[0-9]{0,20}:[A-Za-z0-9+/]{43}=",
        ) {
            for text in [payload, format!("{}{tail}", TransitText::HEAD)] {
                if let Some(read) = TransitText::parse(&text) {
                    prop_assert_eq!(read.to_string(), text);
                }
            }
        }
    }
}
