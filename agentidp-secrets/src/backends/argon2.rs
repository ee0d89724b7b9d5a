//! argon2id digests in the record.
//!
//! **Stores** nothing of its own: the record is the digest in PHC form, `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. It
//! is not bound to the key: nothing but the row says whose digest it is.
//!
//! **Cost**: OWASP's parameters, 19 MiB of memory and two passes. Memory in use is at most digests at once (the cores of
//! the machine unless set) times the memory of one: 16 cores, 304 MiB. A digest that waits for its turn takes none.
//!
//! **Fails** with `Malformed` on a damaged digest, on argon2i and argon2d, on version 16, and on parameters above 64 MiB,
//! 10 passes or 4 lanes; with `Internal` when memory is short.
//!
//! **In and out**: rows of other argon2id libraries are records as they are; see
//! [`StoredSecret::identify`](crate::StoredSecret::identify). Out: rotate, or upgrade, with another primary backend.

use std::ops::RangeInclusive;

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, RECOMMENDED_SALT_LEN, Version};

use super::digest::{DigestBackend, DigestLimits, Digester};
use crate::backend::{BackendInfo, Custody, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::record::BackendId;
use crate::secret::ClientSecret;

/// argon2id. Costs memory as well as time, and has no length trap.
#[derive(Debug)]
pub struct Argon2id {
    info: BackendInfo,
    argon2: Argon2<'static>,
}

impl Argon2id {
    /// Memory of one digest in KiB, as OWASP recommends with two passes.
    pub const DEFAULT_MEMORY_KIB: u32 = 19_456;
    /// Passes over the memory, as OWASP recommends with 19 MiB.
    pub const DEFAULT_ITERATIONS: u32 = 2;
    /// Lanes. They are computed one after the other, so more of them gain nothing.
    pub const DEFAULT_PARALLELISM: u32 = 1;
    /// Longest secret in bytes. argon2 has no such limit; ours keeps a request from buying work with length.
    pub const MAX_SECRET_LEN: usize = 4096;

    /// Memory of stored digests in KiB that is used, and its lower end for settings: the least of OWASP's table.
    const COMPUTABLE_KIB: RangeInclusive<u32> = 8..=65_536;
    const LEAST_MEMORY_KIB: u32 = 7_168;
    /// Passes that are made: ten over 64 MiB is about a second.
    const ITERATIONS: RangeInclusive<u32> = 1..=10;
    const LANES: RangeInclusive<u32> = 1..=4;
    /// Shortest output in bytes that is compared.
    const LEAST_OUTPUT_LEN: usize = 16;

    /// Starts from OWASP's parameters and [`DigestLimits::default`].
    pub fn builder() -> Argon2idBuilder {
        Argon2idBuilder {
            memory_kib: Self::DEFAULT_MEMORY_KIB,
            iterations: Self::DEFAULT_ITERATIONS,
            parallelism: Self::DEFAULT_PARALLELISM,
            least_memory_kib: Self::LEAST_MEMORY_KIB,
            limits: DigestLimits::default(),
        }
    }
}

impl Digester for Argon2id {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn digest(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<String> {
        let mut salt = [0_u8; RECOMMENDED_SALT_LEN];
        getrandom::fill(&mut salt)
            .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a salt"))?;
        let digest =
            self.argon2.hash_password_with_salt(secret.expose_secret().as_bytes(), &salt).map_err(not_computed)?;
        Ok(digest.to_string())
    }

    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let (digest, params) = sound_digest(digest)?;
        let today = self.argon2.params();
        match self.argon2.verify_password(candidate.expose_secret().as_bytes(), &digest) {
            Ok(()) if params.m_cost() < today.m_cost() || params.t_cost() < today.t_cost() => {
                Ok(Verdict::MatchOutdated)
            }
            Ok(()) => Ok(Verdict::Match),
            // Given only where the outputs were compared and differ: the digest has both salt and output.
            Err(password_hash::Error::PasswordInvalid) => Ok(Verdict::Mismatch),
            Err(error) => Err(not_computed(error)),
        }
    }
}

/// Parses the whole digest and bounds its parameters, before any work is done.
fn sound_digest(text: &str) -> Result<(PasswordHash, Params)> {
    let malformed = |message| Error::new(ErrorKind::Malformed, message);
    let damaged = || malformed("the argon2id digest is damaged; rotate the credential");
    let digest = PasswordHash::new(text).map_err(|_| damaged())?;
    let params = Params::try_from(&digest).map_err(|_| damaged())?;
    // Key id and associated data left the standard; nobody we know of writes them.
    let plain = params.keyid().is_empty() && params.data().is_empty();
    let complete = digest.salt.is_some() && params.output_len().is_some_and(|len| len >= Argon2id::LEAST_OUTPUT_LEN);
    if digest.algorithm != ARGON2ID_IDENT || digest.version != Some(Version::V0x13.into()) || !plain || !complete {
        return Err(damaged());
    }
    let bounded = Argon2id::COMPUTABLE_KIB.contains(&params.m_cost())
        && Argon2id::ITERATIONS.contains(&params.t_cost())
        && Argon2id::LANES.contains(&params.p_cost());
    if bounded {
        Ok((digest, params))
    } else {
        Err(malformed("the argon2id digest asks for more than 64 MiB, 10 passes or 4 lanes; rotate the credential"))
    }
}

fn not_computed(error: password_hash::Error) -> Error {
    Error::new(ErrorKind::Internal, "an argon2id digest could not be computed; is memory short?").with_source(error)
}

/// Settings of [`Argon2id`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Argon2idBuilder {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    least_memory_kib: u32,
    limits: DigestLimits,
}

