//! The rows of an older system: bare digests without a backend's id.

use std::hash::{DefaultHasher, Hash, Hasher};

use async_trait::async_trait;

use crate::backend::{BackendInfo, Custody, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

const HEAD: &str = "$older-system$";

/// A backend that recognises its bare payloads. Its digest is the standard library's hash: nothing to keep a secret with.
#[derive(Debug)]
pub(super) struct OlderSystem {
    info: BackendInfo,
}

impl OlderSystem {
    #[expect(clippy::expect_used, reason = "the id is a constant")]
    pub(super) fn new() -> Self {
        let id = BackendId::of("conformance-older-system").expect("it is kebab-case");
        Self { info: BackendInfo::new(id, Custody::Record).with_quick_digest() }
    }

    /// What the older system has in its row for a secret.
    pub(super) fn row_of(&self, secret: &ClientSecret) -> String {
        let mut hasher = DefaultHasher::new();
        secret.expose_secret().hash(&mut hasher);
        format!("{HEAD}{:016x}", hasher.finish())
    }

    fn record(&self, secret: &ClientSecret) -> StoredSecret {
        StoredSecret::new(self.info.id.clone(), self.row_of(secret))
    }
}

#[async_trait]
impl SecretBackend for OlderSystem {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        text.starts_with(HEAD)
    }

    async fn store(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        Ok(self.record(secret))
    }

    async fn verify(&self, _key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        if *stored.backend() != self.info.id {
            return Err(Error::new(ErrorKind::Malformed, "a record of another backend"));
        }
        Ok(if *stored == self.record(candidate) { Verdict::Match } else { Verdict::Mismatch })
    }

    async fn rotate(&self, _key: &CredentialKey, _: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        Ok(self.record(secret))
    }

    async fn revoke(&self, _key: &CredentialKey, _stored: &StoredSecret) -> Result<()> {
        Ok(())
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}
