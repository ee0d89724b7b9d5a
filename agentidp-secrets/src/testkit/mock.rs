//! A backend whose every answer a test decides.

use std::fmt;

use async_trait::async_trait;

use crate::backend::{BackendInfo, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

mockall::mock! {
    /// A [mockall](https://docs.rs/mockall) mock of [`SecretBackend`]: expectations in, calls checked on drop.
    ///
    /// It suits code that *calls* a backend. For a backend that behaves, with a fault here and there, a real one under
    /// [`FaultLayer`](super::FaultLayer) says less about how it is called.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use agentidp_secrets::testkit::{MockSecretBackend, fresh_key};
    /// use agentidp_secrets::{BackendId, BackendInfo, ClientSecret, Custody, SecretBackend, StoredSecret, Verdict};
    ///
    /// let mut mock = MockSecretBackend::new();
    /// mock.expect_info().return_const(BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend));
    /// mock.expect_verify().once().returning(|_key, _stored, _candidate| Ok(Verdict::Mismatch));
    ///
    /// let record = StoredSecret::new(BackendId::VAULT_KV2, "payload");
    /// let verdict = mock.verify(&fresh_key(), &record, &ClientSecret::from("guess")).await?;
    /// assert_eq!(verdict, Verdict::Mismatch);
    /// # Ok(())
    /// # }
    /// ```
    pub SecretBackend {}

    #[async_trait]
    impl SecretBackend for SecretBackend {
        fn info(&self) -> &BackendInfo;
        async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret>;
        async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict>;
        async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret>;
        async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret>;
        async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()>;
        async fn forget(&self, key: &CredentialKey) -> Result<()>;
        async fn probe(&self) -> Result<()>;
    }
}

/// The expectations stay out: their arguments may be secrets.
impl fmt::Debug for MockSecretBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockSecretBackend").finish_non_exhaustive()
    }
}
