//! The slow functions of other software as a backend that only reads.

use super::bcrypt_sha256::BcryptSha256;
use super::parts::{Bounds, damaged};
use super::pbkdf2::Pbkdf2;
use super::scrypt::Scrypt;
use crate::backend::{BackendInfo, Custody, Verdict};
use crate::backends::digest::{DigestBackend, DigestLimits, Digester};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::record::BackendId;
use crate::secret::ClientSecret;

/// PBKDF2, scrypt and bcrypt over SHA-256, as other software stores them. Verifies, and makes none.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use agentidp_secrets::backends::{Bcrypt, legacy::LegacyKdf};
/// use agentidp_secrets::{CredentialKey, SecretStore, StoredSecret};
///
/// let store = SecretStore::builder(Bcrypt::builder().build()?).accepts(LegacyKdf::builder().build()?).build()?;
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// // As Ory Kratos has it.
/// let row = "$pbkdf2-sha256$i=100000,l=32$1jP+5Zxpxgtee/iPxGgOz0RfE9/KJuDElP1ley4VxXc$QJxzfvdbHYBpydCbHoFg3GJEqMFULwskiuqiJctoYpI";
/// let proof = store.verify(&key, &StoredSecret::parse(row)?.into(), &"test".into()).await?;
/// assert!(proof.outdated, "worth an upgrade to bcrypt");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LegacyKdf {
    info: BackendInfo,
    bounds: Bounds,
}

impl LegacyKdf {
    /// Longest secret in bytes.
    pub const MAX_SECRET_LEN: usize = 4096;
    /// Rounds of PBKDF2 over all blocks of its output that are computed unless set: twice the default of Django 5.
    pub const DEFAULT_MAX_PBKDF2_ROUNDS: u32 = 2_000_000;
    /// Memory of scrypt in KiB unless set: the most of the well-known systems' defaults.
    pub const DEFAULT_MAX_SCRYPT_MEMORY_KIB: u32 = 131_072;
    /// Cost of bcrypt unless set.
    pub const DEFAULT_MAX_BCRYPT_COST: u32 = 14;

    /// What an unknown client costs unless set: the default of Ory Hydra. The output is made up, and nobody's.
    const TYPICAL: &str = "$pbkdf2-sha256$i=25000,l=32$bm9ib2R5cyBzYWx0IQ$Rq1oS9mZ0oN0c9mCq0W2xXQ7c1vUo3m5bS8kYt4hJ2E";

    /// Starts from the bounds of the constants here, and [`DigestLimits::default`].
    pub fn builder() -> LegacyKdfBuilder {
        LegacyKdfBuilder {
            bounds: Bounds {
                pbkdf2_rounds: Self::DEFAULT_MAX_PBKDF2_ROUNDS,
                scrypt_memory_kib: Self::DEFAULT_MAX_SCRYPT_MEMORY_KIB,
                bcrypt_cost: Self::DEFAULT_MAX_BCRYPT_COST,
            },
            typical: Self::TYPICAL.to_owned(),
            limits: DigestLimits::default(),
        }
    }
}

impl Digester for LegacyKdf {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        Pbkdf2::is_in(text) || Scrypt::is_in(text) || BcryptSha256::is_in(text)
    }

    fn digest(&self, _key: &CredentialKey, _secret: &ClientSecret) -> Result<String> {
        Err(self.info.only_reads())
    }

    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        Stored::read(digest, &self.bounds)?.verify(candidate.expose_secret().as_bytes())
    }
}

/// A digest within the bounds.
#[derive(Debug)]
pub(super) enum Stored {
    Pbkdf2(Pbkdf2),
    Scrypt(Scrypt),
    BcryptSha256(BcryptSha256),
}

impl Stored {
    /// Parses the whole digest and bounds its parameters, before any memory is taken or work is done.
    pub(super) fn read(text: &str, bounds: &Bounds) -> Result<Self> {
        let stored = if Scrypt::is_in(text) {
            Scrypt::read(text).map(Self::Scrypt)
        } else if BcryptSha256::is_in(text) {
            BcryptSha256::read(text).map(Self::BcryptSha256)
        } else {
            Pbkdf2::read(text).map(Self::Pbkdf2)
        };
        let stored = stored.ok_or_else(damaged)?;
        match &stored {
            Self::Pbkdf2(digest) => digest.check(bounds)?,
            Self::Scrypt(digest) => digest.check(bounds)?,
            Self::BcryptSha256(digest) => digest.check(bounds)?,
        }
        Ok(stored)
    }

