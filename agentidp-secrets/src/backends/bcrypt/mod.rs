//! bcrypt digests in the record: the documented default.
//!
//! **Stores** nothing of its own: the record is the digest, `$2b$10$` with 53 more characters. Digests of `$2a$`, `$2x$`
//! and `$2y$` verify too (`$2x$` marks an implementation that went wrong on bytes above 127: such a secret will not
//! match; generated ones are ASCII).
//!
//! **Cost**: each step doubles the time; cost 10 takes about 60 ms of a core, and four digests that are verified at once
//! take 60 to 80 ms together (feature `bcrypt-lanes`, on by default). A generated secret carries 256 bits, so a higher
//! cost buys nothing but time; it is there for secrets that people chose.
//!
//! **Fails** with `Malformed` on a damaged digest or a cost outside 4 to 14, and with `InvalidSecret` when a secret
//! longer than 72 bytes is to be stored. bcrypt reads 72 bytes and no more; a generated secret has exactly 72, so
//! without the length check the right secret with anything appended would match.
//!
//! **In and out**: rows of other bcrypt libraries are records as they are; see
//! [`StoredSecret::identify`](crate::StoredSecret::identify). Out: rotate, or upgrade, with another primary backend.

mod builder;
#[cfg(feature = "bcrypt-lanes")]
mod initial;
#[cfg(feature = "bcrypt-lanes")]
mod lanes;
#[cfg(feature = "bcrypt-lanes")]
mod text;

use std::ops::RangeInclusive;

use bcrypt::HashParts;

#[cfg(feature = "bcrypt-lanes")]
use super::digest::Attempt;
use super::digest::Digester;
use crate::backend::{BackendInfo, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::ClientSecret;

pub use self::builder::BcryptBuilder;

/// bcrypt, behind the length check that it needs.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use agentidp_secrets::backends::Bcrypt;
/// use agentidp_secrets::{ClientSecret, CredentialKey, SecretBackend, Verdict};
///
/// let bcrypt = Bcrypt::builder().build()?;
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// let secret = ClientSecret::generate()?;
/// let record = bcrypt.store(&key, &secret).await?;
/// assert!(record.payload().starts_with("$2b$10$"));
///
/// let appended = ClientSecret::from(format!("{}x", secret.expose_secret()));
/// assert_eq!(bcrypt.verify(&key, &record, &appended).await?, Verdict::Mismatch);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bcrypt {
    info: BackendInfo,
    cost: u32,
}

impl Bcrypt {
    /// The documented cost, and the least that OWASP recommends.
    pub const DEFAULT_COST: u32 = 10;

    /// The most bytes that bcrypt reads.
    pub const MAX_SECRET_LEN: usize = 72;

    /// Costs that new digests may have. Cost 14 is most of a second.
    const CONFIGURABLE: RangeInclusive<u32> = 10..=14;

    /// Costs of stored digests that are computed. Below 4 there is no bcrypt; above 14 a row could hold up a core for
    /// seconds to hours, and cost 31 has overflowed to no work at all in another library (CVE-2022-22976).
    const COMPUTABLE: RangeInclusive<u32> = 4..=14;

    /// The most digests that are verified together.
    #[cfg(feature = "bcrypt-lanes")]
    const LANES: usize = lanes::MOST;
    #[cfg(not(feature = "bcrypt-lanes"))]
    const LANES: usize = 1;

    fn verdict(&self, cost: u32, matches: bool) -> Verdict {
        match matches {
            true if cost < self.cost => Verdict::MatchOutdated,
            true => Verdict::Match,
            false => Verdict::Mismatch,
        }
    }
}

impl Digester for Bcrypt {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    #[expect(clippy::disallowed_methods, reason = "the frame has refused what is longer than 72 bytes")]
    fn digest(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<String> {
        bcrypt::hash(secret.expose_secret(), self.cost)
            .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a salt"))
    }

    #[cfg(not(feature = "bcrypt-lanes"))]
    #[expect(clippy::disallowed_methods, reason = "the frame has refused what is longer than 72 bytes")]
    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let cost = sound(digest)?.get_cost();
        bcrypt::verify(candidate.expose_secret(), digest)
            .map(|matches| self.verdict(cost, matches))
            .map_err(|_| Error::new(ErrorKind::Internal, "a sound bcrypt digest could not be computed"))
    }

    #[cfg(feature = "bcrypt-lanes")]
    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let parts = sound(digest)?;
        let secret = candidate.expose_secret().as_bytes();
        let [output] = lanes::bcrypt(parts.get_cost(), [secret], [parts.get_salt_raw()]);
        Ok(self.verdict(parts.get_cost(), text::ends_in(digest, &output)))
    }

    /// The cost: lanes that run in lock step end together.
    #[cfg(feature = "bcrypt-lanes")]
    fn group(&self, digest: &str) -> Option<u32> {
        sound(digest).ok().map(|parts| parts.get_cost())
    }

    #[cfg(feature = "bcrypt-lanes")]
    fn verify_group(&self, cost: u32, attempts: &[Attempt<'_>]) -> Vec<Result<Verdict>> {
        match attempts {
            [a, b] => self.in_lanes(cost, [a, b]),
            [a, b, c] => self.in_lanes(cost, [a, b, c]),
            [a, b, c, d] => self.in_lanes(cost, [a, b, c, d]),
            _ => attempts.iter().map(|attempt| self.verify(attempt.key, attempt.digest, attempt.candidate)).collect(),
        }
    }
}

#[cfg(feature = "bcrypt-lanes")]
impl Bcrypt {
    fn in_lanes<const N: usize>(&self, cost: u32, attempts: [&Attempt<'_>; N]) -> Vec<Result<Verdict>> {
        let secrets = attempts.map(|attempt| attempt.candidate.expose_secret().as_bytes());
        let salts = attempts.map(|attempt| match sound(attempt.digest) {
            Ok(parts) if parts.get_cost() == cost => Ok(parts.get_salt_raw()),
            Ok(_) => Err(Error::new(ErrorKind::Internal, "a bcrypt digest was put beside one of another cost")),
            Err(error) => Err(error),
        });
        // A lane without a sound digest runs along for nobody.
        let outputs = lanes::bcrypt(cost, secrets, salts.each_ref().map(|salt| *salt.as_ref().unwrap_or(&[0; 16])));
        let decide = |((attempt, salt), output): ((&Attempt<'_>, Result<_>), _)| {
            salt.map(|_| self.verdict(cost, text::ends_in(attempt.digest, &output)))
        };
        attempts.into_iter().zip(salts).zip(outputs).map(decide).collect()
    }
}

/// Parses the whole digest and bounds its cost, before any work is done.
fn sound(digest: &str) -> Result<HashParts> {
    let malformed = || Error::new(ErrorKind::Malformed, "the bcrypt digest is damaged; rotate the credential");
    let parts = digest.parse::<HashParts>().map_err(|_| malformed())?;
    // The parser takes a sign for a digit.
    if digest.contains('+') {
        return Err(malformed());
    }
    if Bcrypt::COMPUTABLE.contains(&parts.get_cost()) {
        Ok(parts)
    } else {
        Err(Error::new(ErrorKind::Malformed, "the bcrypt digest has a cost outside 4 to 14; rotate the credential"))
    }
}

#[cfg(test)]
mod tests;
