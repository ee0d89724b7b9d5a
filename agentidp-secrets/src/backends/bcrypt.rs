//! bcrypt digests in the record: the documented default.
//!
//! **Stores** nothing of its own: the record is the digest, `$2b$10$` with 53 more characters. Digests of `$2a$`, `$2x$`
//! and `$2y$` verify too (`$2x$` marks an implementation that went wrong on bytes above 127: such a secret will not
//! match; generated ones are ASCII).
//!
//! **Cost**: each step doubles the time; cost 10 takes about 50 ms of a core. A generated secret carries 256 bits, so a
//! higher cost buys nothing but time; it is there for secrets that people chose.
//!
//! **Fails** with `Malformed` on a damaged digest or a cost outside 4 to 14, and with `InvalidSecret` when a secret
//! longer than 72 bytes is to be stored. bcrypt reads 72 bytes and no more; a generated secret has exactly 72, so
//! without the length check the right secret with anything appended would match.
//!
//! **In and out**: rows of other bcrypt libraries are records as they are; see
//! [`StoredSecret::identify`](crate::StoredSecret::identify). Out: rotate, or upgrade, with another primary backend.

use std::ops::RangeInclusive;

use bcrypt::HashParts;

use super::digest::{DigestBackend, Digester};
use crate::backend::{BackendInfo, Custody, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::record::BackendId;
use crate::secret::ClientSecret;

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

    /// Starts from [`DEFAULT_COST`](Self::DEFAULT_COST) and as many digests at once as there are cores.
    pub fn builder() -> BcryptBuilder {
        BcryptBuilder { cost: Self::DEFAULT_COST, max_concurrency: None, costs: Self::CONFIGURABLE }
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

    #[expect(clippy::disallowed_methods, reason = "the frame has refused what is longer than 72 bytes")]
    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let cost = sound_cost(digest)?;
        match bcrypt::verify(candidate.expose_secret(), digest) {
            Ok(true) if cost < self.cost => Ok(Verdict::MatchOutdated),
            Ok(true) => Ok(Verdict::Match),
            Ok(false) => Ok(Verdict::Mismatch),
            Err(_) => Err(Error::new(ErrorKind::Internal, "a sound bcrypt digest could not be computed")),
        }
    }
}

/// Parses the whole digest and bounds its cost, before any work is done.
fn sound_cost(digest: &str) -> Result<u32> {
    let malformed = || Error::new(ErrorKind::Malformed, "the bcrypt digest is damaged; rotate the credential");
    let cost = digest.parse::<HashParts>().map_err(|_| malformed())?.get_cost();
    // The parser takes a sign for a digit.
    if digest.contains('+') {
        return Err(malformed());
    }
    if Bcrypt::COMPUTABLE.contains(&cost) {
        Ok(cost)
    } else {
        Err(Error::new(ErrorKind::Malformed, "the bcrypt digest has a cost outside 4 to 14; rotate the credential"))
    }
}

/// Settings of [`Bcrypt`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BcryptBuilder {
    cost: u32,
    max_concurrency: Option<usize>,
    costs: RangeInclusive<u32>,
}

impl BcryptBuilder {
    /// Sets the cost of new digests, 10 to 14. A match on a digest of lower cost is
    /// [`MatchOutdated`](Verdict::MatchOutdated).
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// Sets how many digests are computed at once; see [`DigestBackend`].
    pub fn max_concurrency(mut self, digests: usize) -> Self {
        self.max_concurrency = Some(digests);
        self
    }

