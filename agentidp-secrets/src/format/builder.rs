//! Describing a form.

use std::borrow::Cow;

use super::{Alphabet, SecretFormat};
use crate::error::{Error, ErrorKind, Result};

/// The least that a secret needs for a fast MAC to stand for it. NIST SP 800-63B asks for 112.
pub(crate) const LEAST_ENTROPY: usize = 128;

/// Longest prefix in bytes.
const LONGEST_PREFIX: usize = 32;

/// Most random digits.
const MOST_DIGITS: usize = 200;

/// Settings of a [`SecretFormat`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SecretFormatBuilder {
    format: SecretFormat,
    declared: Option<usize>,
}

impl SecretFormat {
    /// Starts with the prefix. 43 digits of base 62 follow it, which is 256 bits, unless something else is set.
    ///
    /// A prefix that no other company uses lets a secret scanner report a leaked key to you. Keys that exist already may have
    /// none: then it is empty.
    pub fn builder(prefix: impl Into<String>) -> SecretFormatBuilder {
        let format = Self {
            prefix: Cow::Owned(prefix.into()),
            alphabet: Alphabet::Base62,
            digits: 43,
            has_checksum: false,
            names_credential: false,
            entropy: 0,
        };
        SecretFormatBuilder { format, declared: None }
    }
}

impl SecretFormatBuilder {
    /// Sets the alphabet of the random digits.
    pub fn alphabet(mut self, alphabet: Alphabet) -> Self {
        self.format.alphabet = alphabet;
        self
    }

    /// Sets how many random digits there are.
    pub fn digits(mut self, digits: usize) -> Self {
        self.format.digits = digits;
        self
    }

    /// Adds a checksum at the end: the CRC-32 of what stands between it and the prefix, in six digits of base 62, as GitHub's tokens
    /// have it. A mistyped or made-up key is then told from a real one without any look-up, by the store and by scanners.
    pub fn checksum(mut self) -> Self {
        self.format.has_checksum = true;
        self
    }

    /// Puts the credential's id between the prefix and the random digits, with `_` behind it, for look-ups of
    /// your own, in a log or a support tool: see [`SecretFormat::credential_id`]. Nothing in this crate reads rows by it. Its bytes outside of `A-Z a-z 0-9 . _ -` are escaped as in a Vault
    /// path. Mind the length: bcrypt takes 72 bytes in all.
    pub fn naming_the_credential(mut self) -> Self {
        self.format.names_credential = true;
        self
    }

    /// Declares how many random bits existing keys of this form have, where their digits could hold more. The digits are taken
    /// to be random otherwise.
    pub fn entropy(mut self, bits: usize) -> Self {
        self.declared = Some(bits);
        self
    }

    /// Checks every setting and makes the form.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the method, when a setting cannot be used: above all when there are fewer than 128 bits of entropy.
    pub fn build(self) -> Result<SecretFormat> {
        let Self { mut format, declared } = self;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let prefix = format.prefix.as_bytes();
        let begins = prefix.first().is_none_or(u8::is_ascii_alphanumeric);
        if prefix.len() > LONGEST_PREFIX || !begins || !prefix.iter().copied().all(is_plain) {
            let message = format!(
                "the prefix of `SecretFormat::builder` is at most {LONGEST_PREFIX} bytes of A-Z a-z 0-9 _ -, the first a \
                 letter or a digit"
            );
            return Err(invalid(message));
        }
        if format.digits > MOST_DIGITS {
            return Err(invalid(format!("`digits` is at most {MOST_DIGITS}, and was set to {}", format.digits)));
        }
        let capacity = format.alphabet.entropy(format.digits);
        if let Some(bits) = declared.filter(|bits| *bits > capacity) {
            return Err(invalid(format!("`entropy` says {bits} bits, and the digits hold {capacity} at the most")));
        }
        format.entropy = declared.unwrap_or(capacity);
        if format.entropy < LEAST_ENTROPY {
            let (entropy, setting) = (format.entropy, if declared.is_some() { "entropy" } else { "digits" });
            return Err(invalid(format!(
                "by `{setting}` a key has {entropy} bits of entropy, and a form needs {LEAST_ENTROPY}: keys with fewer may be \
                 guessed, and belong to a slow digest, which takes any text"
            )));
        }
        Ok(format)
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
