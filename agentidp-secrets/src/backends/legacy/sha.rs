//! The quick functions of other software as a backend that only reads.

use super::parts::damaged;
use super::sha_text::Sum;
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
#[derive(Debug)]
pub struct LegacySha {
    info: BackendInfo,
}

impl LegacySha {
    /// Longest secret in bytes.
    pub const MAX_SECRET_LEN: usize = 4096;

    /// What an unknown client is compared with where no other backend has digests. Made up, and nobody's.
    const TYPICAL: &str = "6f0c1d7be2a94f58c3b60d19a7e5f2843b9c70d61e58a2f4970bc3d8e1f6a254";

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when a limit is zero.
    pub fn new(limits: DigestLimits) -> Result<DigestBackend<Self>> {
        let info = BackendInfo::new(BackendId::LEGACY_SHA, Custody::Record)
            .with_max_secret_len(Self::MAX_SECRET_LEN)
            .with_quick_digest()
            .with_reads_only(Self::TYPICAL);
        DigestBackend::with_limits(Self { info }, limits)
    }
}

impl Digester for LegacySha {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        Sum::read(text).is_some()
    }

    fn digest(&self, _key: &CredentialKey, _secret: &ClientSecret) -> Result<String> {
        Err(self.info.only_reads())
    }

    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        let sum = Sum::read(digest).ok_or_else(damaged)?;
        Ok(sum.verify(candidate.expose_secret().as_bytes()))
    }
}
