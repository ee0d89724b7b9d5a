//! Plain and salted sums in the forms of LDAP, Dovecot, Spring and Django, and bare ones as IdentityServer and Doorkeeper have them.

use std::fmt;

use subtle::ConstantTimeEq;

use super::code::{base64, base64url, fields, hex, standard_base64};
use super::hash::Hash;
use crate::backend::Verdict;

/// A sum that was read from a row.
pub(super) struct Sum {
    hash: Hash,
    salt: Salt,
    output: Vec<u8>,
}

/// What is summed beside the secret.
enum Salt {
    None,
    Before(Vec<u8>),
    After(Vec<u8>),
    /// Spring's `StandardPasswordEncoder`: before the secret, and 1024 times over.
    Repeated(Vec<u8>),
}

/// Which texts are sums though they name no function. A secret in plain text looks the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bare {
    pub(super) hex: bool,
    pub(super) base64: bool,
    pub(super) base64url: bool,
}

impl Sum {
    /// Rounds of Spring's `StandardPasswordEncoder`.
    const REPEATED: usize = 1024;

    /// The sum in the text, where the text is one from its first to its last character.
    pub(super) fn read(text: &str, bare: Bare) -> Option<Self> {
        match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((name, body)) => braced(name, body),
            None => named(text).or_else(|| bare.read(text)),
        }
    }

    pub(super) fn verify(&self, secret: &[u8]) -> Verdict {
        let output = match &self.salt {
            Salt::None => self.hash.sum(&[secret]),
            Salt::Before(salt) => self.hash.sum(&[salt, secret]),
            Salt::After(salt) => self.hash.sum(&[secret, salt]),
            Salt::Repeated(salt) => {
                let first = self.hash.sum(&[salt, secret]);
                (1..Self::REPEATED).fold(first, |output, _| self.hash.sum(&[&output]))
            }
        };
        if output.ct_eq(&self.output).into() { Verdict::Match } else { Verdict::Mismatch }
    }

    fn new(hash: Hash, salt: Salt, output: Vec<u8>) -> Option<Self> {
        (output.len() == hash.len()).then_some(Self { hash, salt, output })
    }
}

impl Bare {
    /// Only the sum itself, of 256 or 512 bits.
    fn read(self, text: &str) -> Option<Sum> {
        let (hash, output) = match text.len() {
            64 if self.hex => (Hash::Sha256, hex(text)),
            128 if self.hex => (Hash::Sha512, hex(text)),
            44 if self.base64 && text.ends_with('=') => (Hash::Sha256, standard_base64(text)),
            88 if self.base64 && text.ends_with("==") => (Hash::Sha512, standard_base64(text)),
            43 if self.base64url => (Hash::Sha256, base64url(text)),
            86 if self.base64url => (Hash::Sha512, base64url(text)),
            _ => return None,
        };
        Sum::new(hash, Salt::None, output?)
    }
}

/// `sha1$salt$output` of Django, whose salt is text and comes first.
fn named(text: &str) -> Option<Sum> {
    let ["sha1", salt, output] = fields(text)? else { return None };
    Sum::new(Hash::Sha1, Salt::Before(salt.into()), hex(output)?)
}

/// Spring's names are exact. Its `{sha256}` may be LDAP's as well, whose sums have another length.
fn braced(name: &str, body: &str) -> Option<Sum> {
    match name {
        "SHA-1" => spring(Hash::Sha1, body),
        "SHA-256" => spring(Hash::Sha256, body),
        "SHA-512" => spring(Hash::Sha512, body),
        "sha256" => spring_standard(body).or_else(|| ldap(name, body)),
        "ldap" => {
            let (name, body) = body.strip_prefix('{')?.split_once('}')?;
            let is_springs = ["SHA", "SSHA"].iter().any(|scheme| name.eq_ignore_ascii_case(scheme));
            is_springs.then(|| ldap(name, body)).flatten()
        }
        _ => ldap(name, body),
    }
}

/// The schemes of LDAP and Dovecot, in any case.
fn ldap(name: &str, body: &str) -> Option<Sum> {
    // Dovecot may say how the bytes are written; they differ in length too.
    let (scheme, _written) = name.split_once('.').unwrap_or((name, ""));
    let (hash, is_salted) = match scheme.to_ascii_uppercase().as_str() {
        "SHA" | "SHA1" => (Hash::Sha1, false),
        "SHA256" => (Hash::Sha256, false),
        "SHA512" => (Hash::Sha512, false),
        "SSHA" => (Hash::Sha1, true),
        "SSHA256" => (Hash::Sha256, true),
        "SSHA512" => (Hash::Sha512, true),
        _ => return None,
    };
    let is_hex = body.len() >= 2 * hash.len() && body.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut output = if is_hex { hex(body)? } else { base64(body)? };
    if !is_salted {
        return Sum::new(hash, Salt::None, output);
    }
    if output.len() <= hash.len() {
        return None;
    }
    let salt = output.split_off(hash.len());
    Sum::new(hash, Salt::After(salt), output)
}

/// `{salt}output` of Spring's `MessageDigestPasswordEncoder`: the braces around the salt are summed as well.
fn spring(hash: Hash, body: &str) -> Option<Sum> {
    let (salt, output) = match body.find('}') {
        Some(end) if body.starts_with('{') => body.split_at(end + 1),
        _ => ("", body),
    };
    let output = if output.len() == 2 * hash.len() { hex(output)? } else { base64(output)? };
    Sum::new(hash, Salt::After(salt.into()), output)
}

/// Spring's `StandardPasswordEncoder`: eight bytes of salt and the output, in hexadecimal digits.
fn spring_standard(body: &str) -> Option<Sum> {
    let mut salt = hex(body)?;
    if salt.len() != 8 + Hash::Sha256.len() {
        return None;
    }
    let output = salt.split_off(8);
    Sum::new(Hash::Sha256, Salt::Repeated(salt), output)
}

/// Shows the function, and neither salt nor output.
impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sum").field("hash", &self.hash).finish_non_exhaustive()
    }
}