    pub(super) fn verify(&self, secret: &[u8]) -> Result<Verdict> {
        match self {
            Self::Pbkdf2(digest) => Ok(digest.verify(secret)),
            Self::Scrypt(digest) => digest.verify(secret),
            Self::BcryptSha256(digest) => digest.verify(secret),
        }
    }
}

/// Settings of [`LegacyKdf`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct LegacyKdfBuilder {
    bounds: Bounds,
    typical: String,
    limits: DigestLimits,
}

impl LegacyKdfBuilder {
    /// Sets the most rounds of PBKDF2 that a stored digest may ask for, over all blocks of its output: 1 to 100000000, and
    /// 2000000 unless set, about a second of a core.
    pub fn max_pbkdf2_rounds(mut self, rounds: u32) -> Self {
        self.bounds.pbkdf2_rounds = rounds;
        self
    }

    /// Sets the most memory that the table of a stored scrypt digest may ask for, 128 r N bytes: 1 to 2097152 KiB, 131072
    /// unless set. Each thread may take that much at once, and a MiB beside it for the blocks of the lanes, 128 r (p + 1)
    /// bytes: a digest with more of them is always refused. All lanes of a digest together may pass over four times as much.
    pub fn max_scrypt_memory_kib(mut self, kib: u32) -> Self {
        self.bounds.scrypt_memory_kib = kib;
        self
    }

    /// Sets the highest cost of a stored bcrypt digest: 4 to 20, 14 unless set.
    pub fn max_bcrypt_cost(mut self, cost: u32) -> Self {
        self.bounds.bcrypt_cost = cost;
        self
    }

    /// Sets the form that most of the rows have: any digest of it. Where no other backend of the store has slow digests, an
    /// unknown client costs as much as a wrong secret for this one. A PBKDF2 digest of 25000 rounds unless set.
    ///
    /// Digests of other parameters take another time, and tell by it that there is such a client.
    pub fn typical(mut self, digest: impl Into<String>) -> Self {
        self.typical = digest.into();
        self
    }

    /// Sets how much digests may take of the machine, and how many may wait for how long.
    pub fn limits(mut self, limits: DigestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many threads compute digests; see [`DigestLimits::max_concurrency`].
    pub fn max_concurrency(mut self, threads: usize) -> Self {
        self.limits = self.limits.max_concurrency(threads);
        self
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when a bound is out of its own bounds, when the typical digest cannot be read within them, or when a
    /// limit is zero.
    pub fn build(self) -> Result<DigestBackend<LegacyKdf>> {
        let id = BackendId::LEGACY_KDF;
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidConfig, message).with_backend(BackendId::LEGACY_KDF);
        for (method, value, range) in [
            ("max_pbkdf2_rounds", self.bounds.pbkdf2_rounds, 1..=100_000_000),
            ("max_scrypt_memory_kib", self.bounds.scrypt_memory_kib, 1..=2_097_152),
            ("max_bcrypt_cost", self.bounds.bcrypt_cost, 4..=20),
        ] {
            if !range.contains(&value) {
                return Err(invalid(format!("`{method}` must be {} to {}, not {value}", range.start(), range.end())));
            }
        }
        if let Err(error) = Stored::read(&self.typical, &self.bounds) {
            return Err(
                invalid("the digest of `typical` cannot be read within the bounds".to_owned()).with_source(error)
            );
        }
        let info = BackendInfo::new(id, Custody::Record)
            .with_max_secret_len(LegacyKdf::MAX_SECRET_LEN)
            .with_reads_only(self.typical);
        DigestBackend::with_limits(LegacyKdf { info, bounds: self.bounds }, self.limits)
    }
}

/// Shows the bounds, and not the digest: it may be somebody's.
impl std::fmt::Debug for LegacyKdfBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LegacyKdfBuilder")
            .field("bounds", &self.bounds)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
