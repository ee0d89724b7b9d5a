//! argon2id digests in the record.
//!
//! **Stores** nothing of its own: the record is the digest in PHC form, `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. It
//! is not bound to the key: nothing but the row says whose digest it is. Digests of argon2i, argon2d and version 16 verify
//! too; a match on one of them is outdated.
//!
//! **Cost**: new digests have OWASP's parameters, 19 MiB of memory and two passes. A stored digest brings its own
//! parameters, and they are bounded by the builder: 128 MiB over all its lanes, 10 passes and 255 lanes unless set. These
//! bounds take the defaults of Vaultwarden, Ory Kratos, Keycloak, Django, Spring, Authelia, PHP and Dovecot.
//!
//! **Memory** in use is at most threads ([`DigestLimits::max_concurrency`](crate::backends::DigestLimits::max_concurrency))
//! times the memory of one digest. With new digests only, that is 304 MiB on 16 cores. With stored digests it is 2 GiB on
//! 16 cores, if 16 rows ask for the most that is allowed, all at once. A digest that waits for its turn takes none.
//!
//! Each thread that has computed a digest keeps the memory of a new one, wiped, until the backend is dropped: 19 MiB each,
//! 304 MiB on 16 cores. Fresh memory would cost two thirds of a digest each time. What a stored digest takes beyond that is
//! given back.
//!
//! **Fails** with `Malformed` on a damaged digest and on parameters out of bounds, before any memory is taken; with
//! `Internal` when memory is short.
//!
//! **In and out**: rows of other argon2 libraries are records as they are: bare, with Dovecot's `{ARGON2ID}`, with Spring's
//! `{argon2}` and `{argon2@SpringSecurity_v5_8}`, and as Django's `argon2$argon2id$…`. Out: rotate, or upgrade, with another primary backend.

mod builder;
mod memory;
mod stored;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, RECOMMENDED_SALT_LEN, Version};
use subtle::ConstantTimeEq;

use self::memory::Memory;
use self::stored::{Bounds, Stored};
use super::digest::Digester;
use super::forms;
use crate::backend::{BackendInfo, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::ClientSecret;

pub use self::builder::Argon2idBuilder;

/// argon2id. Costs memory as well as time, and has no length trap.
#[derive(Debug)]
pub struct Argon2id {
    info: BackendInfo,
    argon2: Argon2<'static>,
    bounds: Bounds,
}

impl Argon2id {
    /// Memory of one digest in KiB, as OWASP recommends with two passes.
    pub const DEFAULT_MEMORY_KIB: u32 = 19_456;
    /// Passes over the memory, as OWASP recommends with 19 MiB.
    pub const DEFAULT_ITERATIONS: u32 = 2;
    /// Lanes. They are computed one after the other, so more of them gain nothing.
    pub const DEFAULT_PARALLELISM: u32 = 1;
    /// Memory of a stored digest in KiB that is computed unless set: Ory Kratos' default, the most of the well-known systems.
    pub const DEFAULT_MAX_STORED_MEMORY_KIB: u32 = 131_072;
    /// Passes of a stored digest that are made unless set.
    pub const DEFAULT_MAX_STORED_ITERATIONS: u32 = 10;
    /// Lanes of a stored digest unless set. They share its memory and are computed one after the other, so they cost
    /// nothing; Ory Kratos takes two for each core of its machine.
    pub const DEFAULT_MAX_STORED_PARALLELISM: u32 = 255;
    /// Longest secret in bytes. argon2 has no such limit; ours keeps a request from buying work with length.
    pub const MAX_SECRET_LEN: usize = 4096;

    /// Whether a digest is weaker than a new one, of another kind, or in another software's form.
    fn is_outdated(&self, stored: &Stored) -> bool {
        let today = self.argon2.params();
        let weaker = stored.params.m_cost() < today.m_cost() || stored.params.t_cost() < today.t_cost();
        weaker || stored.is_wrapped || stored.algorithm != Algorithm::Argon2id || stored.version != Version::V0x13
    }

    fn compute(&self, argon2: &Argon2<'_>, secret: &ClientSecret, salt: &[u8], output: &mut [u8]) -> Result<()> {
        let memory = Memory::take(argon2.params().block_count(), self.argon2.params().block_count())?;
        let secret = secret.expose_secret().as_bytes();
        argon2.hash_password_into_with_memory(secret, salt, output, memory).map_err(not_computed)
    }
}

impl Digester for Argon2id {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        forms::argon2_in(text).is_some()
    }

    fn digest(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<String> {
        let mut salt = [0_u8; RECOMMENDED_SALT_LEN];
        getrandom::fill(&mut salt)
            .map_err(|_| Error::new(ErrorKind::Internal, "the operating system gave no randomness for a salt"))?;
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.compute(&self.argon2, secret, &salt, &mut output)?;
        let digest = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(self.argon2.params()).map_err(not_computed)?,
            salt: Some(Salt::new(&salt).map_err(not_computed)?),
            hash: Some(Output::new(&output).map_err(not_computed)?),
        };
        Ok(digest.to_string())
    }

    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let stored = self.bounds.read(digest)?;
        let mut output = vec![0; stored.output.len()];
        let argon2 = Argon2::new(stored.algorithm, stored.version, stored.params.clone());
        self.compute(&argon2, candidate, &stored.salt, &mut output)?;
        Ok(match bool::from(output.ct_eq(&stored.output)) {
            true if self.is_outdated(&stored) => Verdict::MatchOutdated,
            true => Verdict::Match,
            false => Verdict::Mismatch,
        })
    }
}

fn not_computed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "an argon2 digest could not be computed").with_source(error)
}

#[cfg(test)]
mod tests;
