//! PBKDF2 in the forms of Hydra, Kratos, PHC, passlib, Authelia, Django, Werkzeug, LDAP, Dovecot, Spring, ASP.NET and OpenIddict.

use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::code::{adapted_base64, base64, fields, hex, number, setting};
use super::hash::Hash;
use super::parts::{Bounds, Salted, within};
use crate::backend::Verdict;
use crate::backends::forms::after_head;
use crate::error::Result;

/// A PBKDF2 digest.
#[derive(Debug)]
pub(super) struct Pbkdf2 {
    /// The function inside the HMAC.
    hash: Hash,
    rounds: u32,
    salted: Salted,
}

impl Pbkdf2 {
    /// Whether the text has the form. It may still be damaged.
    pub(super) fn is_in(text: &str) -> bool {
        body(text).is_some() || spring(text).is_some() || is_blob(text)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(spring) = spring(text) {
            return spring.read();
        }
        match body(text) {
            Some((hash, Form::Modular, body)) => modular(hash, body),
            Some((hash, Form::Django, body)) => django(hash, body),
            Some((hash, Form::Werkzeug, body)) => werkzeug(hash, body),
            None => blob(text),
        }
    }

    /// Rounds over all blocks of the output.
    fn rounds_in_all(&self) -> u64 {
        u64::from(self.rounds) * self.salted.output.len().div_ceil(self.hash.len()) as u64
    }

    pub(super) fn check(&self, bounds: &Bounds) -> Result<()> {
        within("rounds of PBKDF2", self.rounds_in_all(), bounds.pbkdf2_rounds, "max_pbkdf2_rounds")
    }

    pub(super) fn verify(&self, secret: &[u8]) -> Verdict {
        let compute = match self.hash {
            Hash::Sha1 => pbkdf2_hmac::<Sha1>,
            Hash::Sha256 => pbkdf2_hmac::<Sha256>,
            Hash::Sha512 => pbkdf2_hmac::<Sha512>,
        };
        self.salted.verdict(|output| compute(secret, &self.salted.salt, self.rounds, output))
    }

    fn new(hash: Hash, rounds: u32, salt: Vec<u8>, output: Vec<u8>) -> Option<Self> {
        Some(Self { hash, rounds: (rounds > 0).then_some(rounds)?, salted: Salted::new(salt, output)? })
    }
}

enum Form {
    Modular,
    Django,
    Werkzeug,
}

/// The forms that begin with a name: what follows it.
fn body(text: &str) -> Option<(Hash, Form, &str)> {
    let heads = [
        ("$pbkdf2-sha256$", Hash::Sha256, Form::Modular),
        ("$pbkdf2-sha512$", Hash::Sha512, Form::Modular),
        ("$pbkdf2-sha1$", Hash::Sha1, Form::Modular),
        ("$pbkdf2$", Hash::Sha1, Form::Modular),
        ("{PBKDF2-SHA256}", Hash::Sha256, Form::Modular),
        ("{PBKDF2-SHA512}", Hash::Sha512, Form::Modular),
        ("{PBKDF2-SHA1}", Hash::Sha1, Form::Modular),
        ("{PBKDF2}", Hash::Sha1, Form::Modular),
        ("pbkdf2_sha256$", Hash::Sha256, Form::Django),
        ("pbkdf2_sha512$", Hash::Sha512, Form::Django),
        ("pbkdf2_sha1$", Hash::Sha1, Form::Django),
        ("pbkdf2:sha256:", Hash::Sha256, Form::Werkzeug),
        ("pbkdf2:sha512:", Hash::Sha512, Form::Werkzeug),
        ("pbkdf2:sha1:", Hash::Sha1, Form::Werkzeug),
    ];
    heads.into_iter().find_map(|(head, hash, form)| Some((hash, form, after_head(text, head)?)))
}

/// `i=100000,l=32$salt$output` of PHC, Hydra and Kratos, `100000$salt$output` of passlib, Authelia and LDAP, and
/// `$1$salt$rounds$output` of Dovecot, whose salt is text and whose output is hexadecimal.
fn modular(hash: Hash, body: &str) -> Option<Pbkdf2> {
    if let Some(["", "1", salt, rounds, output]) = fields(body) {
        return Pbkdf2::new(hash, number(rounds)?, salt.into(), hex(output)?);
    }
    let [parameters, salt, output] = fields(body)?;
    let (salt, output) = (adapted_base64(salt)?, adapted_base64(output)?);
    let Some(rounds) = setting(parameters, "i") else {
        return Pbkdf2::new(hash, number(parameters)?, salt, output);
    };
    let stated = setting(parameters, "l").map(number);
    let agrees = stated.is_none_or(|len| len.is_some_and(|len| len as usize == output.len()));
    agrees.then(|| Pbkdf2::new(hash, number(rounds)?, salt, output)).flatten()
}

