//! scrypt in the forms of PHC, passlib, Kratos, Spring, Django and Werkzeug.

use scrypt::Params;

use super::code::{adapted_base64, base64, fields, hex, number, setting};
use super::parts::{Bounds, Salted, damaged, within};
use crate::backend::Verdict;
use crate::error::{Error, ErrorKind, Result};

/// A scrypt digest.
#[derive(Debug)]
pub(super) struct Scrypt {
    log_n: u8,
    r: u32,
    p: u32,
    salted: Salted,
}

impl Scrypt {
    /// What all lanes together may pass over, in times of the memory that one of them may take.
    const PASSES: u32 = 4;
    /// What the blocks of all lanes, and one more to work in, may take beside the table, in bytes. A block is two rounds of PBKDF2 and
    /// more, so this is a bound of work as well. r times p then stays far below the 2^30 of the standard.
    const BLOCKS: u128 = 1 << 20;

    /// Whether the text has the form. It may still be damaged.
    pub(super) fn is_in(text: &str) -> bool {
        ["$scrypt$", "scrypt$", "scrypt:"].iter().any(|head| text.starts_with(head)) || spring(text).is_some()
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(body) = text.strip_prefix("$scrypt$") {
            return modular(body);
        }
        if let Some(body) = text.strip_prefix("scrypt$") {
            return django(body);
        }
        match text.strip_prefix("scrypt:") {
            Some(body) => werkzeug(body),
            None => spring(text).and_then(spring_body),
        }
    }

    /// In bytes, and the largest product last: each fits, because what comes before it is within its bound.
    pub(super) fn check(&self, bounds: &Bounds) -> Result<()> {
        let bound = |bytes: u128, most| {
            let kib = u64::try_from(bytes.div_ceil(1024)).unwrap_or(u64::MAX);
            within("KiB in scrypt", kib, most, "max_scrypt_memory_kib")
        };
        let (block, lanes) = (128 * u128::from(self.r), u128::from(self.p));
        let table = block << self.log_n;
        bound(table, bounds.scrypt_memory_kib)?;
        bound(table * lanes, bounds.scrypt_memory_kib.saturating_mul(Self::PASSES))?;
        if block * (lanes + 1) > Self::BLOCKS {
            let message = "the scrypt digest asks for more lanes than any software writes; rotate the credential";
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        Ok(())
    }

    /// # Errors
    /// `Malformed` for parameters that scrypt does not have, and `Internal` for what it cannot compute.
    pub(super) fn verify(&self, secret: &[u8]) -> Result<Verdict> {
        let params = Params::new(self.log_n, self.r, self.p).map_err(|_| damaged())?;
        let mut outcome = Ok(());
        let verdict =
            self.salted.verdict(|output| outcome = scrypt::scrypt(secret, &self.salted.salt, &params, output));
        match outcome {
            Ok(()) => Ok(verdict),
            Err(_) => Err(Error::new(ErrorKind::Internal, "a sound scrypt digest could not be computed")),
        }
    }

    fn new(log_n: u32, r: u32, p: u32, salt: Vec<u8>, output: Vec<u8>) -> Option<Self> {
        let log_n = u8::try_from(log_n).ok().filter(|log_n| (1..64).contains(log_n))?;
        (r > 0 && p > 0).then_some(())?;
        Some(Self { log_n, r, p, salted: Salted::new(salt, output)? })
    }
}

/// `ln=16,r=8,p=1$salt$output`. Kratos writes N itself under the name of its logarithm.
fn modular(body: &str) -> Option<Scrypt> {
    let [parameters, salt, output] = fields(body)?;
    let asked = |name| number(setting(parameters, name)?);
    let ln = asked("ln")?;
    let log_n = if ln < 64 { ln } else { log2(ln)? };
    Scrypt::new(log_n, asked("r")?, asked("p")?, adapted_base64(salt)?, adapted_base64(output)?)
}

/// `16384$salt$8$1$output`: the salt is text.
fn django(body: &str) -> Option<Scrypt> {
    let [n, salt, r, p, output] = fields(body)?;
    Scrypt::new(log2(number(n)?)?, number(r)?, number(p)?, salt.into(), base64(output)?)
}

/// `32768:8:1$salt$output`: the salt is text and never empty, and the output has 64 bytes.
fn werkzeug(body: &str) -> Option<Scrypt> {
    let [parameters, salt, output] = fields(body)?;
    let [n, r, p] = parameters.split(':').collect::<Vec<_>>().try_into().ok()?;
    let output = hex(output).filter(|output| !salt.is_empty() && output.len() == 64)?;
    Scrypt::new(log2(number(n)?)?, number(r)?, number(p)?, salt.into(), output)
}

fn spring(text: &str) -> Option<&str> {
    ["{scrypt}", "{scrypt@SpringSecurity_v5_8}"].iter().find_map(|head| text.strip_prefix(head))
}

/// `$e0801$salt$output`: the logarithm of N, r and p in hexadecimal digits, two each for the last ones.
fn spring_body(body: &str) -> Option<Scrypt> {
    let ["", parameters, salt, output] = fields(body)? else { return None };
    let all = u32::from_str_radix(parameters, 16).ok().filter(|_| !parameters.starts_with('+'))?;
    Scrypt::new(all >> 16, all >> 8 & 0xff, all & 0xff, base64(salt)?, base64(output)?)
}

fn log2(n: u32) -> Option<u32> {
    n.is_power_of_two().then(|| n.trailing_zeros())
}