    /// Cost 4, for tests only: a digest takes under a millisecond and protects accordingly.
    pub fn minimum_cost_for_tests(mut self) -> Self {
        self.costs = Bcrypt::COMPUTABLE;
        self.cost(*Bcrypt::COMPUTABLE.start())
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when the cost is outside 10 to 14 or `max_concurrency` is zero.
    pub fn build(self) -> Result<DigestBackend<Bcrypt>> {
        if !self.costs.contains(&self.cost) {
            let message = format!("the bcrypt cost must be 10 to 14, not {}", self.cost);
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_backend(BackendId::BCRYPT));
        }
        let info = BackendInfo::new(BackendId::BCRYPT, Custody::Record).with_max_secret_len(Bcrypt::MAX_SECRET_LEN);
        let digester = Bcrypt { info, cost: self.cost };
        match self.max_concurrency {
            Some(digests) => DigestBackend::with_max_concurrency(digester, digests),
            None => Ok(DigestBackend::new(digester)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::SecretBackend;
    use crate::record::StoredSecret;

    /// 72 bytes in the form of a generated secret; the digests of it below were made elsewhere.
    const SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    async fn verify(digest: &str, candidate: &str) -> Result<Verdict> {
        let key = CredentialKey::parse("client", "credential").unwrap();
        let bcrypt = Bcrypt::builder().build().unwrap();
        bcrypt.verify(&key, &StoredSecret::new(BackendId::BCRYPT, digest), &ClientSecret::from(candidate)).await
    }

    #[tokio::test]
    async fn digests_of_other_libraries_verify() {
        let made_elsewhere = [
            // Python's bcrypt 5.0.0
            ("$2a$04$onsl.2/97F10KcWM5xTob.gKlxzkx2nORtD2wMHCxsc2VTew/aq9e", SECRET, Verdict::MatchOutdated),
            ("$2b$10$yt3U5y2WXw1qPvAI/V/I9ec8xHmHVdTon4GVYWnEATdj3NXG5Lcgy", SECRET, Verdict::Match),
            ("$2y$04$TrVkIKOiBbosG0RnLa9jsOlku0aUV9PFy6MHmtemWdGX0CyTs5K5G", SECRET, Verdict::MatchOutdated),
            ("$2b$04$pNdWuva0lKX5gVJjSQnja.xf0C6OPLgMkfPMjLW5jDalt44825pO2", "correct horse", Verdict::MatchOutdated),
            // Node's bcrypt 6.0.0
            ("$2b$10$oDRocoABnP6rJOng/ekcUuOjxkQIVxlYZ/hZ4tcaJCkjvqaqbjOye", SECRET, Verdict::Match),
            ("$2a$04$kV.UlmMcXk0OhvLKRe1KNO8o4LVmRGgcqnxIxQTqZl1F04PnBKnfK", SECRET, Verdict::MatchOutdated),
            // Node's bcryptjs
            ("$2b$04$z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.", SECRET, Verdict::MatchOutdated),
        ];
        for (digest, secret, expected) in made_elsewhere {
            assert_eq!(verify(digest, secret).await.unwrap(), expected, "{digest}");
            assert_eq!(verify(digest, &secret.replace('c', "C")).await.unwrap(), Verdict::Mismatch, "{digest}");
        }
    }

    #[tokio::test]
    async fn the_secret_that_fills_bcrypt_is_not_a_prefix_match() {
        let digest = "$2b$04$z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.";
        for near_miss in
            [format!("{SECRET}x"), format!("{SECRET}\0"), SECRET[..71].to_owned(), format!("{SECRET}{SECRET}")]
        {
            assert_eq!(verify(digest, &near_miss).await.unwrap(), Verdict::Mismatch, "{near_miss:?}");
        }
    }

    #[tokio::test]
    async fn damaged_digests_and_costs_out_of_bounds_are_malformed() {
        let rest = "z80vaMvQ31OfEhFRf4Hfa.6u8UOFd0ETM2lTz/Vn.tLqzMOMw.QX.";
        for prefix in ["$2b$03$", "$2b$15$", "$2b$31$", "$2b$99$", "$2b$+4$", "$2c$04$", "$2b$4$", "2b$04$$", "$2b$0x$"]
        {
            let error = verify(&format!("{prefix}{rest}"), SECRET).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{prefix}");
        }
        let sound = format!("$2b$04${rest}");
        for damaged in
            [&sound[..59], &format!("{sound}."), &sound.replace("z8", "z!"), &sound.replace("z8", "\u{e4}"), ""]
        {
            let error = verify(damaged, SECRET).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{damaged:?}");
            assert!(damaged.is_empty() || !format!("{error} {error:?}").contains(damaged));
        }
    }

    #[tokio::test]
    async fn a_generated_secret_fits_and_gets_fresh_salt() {
        let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
        let key = CredentialKey::parse("client", "credential").unwrap();
        let secret = ClientSecret::generate().unwrap();
        let (one, other) = (bcrypt.store(&key, &secret).await.unwrap(), bcrypt.store(&key, &secret).await.unwrap());
        assert_ne!(one, other);
        assert_eq!(bcrypt.verify(&key, &one, &secret).await.unwrap(), Verdict::Match);
        assert_eq!(bcrypt.verify(&key, &other, &secret).await.unwrap(), Verdict::Match);
    }

    #[test]
    fn costs_outside_the_bounds_are_no_setting() {
        for cost in [0, 4, 9, 15, 31] {
            assert_eq!(Bcrypt::builder().cost(cost).build().unwrap_err().kind(), ErrorKind::InvalidConfig, "{cost}");
        }
        assert!(Bcrypt::builder().cost(14).max_concurrency(1).build().is_ok());
    }
}