/// `100000$salt$output`: the salt is text.
fn django(hash: Hash, body: &str) -> Option<Pbkdf2> {
    let [rounds, salt, output] = fields(body)?;
    Pbkdf2::new(hash, number(rounds)?, salt.into(), base64(output)?)
}

/// `600000$salt$output`: the salt is text and never empty, and the output is as long as the function's.
fn werkzeug(hash: Hash, body: &str) -> Option<Pbkdf2> {
    let [rounds, salt, output] = fields(body)?;
    let output = hex(output).filter(|output| !salt.is_empty() && output.len() == hash.len())?;
    Pbkdf2::new(hash, number(rounds)?, salt.into(), output)
}

/// Spring's row says nothing of its parameters but the version of its defaults.
struct Spring<'a> {
    hash: Hash,
    rounds: u32,
    salt_len: usize,
    hex: &'a str,
}

fn spring(text: &str) -> Option<Spring<'_>> {
    if let Some(hex) = text.strip_prefix("{pbkdf2@SpringSecurity_v5_8}") {
        return Some(Spring { hash: Hash::Sha256, rounds: 310_000, salt_len: 16, hex });
    }
    // Dovecot and LDAP may write the same name, and always a `$` after it.
    let hex = text.strip_prefix("{pbkdf2}").filter(|rest| !rest.contains('$'))?;
    Some(Spring { hash: Hash::Sha1, rounds: 185_000, salt_len: 8, hex })
}

impl Spring<'_> {
    fn read(&self) -> Option<Pbkdf2> {
        let mut salt = hex(self.hex)?;
        let output = salt.split_off_checked(self.salt_len)?;
        if output.len() != 32 {
            return None;
        }
        Pbkdf2::new(self.hash, self.rounds, salt, output)
    }
}

/// `Vec::split_off` that does not panic.
trait SplitOffChecked: Sized {
    fn split_off_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitOffChecked for Vec<u8> {
    fn split_off_checked(&mut self, at: usize) -> Option<Self> {
        (at <= self.len()).then(|| self.split_off(at))
    }
}

/// ASP.NET Identity's row is base64 of a marker, the parameters, the salt and the output, and OpenIddict's too.
fn is_blob(text: &str) -> bool {
    // The first bytes are zero, or one and three zeros: what base64 begins with `A` for.
    (text.starts_with("AQAAAA") || text.starts_with('A') && text.len() == 68) && base64(text).is_some()
}

fn blob(text: &str) -> Option<Pbkdf2> {
    let bytes = base64(text)?;
    match bytes.split_first()? {
        // Version 2: 1000 rounds, 16 bytes of salt, 32 of output.
        (0, rest) if rest.len() == 48 => {
            let (salt, output) = rest.split_at(16);
            Pbkdf2::new(Hash::Sha1, 1_000, salt.to_vec(), output.to_vec())
        }
        // Version 3: function, rounds and length of the salt, each in four bytes, the highest first.
        (1, rest) => {
            let (head, rest) = rest.split_at_checked(12)?;
            let word = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
            let hash = match word(0)? {
                0 => Hash::Sha1,
                1 => Hash::Sha256,
                2 => Hash::Sha512,
                _ => return None,
            };
            let (salt, output) = rest.split_at_checked(usize::try_from(word(8)?).ok()?)?;
            Pbkdf2::new(hash, word(4)?, salt.to_vec(), output.to_vec())
        }
        _ => None,
    }
}

#[cfg(test)]
impl Pbkdf2 {
    /// For vectors whose parts are bytes, and in no form of a row.
    pub(super) fn of_parts(hash: &str, rounds: u32, salt: Vec<u8>, output: Vec<u8>) -> Option<Self> {
        let hash = match hash {
            "sha1" => Hash::Sha1,
            "sha256" => Hash::Sha256,
            _ => Hash::Sha512,
        };
        Self::new(hash, rounds, salt, output)
    }
}
