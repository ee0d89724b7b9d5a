//! What a secret looks like: the form in which new ones are made, and by which candidates are recognised.

mod builder;
mod documented;
mod formats;

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::credential::CredentialId;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::ClientSecret;
use crate::segment::{escape, unescape};

pub(crate) use self::builder::LEAST_ENTROPY;
pub use self::builder::SecretFormatBuilder;
pub use self::formats::SecretFormats;

/// Digits of a checksum: as many as 32 bits take in base 62.
const CHECKSUM_LEN: usize = 6;

/// Between a credential's id in a key and the random digits.
const AFTER_ID: char = '_';

/// The form of generated secrets: a prefix, maybe the credential's id, random digits, maybe a checksum.
///
/// A form has at least 128 bits of entropy. That is what lets a fast MAC stand for a secret of it, in a
/// [`Selector`](crate::Selector) or a [keyed digest](crate::backends::KeyedDigest).
///
/// ```
/// use agentidp_secrets::{Alphabet, CredentialKey, SecretFormat};
///
/// let format = SecretFormat::builder("acme_").alphabet(Alphabet::Base62).digits(32).checksum().build()?;
/// let secret = format.generate(CredentialKey::parse("agent-7", "credential-1")?.credential_id())?;
/// assert_eq!(secret.expose_secret().len(), "acme_".len() + 32 + 6);
/// assert!(format.fits(&secret));
/// assert_eq!(format.pattern(), r"\bacme_[0-9A-Za-z]{38}\b");
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFormat {
    prefix: Cow<'static, str>,
    alphabet: Alphabet,
    digits: usize,
    has_checksum: bool,
    names_credential: bool,
    entropy: usize,
}

/// The digits of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Alphabet {
    /// `0-9 a-f`: 4 bits a digit.
    Hex,
    /// `0-9 A-Z a-z`: 5.95 bits a digit.
    Base62,
    /// `A-Z a-z 0-9 - _`: 6 bits a digit.
    Base64Url,
}

impl Alphabet {
    fn digits(self) -> &'static [u8] {
        match self {
            Self::Hex => b"0123456789abcdef",
            Self::Base62 => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            Self::Base64Url => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        }
    }

    fn has(self, byte: u8) -> bool {
        match self {
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Base62 => byte.is_ascii_alphanumeric(),
            Self::Base64Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
        }
    }

    /// Bits of so many random digits, rounded down.
    fn entropy(self, digits: usize) -> usize {
        match self {
            Self::Hex => digits * 4,
            Self::Base62 => digits * 5954 / 1000,
            Self::Base64Url => digits * 6,
        }
    }

    /// The digits as a class of a regular expression.
    fn class(self) -> &'static str {
        match self {
            Self::Hex => "[0-9a-f]",
            Self::Base62 => "[0-9A-Za-z]",
            Self::Base64Url => "[0-9A-Za-z_-]",
        }
    }
}

impl SecretFormat {
    /// The documented form: `sk_live_` and 64 lower-case hexadecimal digits, 256 bits. The default of a store, and the server's.
    ///
    /// Its prefix is Stripe's too, so scanners may report a leaked key there. Choose a prefix of your own where you can.
    #[must_use]
    pub const fn documented() -> Self {
        Self {
            prefix: Cow::Borrowed(ClientSecret::GENERATED_PREFIX),
            alphabet: Alphabet::Hex,
            digits: 64,
            has_checksum: false,
            names_credential: false,
            entropy: 256,
        }
    }

    /// What every secret of this form begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many random bits a secret has: computed, or as it was declared.
    #[must_use]
    pub fn entropy(&self) -> usize {
        self.entropy
    }

    /// Whether the text has this form, its checksum included. Says nothing about who made it.
    #[must_use]
    pub fn fits(&self, secret: &ClientSecret) -> bool {
        self.named_id(secret).is_some()
    }

    /// The credential that a key of this form names. Only a claim: anybody can write a key that names one.
    #[must_use]
    pub fn credential_id(&self, secret: &ClientSecret) -> Option<CredentialId> {
        self.named_id(secret).flatten()
    }

    /// Generates a secret of this form from the operating system's randomness. `credential` is part of it where the form
    /// [names the credential](SecretFormatBuilder::naming_the_credential).
    ///
    /// # Errors
    /// `Internal` when the operating system gives no randomness.
    pub fn generate(&self, credential: &CredentialId) -> Result<ClientSecret> {
        let id = self.names_credential.then(|| escape(credential.as_str()));
        self.make(id.as_deref())
    }

