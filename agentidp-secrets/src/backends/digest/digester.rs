//! What a digest backend implements.

use std::fmt;

use crate::backend::{BackendInfo, Verdict};
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::secret::ClientSecret;

/// A one-way function for client secrets: what a digest backend implements. Synchronous on purpose, because the work
/// is all computation; [`DigestBackend`](super::DigestBackend) makes a [`SecretBackend`](crate::SecretBackend) of it.
///
/// Three methods are all it takes. [`recognises`](Self::recognises) is for digests in rows of other software. The other two are for functions that verify several digests in less time than one
/// after the other; such a one also says [`BackendInfo::with_lanes`].
///
/// The info says [`Custody::Record`](crate::Custody::Record). Secrets and candidates arrive with at least one byte,
/// without NUL bytes, and no longer than [`BackendInfo::max_secret_len`]: the frame has checked.
pub trait Digester: fmt::Debug + Send + Sync + 'static {
    /// Says which backend this is and how long a secret may be. Constant.
    fn info(&self) -> &BackendInfo;

    /// Computes the digest of a secret, under fresh salt.
    ///
    /// # Errors
    /// `Internal` when there is no randomness or memory.
    fn digest(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<String>;

    /// Decides whether `candidate` is the secret behind `digest`. Bounds the parameters found in the digest before it
    /// does any work: a row must not be able to ask for an hour or a terabyte.
    ///
    /// # Errors
    /// `Malformed` when the digest is damaged or its parameters are out of bounds; `Internal` when there is no memory.
    fn verify(&self, key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict>;

    /// Whether `text`, as it stands in a row of other software, is a digest of this function; see
    /// [`SecretBackend::recognises`](crate::SecretBackend::recognises). `false`, unless overridden. The digest to verify is
    /// then the whole text.
    fn recognises(&self, _text: &str) -> bool {
        false
    }

    /// Which others `digest` may be verified together with: those of the same group. `None`, unless overridden: it is
    /// verified alone. Quick, since it runs on an async thread.
    fn group(&self, _digest: &str) -> Option<u32> {
        None
    }

    /// Verifies digests that all are of `group`, at most [`BackendInfo::lanes`] of them: an answer for each, in order.
    /// One after the other, unless overridden. The attempts may be different clients'.
    fn verify_group(&self, _group: u32, attempts: &[Attempt<'_>]) -> Vec<Result<Verdict>> {
        attempts.iter().map(|attempt| self.verify(attempt.key, attempt.digest, attempt.candidate)).collect()
    }
}

/// One candidate against one digest.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// Whose digest it is.
    pub key: &'a CredentialKey,
    /// The record's payload.
    pub digest: &'a str,
    /// What may be the secret behind it.
    pub candidate: &'a ClientSecret,
}
