//! How the suite gets at a backend.

use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::{SecretBackend, SharedBackend};
use crate::credential::CredentialKey;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Sets a backend up for one check, and clears up after it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The backend, over a namespace that is empty and that no other check uses.
    async fn backend(&self) -> SharedBackend;

    /// A key that was never given out before.
    fn key(&self) -> CredentialKey {
        fresh_key()
    }

    /// A backend of the same kind that cannot be reached, for the check that an outage is never a verdict. `None`
    /// where there is nothing to reach, as with digests.
    async fn unreachable(&self) -> Option<SharedBackend> {
        None
    }

    /// The record that means whichever secret is the latest at the place of `stored`: as a bare path in Vault does. `None`
    /// where all records name one secret.
    fn unpinned(&self, stored: &StoredSecret) -> Option<StoredSecret> {
        let _ = stored;
        None
    }

    /// For a backend that [only reads](crate::BackendInfo::reads_only): a record of this secret, as the other software makes
    /// it. The checks use it where they would store a secret otherwise.
    fn record_of(&self, secret: &ClientSecret) -> Option<StoredSecret> {
        let _ = secret;
        None
    }

    /// Clears up. Called after the check, also when it failed.
    async fn close(self)
    where
        Self: Sized,
    {
    }
}

/// A harness for backends that need no clearing up.
#[derive(Debug)]
pub struct BackendHarness {
    backend: SharedBackend,
    unreachable: Option<SharedBackend>,
    unpinned: Option<fn(&StoredSecret) -> StoredSecret>,
    record_of: Option<fn(&ClientSecret) -> StoredSecret>,
}

impl BackendHarness {
    /// Runs the checks over `backend`.
    #[must_use]
    pub fn new(backend: impl SecretBackend) -> Self {
        Self { backend: Arc::new(backend), unreachable: None, unpinned: None, record_of: None }
    }

    /// Runs the checks over a backend that only reads. `record_of` makes the record of a secret, as the other software does.
    /// Checks of what a backend writes do not apply, and print so.
    #[must_use]
    pub fn reading(backend: impl SecretBackend, record_of: fn(&ClientSecret) -> StoredSecret) -> Self {
        Self { record_of: Some(record_of), ..Self::new(backend) }
    }

    /// Adds a backend of the same kind that cannot be reached.
    #[must_use]
    pub fn with_unreachable(mut self, backend: impl SecretBackend) -> Self {
        self.unreachable = Some(Arc::new(backend));
        self
    }

    /// Says how the record is written that means whichever secret is the latest at the place of another one.
    #[must_use]
    pub fn with_unpinned(mut self, unpinned: fn(&StoredSecret) -> StoredSecret) -> Self {
        self.unpinned = Some(unpinned);
        self
    }
}

#[async_trait]
impl Harness for BackendHarness {
    async fn backend(&self) -> SharedBackend {
        Arc::clone(&self.backend)
    }

    async fn unreachable(&self) -> Option<SharedBackend> {
        self.unreachable.clone()
    }

    fn unpinned(&self, stored: &StoredSecret) -> Option<StoredSecret> {
        self.unpinned.map(|unpinned| unpinned(stored))
    }

    fn record_of(&self, secret: &ClientSecret) -> Option<StoredSecret> {
        self.record_of.map(|record_of| record_of(secret))
    }
}

/// A key that was never given out before: 64 random bits for the client and for the credential.
///
/// # Panics
/// When the operating system gives no randomness.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without randomness has to stop")]
pub fn fresh_key() -> CredentialKey {
    let random = || getrandom::u64().expect("the operating system gives randomness");
    CredentialKey::parse(&format!("client-{:016x}", random()), &format!("credential-{:016x}", random()))
        .expect("hexadecimal digits are fit for an id")
}
