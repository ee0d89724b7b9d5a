//! bcrypt digests in the record: the documented default.
//!
//! **Stores** nothing of its own: the record is the digest, `$2b$10$` with 53 more characters. Digests of `$2a$`, `$2x$`
//! and `$2y$` verify too (`$2x$` marks an implementation that went wrong on bytes above 127: such a secret will not
//! match; generated ones are ASCII).
//!
//! **Cost**: each step doubles the time; cost 10 takes about 60 ms of a core, and four digests that are verified at once
//! take 60 to 80 ms together (feature `bcrypt-lanes`, on by default). The first verification in a process takes ten
//! milliseconds more, to find out which of two ways is the quicker one here for a digest with none beside it. A generated
//! secret carries 256 bits, so a higher cost buys nothing but time; it is there for secrets that people chose.
//!
//! **Fails** with `Malformed` on a damaged digest, or a cost below 4 or above
//! [`max_stored_cost`](BcryptBuilder::max_stored_cost), before any work is done; and with `InvalidSecret` when a secret
//! longer than 72 bytes is to be stored. bcrypt reads 72 bytes and no more; a generated secret has exactly 72, so
//! without the length check the right secret with anything appended would match.
//!
//! **In and out**: rows of other bcrypt libraries are records as they are: bare, with the braces of Dovecot, LDAP and Spring
//! (`{BLF-CRYPT}`, `{CRYPT}`, `{bcrypt}`), and as Django's `bcrypt$$2b$…`. Out: rotate, or upgrade, with another primary backend.

#[cfg(feature = "bcrypt-lanes")]
mod alone;
mod builder;
#[cfg(feature = "bcrypt-lanes")]
mod initial;
#[cfg(feature = "bcrypt-lanes")]
mod lanes;
#[cfg(feature = "bcrypt-lanes")]
mod text;

use bcrypt::HashParts;
// Its feature has the `bcrypt` crate wipe its key schedules.
use blowfish as _;

#[cfg(feature = "bcrypt-lanes")]
use super::digest::Attempt;
use super::digest::Digester;
use super::forms;
use crate::backend::{BackendInfo, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::record::StoredSecret;
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
    max_stored_cost: u32,
}

impl Bcrypt {
    /// The documented cost, and the least that OWASP recommends.
    pub const DEFAULT_COST: u32 = 10;

    /// The most bytes that bcrypt reads.
    pub const MAX_SECRET_LEN: usize = 72;

    /// The highest cost of a stored digest that is computed unless set: most of a second.
    pub const DEFAULT_MAX_STORED_COST: u32 = 14;

    /// Below this there is no bcrypt.
    const LEAST_COST: u32 = 4;

    /// The most digests that are verified together.
    #[cfg(feature = "bcrypt-lanes")]
    const LANES: usize = lanes::MOST;
    #[cfg(not(feature = "bcrypt-lanes"))]
    const LANES: usize = 1;

    fn verdict(&self, digest: &str, cost: u32, matches: bool) -> Verdict {
        match matches {
            true if cost < self.cost || bare(digest) != digest => Verdict::MatchOutdated,
            true => Verdict::Match,
            false => Verdict::Mismatch,
        }
    }

    /// Parses the whole digest and bounds its cost, before any work is done.
    fn sound(&self, digest: &str) -> Result<HashParts> {
        let malformed = || Error::new(ErrorKind::Malformed, "the bcrypt digest is damaged; rotate the credential");
        let digest = bare(digest);
        let parts = digest.parse::<HashParts>().map_err(|_| malformed())?;
        // The parser takes a sign for a digit.
        if digest.contains('+') || parts.get_cost() < Self::LEAST_COST {
            return Err(malformed());
        }
        if parts.get_cost() <= self.max_stored_cost {
            return Ok(parts);
        }
        let message = format!(
            "the bcrypt digest has cost {}, and {} is the most that is computed; raise `BcryptBuilder::max_stored_cost` or \
             rotate the credential",
            parts.get_cost(),
            self.max_stored_cost
        );
        Err(Error::new(ErrorKind::Malformed, message))
    }
}

/// The cost of a digest, for a report.
fn parameters(stored: &StoredSecret) -> Option<String> {
    let parts = bare(stored.payload()).parse::<HashParts>().ok()?;
    Some(format!("cost={}", parts.get_cost()))
}

impl Digester for Bcrypt {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        forms::bcrypt_in(text).is_some()
    }

    #[expect(clippy::disallowed_methods, reason = "the frame has refused what is longer than 72 bytes")]
    fn digest(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<String> {
        bcrypt::hash(secret.expose_secret(), self.cost)
            .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a salt"))
    }

    #[cfg(not(feature = "bcrypt-lanes"))]
    #[expect(clippy::disallowed_methods, reason = "the frame has refused what is longer than 72 bytes")]
    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let cost = self.sound(digest)?.get_cost();
        bcrypt::verify(candidate.expose_secret(), bare(digest))
            .map(|matches| self.verdict(digest, cost, matches))
            .map_err(|_| Error::new(ErrorKind::Internal, "a sound bcrypt digest could not be computed"))
    }

    #[cfg(feature = "bcrypt-lanes")]
    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let parts = self.sound(digest)?;
        let secret = candidate.expose_secret().as_bytes();
        let output = alone::bcrypt(parts.get_cost(), secret, parts.get_salt_raw());
        Ok(self.verdict(digest, parts.get_cost(), text::ends_in(bare(digest), &output)))
    }

    /// The cost: lanes that run in lock step end together.
    #[cfg(feature = "bcrypt-lanes")]
    fn group(&self, digest: &str) -> Option<u32> {
        self.sound(digest).ok().map(|parts| parts.get_cost())
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
        let salts = attempts.map(|attempt| match self.sound(attempt.digest) {
            Ok(parts) if parts.get_cost() == cost => Ok(parts.get_salt_raw()),
            Ok(_) => Err(Error::new(ErrorKind::Internal, "a bcrypt digest was put beside one of another cost")),
            Err(error) => Err(error),
        });
        // A lane without a sound digest runs along for nobody.
        let outputs = lanes::bcrypt(cost, secrets, salts.each_ref().map(|salt| *salt.as_ref().unwrap_or(&[0; 16])));
        let decide = |((attempt, salt), output): ((&Attempt<'_>, Result<_>), _)| {
            salt.map(|_| self.verdict(attempt.digest, cost, text::ends_in(bare(attempt.digest), &output)))
        };
        attempts.into_iter().zip(salts).zip(outputs).map(decide).collect()
    }
}

/// The digest without what other software writes around it. What is no digest stays as it is.
fn bare(digest: &str) -> &str {
    forms::bcrypt_in(digest).unwrap_or(digest)
}

#[cfg(test)]
mod tests;
