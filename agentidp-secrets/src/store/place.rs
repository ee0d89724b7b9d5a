//! What the primary holds at a key's place, and writes over it.

use super::SecretStore;
use super::failed::failed;
use super::lifecycle::Issued;
use crate::backend::Held;
use crate::credential::CredentialKey;
use crate::error::{Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl SecretStore {
    /// Says what the primary backend holds at the key's place: a version, or the latest one.
    ///
    /// # Errors
    /// Those of [`SecretBackend::inspect`](crate::SecretBackend::inspect).
    pub async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        let primary = &self.0.primary;
        primary.inspect(key, version).await.map_err(failed(Operation::Pin, &primary.info().id))
    }

    /// Writes `secret` over whatever lies at the key's place on the primary backend, if `latest` is still the latest version
    /// there; 0: nothing is there.
    ///
    /// For a caller that knows that no row points to that place, or holds the right to write there. The secret may be one that
    /// a client has presented and proved.
    ///
    /// # Errors
    /// Those of [`SecretBackend::overwrite`](crate::SecretBackend::overwrite).
    pub async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: ClientSecret) -> Result<Issued> {
        let stored = self.overwrite_with(key, latest, Some(&secret)).await?;
        let selector = self.selector_for(key, &stored, &secret);
        Ok(Issued { secret, stored, selector })
    }

    /// Writes a blank version over whatever lies at the key's place on the primary backend, as
    /// [`overwrite`](Self::overwrite) does, and returns its number's record.
    ///
    /// # Errors
    /// As [`overwrite`](Self::overwrite).
    pub async fn blank(&self, key: &CredentialKey, latest: u64) -> Result<StoredSecret> {
        self.overwrite_with(key, latest, None).await
    }

    /// What to keep of a version that the primary backend holds. `None` where there is no secret in it.
    #[must_use]
    pub fn adopt(&self, key: &CredentialKey, held: Held) -> Option<Issued> {
        let Held::Version { stored, secret: Some(secret), .. } = held else { return None };
        let selector = self.selector_for(key, &stored, &secret);
        Some(Issued { secret, stored, selector })
    }

    async fn overwrite_with(
        &self,
        key: &CredentialKey,
        latest: u64,
        secret: Option<&ClientSecret>,
    ) -> Result<StoredSecret> {
        let primary = &self.0.primary;
        primary.overwrite(key, latest, secret).await.map_err(failed(Operation::Rotate, &primary.info().id))
    }
}