impl Argon2idBuilder {
    /// Sets the memory of one digest, 7168 to 65536 KiB. A match on a digest with less is
    /// [`MatchOutdated`](Verdict::MatchOutdated).
    pub fn memory_kib(mut self, kib: u32) -> Self {
        self.memory_kib = kib;
        self
    }

    /// Sets the passes over the memory, 1 to 10. A match on a digest with fewer is
    /// [`MatchOutdated`](Verdict::MatchOutdated).
    pub fn iterations(mut self, passes: u32) -> Self {
        self.iterations = passes;
        self
    }

    /// Sets the lanes, 1 to 4.
    pub fn parallelism(mut self, lanes: u32) -> Self {
        self.parallelism = lanes;
        self
    }

    /// Sets how much digests may take of the machine, and how many may wait for how long.
    pub fn limits(mut self, limits: DigestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many threads compute digests, each with memory of its own; see [`DigestLimits::max_concurrency`].
    pub fn max_concurrency(mut self, threads: usize) -> Self {
        self.limits = self.limits.max_concurrency(threads);
        self
    }

    /// 8 KiB and one pass, for tests only: a digest takes microseconds and protects accordingly.
    pub fn minimum_cost_for_tests(mut self) -> Self {
        self.least_memory_kib = *Argon2id::COMPUTABLE_KIB.start();
        self.memory_kib(*Argon2id::COMPUTABLE_KIB.start()).iterations(1).parallelism(1)
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when a parameter is out of its bounds or a limit is zero.
    pub fn build(self) -> Result<DigestBackend<Argon2id>> {
        let invalid = |message| Error::new(ErrorKind::InvalidConfig, message).with_backend(BackendId::ARGON2);
        if !(self.least_memory_kib..=*Argon2id::COMPUTABLE_KIB.end()).contains(&self.memory_kib) {
            return Err(invalid("the argon2id memory must be 7168 to 65536 KiB"));
        }
        if !Argon2id::ITERATIONS.contains(&self.iterations) {
            return Err(invalid("the argon2id iterations must be 1 to 10"));
        }
        if !Argon2id::LANES.contains(&self.parallelism) {
            return Err(invalid("the argon2id parallelism must be 1 to 4"));
        }
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, None)
            .map_err(|_| invalid("the argon2id memory must be at least 8 KiB for each lane"))?;
        let digester = Argon2id {
            info: BackendInfo::new(BackendId::ARGON2, Custody::Record).with_max_secret_len(Argon2id::MAX_SECRET_LEN),
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
        };
        DigestBackend::with_limits(digester, self.limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::SecretBackend;
    use crate::record::StoredSecret;

    const SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    /// Made of it by Python's argon2-cffi.
    const SMALL: &str =
        "$argon2id$v=19$m=64,t=1,p=2$pfOod6pTRtdTOIp2gq2mFA$IbJjUxUKqUqLflj//O8VUfpwagRoRph0y1MOjKwfUJg";
    const OWASP: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$klq/VHTAvVEGpZS/xGbzfA$Olpfd/lrvvjR6IZuExjqjx8ghg2qxSkyoukKH98hN+k";

    async fn verify(digest: &str, candidate: &str) -> Result<Verdict> {
        let key = CredentialKey::parse("client", "credential").unwrap();
        let argon2 = Argon2id::builder().build().unwrap();
        argon2.verify(&key, &StoredSecret::new(BackendId::ARGON2, digest), &ClientSecret::from(candidate)).await
    }

    #[tokio::test]
    async fn digests_of_another_library_verify() {
        assert_eq!(verify(OWASP, SECRET).await.unwrap(), Verdict::Match);
        assert_eq!(verify(SMALL, SECRET).await.unwrap(), Verdict::MatchOutdated);
        for near_miss in [format!("{SECRET}x"), SECRET[..71].to_owned(), SECRET.to_uppercase()] {
            assert_eq!(verify(SMALL, &near_miss).await.unwrap(), Verdict::Mismatch);
        }
    }

    #[tokio::test]
    async fn damaged_digests_and_parameters_out_of_bounds_are_malformed() {
        for (from, to) in [
            ("m=64", "m=65537"),
            ("m=64", "m=4294967295"),
            ("m=64", "m=15"),
            ("t=1", "t=11"),
            ("t=1", "t=0"),
            ("p=2", "p=5"),
            ("p=2", "p=16777215"),
            ("p=2", "p=0"),
            ("p=2", "p=2,keyid=AAAA"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("$pfOod6pTRtdTOIp2gq2mFA", ""),
            ("$IbJjUxUKqUqLflj//O8VUfpwagRoRph0y1MOjKwfUJg", ""),
            ("IbJjUxUKqUqLflj//O8VUfpwagRoRph0y1MOjKwfUJg", "IbJjUxUKqUqLflj/"),
            ("IbJj", "Ib!j"),
            ("UJg", "UJg$"),
        ] {
            let damaged = SMALL.replace(from, to);
            assert_ne!(damaged, SMALL);
            let error = verify(&damaged, SECRET).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{damaged}");
            assert!(!format!("{error} {error:?}").contains("O8VUfp"));
        }
    }

    #[tokio::test]
    async fn the_longest_secret_fits_and_counts_to_its_last_byte() {
        let argon2 = Argon2id::builder().minimum_cost_for_tests().build().unwrap();
        let key = CredentialKey::parse("client", "credential").unwrap();
        let (longest, other) = ("a".repeat(4096), "a".repeat(4095) + "b");
        let record = argon2.store(&key, &longest.into()).await.unwrap();
        assert_eq!(argon2.verify(&key, &record, &"a".repeat(4096).into()).await.unwrap(), Verdict::Match);
        assert_eq!(argon2.verify(&key, &record, &other.into()).await.unwrap(), Verdict::Mismatch);
    }

    #[test]
    fn parameters_outside_the_bounds_are_no_setting() {
        let builder = Argon2id::builder;
        for refused in [
            builder().memory_kib(7_167),
            builder().memory_kib(65_537),
            builder().iterations(0),
            builder().iterations(11),
            builder().parallelism(0),
            builder().parallelism(5),
            builder().minimum_cost_for_tests().parallelism(2),
            builder().max_concurrency(0),
        ] {
            assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::InvalidConfig);
        }
    }
}