    /// A secret without the id of a credential, also where the form has one: as a stand-in.
    pub(crate) fn make(&self, id: Option<&str>) -> Result<ClientSecret> {
        // Exact capacity: a growing string would leave unwiped copies behind.
        let id_len = id.map_or(0, |id| id.len() + 1);
        let mut text = String::with_capacity(self.prefix.len() + id_len + self.tail_len());
        text.push_str(&self.prefix);
        if let Some(id) = id {
            text.push_str(id);
            text.push(AFTER_ID);
        }
        self.push_random(&mut text)?;
        if self.has_checksum {
            let checksum = checksum(&text[self.prefix.len()..]);
            text.extend(checksum.iter().map(|&digit| char::from(digit)));
        }
        Ok(ClientSecret::from(text))
    }

    /// Takes each byte's low bits, and leaves out those that are no digit: so that each digit is as likely.
    fn push_random(&self, text: &mut String) -> Result<()> {
        let alphabet = self.alphabet.digits();
        let mask = alphabet.len().next_power_of_two() - 1;
        let mut random = Zeroizing::new([0_u8; 64]);
        let mut missing = self.digits;
        while missing > 0 {
            getrandom::fill(random.as_mut_slice()).map_err(|_| {
                Error::new(ErrorKind::Internal, "the operating system gave no randomness for a new secret")
            })?;
            let drawn = random.iter().filter_map(|&byte| alphabet.get(usize::from(byte) & mask)).take(missing);
            missing -= drawn.map(|&digit| text.push(char::from(digit))).count();
        }
        Ok(())
    }

    /// `None` when the text does not have this form; the id where it has one.
    fn named_id(&self, secret: &ClientSecret) -> Option<Option<CredentialId>> {
        let text = secret.expose_secret();
        let body = text.strip_prefix(&*self.prefix)?;
        let (id, tail) = body.split_at_checked(body.len().checked_sub(self.tail_len())?)?;
        let (digits, sum) = tail.split_at_checked(self.digits)?;
        if !digits.bytes().all(|digit| self.alphabet.has(digit)) {
            return None;
        }
        // Both are of the candidate: where they differ tells nothing of a secret.
        if self.has_checksum && checksum(&body[..body.len() - CHECKSUM_LEN]).as_slice() != sum.as_bytes() {
            return None;
        }
        if !self.names_credential {
            return id.is_empty().then_some(None);
        }
        CredentialId::parse(&unescape(id.strip_suffix(AFTER_ID)?)?).ok().map(Some)
    }

    /// Length of what stands behind prefix and id.
    fn tail_len(&self) -> usize {
        self.digits + if self.has_checksum { CHECKSUM_LEN } else { 0 }
    }

    /// Length of the shortest secret of this form.
    pub(crate) fn shortest(&self) -> usize {
        self.prefix.len() + self.tail_len() + if self.names_credential { 2 } else { 0 }
    }

    /// Length of the longest secret of this form.
    pub(crate) fn longest(&self) -> usize {
        // Each byte of an id of 255 takes three at the most.
        self.prefix.len() + self.tail_len() + if self.names_credential { 3 * 255 + 1 } else { 0 }
    }

    /// A regular expression that finds secrets of this form in any text, for the rule of a secret scanner. It is one of RE2,
    /// of Python's `re` and of crate `regex`.
    ///
    /// Give the form a prefix: without one, whatever is random looks like a key.
    #[must_use]
    pub fn pattern(&self) -> String {
        let (prefix, class) = (&self.prefix, self.alphabet.class());
        let id = if self.names_credential { "[0-9A-Za-z._~-]+_" } else { "" };
        let tail = match (self.has_checksum, self.alphabet) {
            (false, Alphabet::Base64Url) => format!("{class}{{{}}}", self.digits),
            (true, Alphabet::Base62) => format!("{class}{{{}}}\\b", self.digits + CHECKSUM_LEN),
            (true, _) => format!("{class}{{{}}}[0-9A-Za-z]{{{CHECKSUM_LEN}}}\\b", self.digits),
            (false, _) => format!("{class}{{{}}}\\b", self.digits),
        };
        let start = if prefix.is_empty() { "" } else { "\\b" };
        format!("{start}{prefix}{id}{tail}")
    }
}

/// The CRC-32 of what stands behind the prefix, in six digits of base 62, the most significant first: as GitHub's tokens end.
fn checksum(text: &str) -> Zeroizing<[u8; CHECKSUM_LEN]> {
    let (mut rest, mut digits) = (crc32fast::hash(text.as_bytes()) as usize, Zeroizing::new([b'0'; CHECKSUM_LEN]));
    let alphabet = Alphabet::Base62.digits();
    for digit in digits.iter_mut().rev() {
        *digit = alphabet[rest % alphabet.len()];
        rest /= alphabet.len();
    }
    digits
}

#[cfg(test)]
mod tests;
