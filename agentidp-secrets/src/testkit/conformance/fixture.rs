//! What every check begins with, and how it states its clause.

use std::fmt::Debug;

use crate::backend::{BackendInfo, SharedBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Result, VerifyError};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::testkit::harness::Harness;

/// A secret that is accepted by every backend whose limit is unknown: longer than any digest reads, shorter than any
/// server's body limit.
pub(super) const LONG_WITHOUT_LIMIT: usize = 4096;

/// A credential with a stored secret.
pub(super) struct Credential {
    pub(super) backend: SharedBackend,
    pub(super) key: CredentialKey,
    pub(super) secret: ClientSecret,
    pub(super) stored: StoredSecret,
}

impl Credential {
    /// Stores a generated secret under a fresh key.
    pub(super) async fn stored(harness: &dyn Harness) -> Self {
        Self::with_secret(harness, generate()).await
    }

    /// Stores `secret` under a fresh key.
    pub(super) async fn with_secret(harness: &dyn Harness, secret: ClientSecret) -> Self {
        let (backend, key) = (harness.backend().await, harness.key());
        let stored = match harness.record_of(&secret) {
            Some(made) if backend.info().reads_only => made,
            _ => set_up("store", backend.store(&key, &secret).await),
        };
        Self { backend, key, secret, stored }
    }

    /// Verifies against the stored record.
    pub(super) async fn verify(&self, candidate: &ClientSecret) -> Result<Verdict> {
        self.backend.verify(&self.key, &self.stored, candidate).await
    }

    /// Rotates to a generated secret; gives the new secret and record, and keeps the old.
    pub(super) async fn rotated(&self) -> (ClientSecret, StoredSecret) {
        let secret = generate();
        let stored = set_up("rotate", self.backend.rotate(&self.key, &self.stored, &secret).await);
        (secret, stored)
    }

    /// The payload of the record under the id of another backend.
    pub(super) fn foreign_record(&self) -> StoredSecret {
        StoredSecret::new(foreign_id(), self.stored.payload())
    }
}

fn foreign_id() -> BackendId {
    set_up("a backend id", BackendId::parse("foreign-to-all"))
}

/// A secret of the documented form.
pub(super) fn generate() -> ClientSecret {
    set_up("generate", ClientSecret::generate())
}

/// A secret of exactly `len` bytes, with nothing repeated at a short period.
pub(super) fn secret_of_len(len: usize) -> ClientSecret {
    let mut text = String::with_capacity(len + 5);
    let mut word = 0_u32;
    while text.len() < len {
        text.push_str(&format!("{word:x}-"));
        word += 1;
    }
    text.truncate(len);
    ClientSecret::from(text)
}

/// The longest secret that the backend says it takes: of any form, unless it takes generated ones only.
pub(super) fn longest(info: &BackendInfo) -> ClientSecret {
    if info.generated_only { generate() } else { secret_of_len(info.max_secret_len.unwrap_or(LONG_WITHOUT_LIMIT)) }
}

/// The same with another last character, and of the generated form where that one was.
pub(super) fn with_another_end(secret: &ClientSecret) -> ClientSecret {
    let text = secret.expose_secret();
    let end = if text.ends_with('0') { '1' } else { '0' };
    ClientSecret::from(format!("{}{end}", &text[..text.len() - 1]))
}

/// What has to work before a check can say anything. It fails under another name than the check's clause.
#[track_caller]
#[expect(clippy::panic, reason = "a check fails by panicking")]
pub(super) fn set_up<T>(what: &str, outcome: Result<T>) -> T {
    outcome.unwrap_or_else(|error| panic!("set-up: {what} failed, so that this check could not begin: {error:?}"))
}

/// The same of a candidate that has to be proved.
#[track_caller]
#[expect(clippy::panic, reason = "a check fails by panicking")]
pub(super) fn proved<T>(what: &str, outcome: Result<T, VerifyError>) -> T {
    outcome.unwrap_or_else(|error| panic!("set-up: {what} failed, so that this check could not begin: {error:?}"))
}

/// Asserts a clause that is not about an outcome.
#[track_caller]
pub(super) fn holds(condition: bool, clause: &str) {
    assert!(condition, "broken clause: {clause}");
}

/// Asserts that the outcome is a match.
#[track_caller]
pub(super) fn matches(outcome: Result<Verdict>, clause: &str) {
    assert!(outcome.as_ref().is_ok_and(|verdict| verdict.is_match()), "broken clause: {clause}; got {outcome:?}");
}

/// Asserts that the outcome is a decided mismatch, and no error.
#[track_caller]
pub(super) fn mismatches(outcome: Result<Verdict>, clause: &str) {
    assert!(matches!(outcome, Ok(Verdict::Mismatch)), "broken clause: {clause}; got {outcome:?}");
}

/// Asserts that the outcome is no error, and gives its value.
#[track_caller]
#[expect(clippy::panic, reason = "a check fails by panicking")]
pub(super) fn succeeds<T>(outcome: Result<T>, clause: &str) -> T {
    outcome.unwrap_or_else(|error| panic!("broken clause: {clause}; got {error:?}"))
}

/// Asserts that the outcome is an error of `kind`.
#[track_caller]
pub(super) fn fails<T: Debug>(outcome: Result<T>, kind: ErrorKind, clause: &str) {
    let found = outcome.as_ref().err().map(crate::error::Error::kind);
    assert!(found == Some(kind), "broken clause: {clause} (an error of kind {kind}); got {outcome:?}");
}

/// Says on standard output that a check has nothing to check.
#[expect(clippy::print_stdout, reason = "a check that checks nothing has to be seen")]
pub(super) fn does_not_apply(check: &str, why: &str) {
    println!("{check} does not apply: {why}");
}

pub(super) const NOT_BACKEND: &str = "the record holds the digest, and the backend keeps nothing";
pub(super) const NOT_RECORD: &str = "the backend keeps the secret, and the record is a pointer";
