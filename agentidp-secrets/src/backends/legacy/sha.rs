//! The quick functions of other software as a backend that only reads.

use super::parts::damaged;
use super::sha_text::{Bare, Sum};
use crate::backend::{BackendInfo, Custody, Verdict};
use crate::backends::digest::{DigestBackend, DigestLimits, Digester};
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::record::BackendId;
use crate::secret::ClientSecret;

/// SHA-1, SHA-256 and SHA-512, plain and salted, as other software stores them. Verifies, and makes none.
///
/// One guess takes a microsecond, for whoever has the database too. That is enough for a generated secret of 128 bits and more,
/// and protects no secret that a person chose.
///
/// A sum that stands alone in its column says nothing of itself, and a secret in plain text may look the same: this backend would take it
/// for a sum, and answer the right secret as a wrong one. So it reads bare sums only in the forms that you ask [`LegacyShaBuilder`] for;
/// any other is [`Malformed`](crate::ErrorKind::Malformed). Those that name their function, as LDAP's, Dovecot's, Spring's and Django's do, are always
/// read.
#[derive(Debug)]
pub struct LegacySha {
    info: BackendInfo,
    bare: Bare,
}

impl LegacySha {
    /// Longest secret in bytes.
    pub const MAX_SECRET_LEN: usize = 4096;

    /// What an unknown client is compared with where no other backend has digests. Made up, and nobody's.
    pub(super) const TYPICAL: &str = "{SHA256}bwwde+KpT1jDtg0Zp+XyhDuccNYeWKL0lwvD2OH2olQ=";

    /// Starts from no bare sums, and [`DigestLimits::default`].
    pub fn builder() -> LegacyShaBuilder {
        LegacyShaBuilder { bare: Bare::default(), limits: DigestLimits::default() }
    }
}

impl Digester for LegacySha {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        Sum::read(text, self.bare).is_some()
    }

    fn digest(&self, _key: &CredentialKey, _secret: &ClientSecret) -> Result<String> {
        Err(self.info.only_reads())
    }

    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let sum = Sum::read(digest, self.bare).ok_or_else(damaged)?;
        Ok(sum.verify(candidate.expose_secret().as_bytes()))
    }
}

/// Settings of [`LegacySha`]. Ask for no more than the table has.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct LegacyShaBuilder {
    bare: Bare,
    limits: DigestLimits,
}

impl LegacyShaBuilder {
    /// Reads 64 hexadecimal digits as SHA-256 and 128 as SHA-512. A secret in plain text of so many digits, as `openssl rand -hex 32`
    /// makes them, is then taken for a sum.
    pub fn bare_hex(mut self) -> Self {
        self.bare.hex = true;
        self
    }

    /// Reads 44 and 88 characters of base64, padding included, as SHA-256 and SHA-512. A secret in plain text of that length and with
    /// that padding, as `openssl rand -base64 32` makes them, is then taken for a sum.
    pub fn bare_base64(mut self) -> Self {
        self.bare.base64 = true;
        self
    }

    /// Reads 43 and 86 characters of base64url without padding as SHA-256 and SHA-512. A secret in plain text of that length, as
    /// Doorkeeper and many others make them, is then taken for a sum.
    pub fn bare_base64url(mut self) -> Self {
        self.bare.base64url = true;
        self
    }

    /// Sets how much digests may take of the machine, and how many may wait for how long.
    pub fn limits(mut self, limits: DigestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when a limit is zero.
    pub fn build(self) -> Result<DigestBackend<LegacySha>> {
        let info = BackendInfo::new(BackendId::LEGACY_SHA, Custody::Record)
            .with_max_secret_len(LegacySha::MAX_SECRET_LEN)
            .with_quick_digest()
            .with_reads_only(LegacySha::TYPICAL);
        DigestBackend::with_limits(LegacySha { info, bare: self.bare }, self.limits)
    }
}
