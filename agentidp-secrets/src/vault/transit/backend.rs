//! [`SecretBackend`] for [`VaultTransit`].

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::failure::TransitFailure;
use super::text::{Mac, Salt, TransitText};
use super::{VaultTransit, during};
use crate::backend::{BackendInfo, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::framed::framed;
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// What the HMAC is for, so that nothing else under the same key is ever taken for it.
const DOMAIN: &[u8] = b"agentidp-secrets transit v1";

/// What is sent where no secret is meant. No secret of a credential is framed like it.
const PROBE: &[u8] = b"agentidp-secrets transit probe";

#[async_trait]
impl SecretBackend for VaultTransit {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        TransitText::is_headed(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.make(key, secret).await.map_err(during(Operation::Store))
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let text = self.read(stored).map_err(during(Operation::Verify))?;
        // Vault is asked whatever the candidate looks like: an outage shows, and an odd candidate takes as long.
        let fits = self.info.can_store(candidate);
        let input = if fits { input(key, &text.salt, candidate) } else { input(key, &text.salt, &"".into()) };
        let is_right = self.client.verify(&input, &text.mac).await;
        if !is_right.map_err(|failure| self.error(Operation::Verify, failure))? || !fits {
            return Ok(Verdict::Mismatch);
        }
        Ok(if self.is_outdated(&text.mac).await { Verdict::MatchOutdated } else { Verdict::Match })
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        let made = match current.check_backend(&BackendId::VAULT_TRANSIT) {
            Ok(()) => self.make(key, secret).await,
            Err(error) => Err(error),
        };
        made.map_err(during(Operation::Rotate))
    }

    /// Does nothing: Vault keeps no secret.
    async fn revoke(&self, _key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        stored.check_backend(&BackendId::VAULT_TRANSIT).map_err(during(Operation::Revoke))
    }

    /// Makes an HMAC of a text of its own and verifies it.
    async fn probe(&self) -> Result<()> {
        self.try_both().await.map_err(|failure| self.error(Operation::Probe, failure))
    }
}

impl VaultTransit {
    async fn make(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret)?;
        let mut salt = Salt::default();
        getrandom::fill(&mut salt).map_err(|_| {
            Error::new(ErrorKind::Internal, "the operating system gave no randomness for a salt; please report it")
        })?;
        let made = self.hmac(&input(key, &salt, secret)).await.map_err(|failure| failure.at(self.site()))?;
        let text = TransitText { key: self.site().key.as_str().into(), salt, mac: made };
        Ok(StoredSecret::new(BackendId::VAULT_TRANSIT, text.to_string()))
    }

    fn read(&self, stored: &StoredSecret) -> Result<TransitText> {
        stored.check_backend(&BackendId::VAULT_TRANSIT)?;
        let text = TransitText::parse(stored.payload()).ok_or_else(|| {
            Error::new(ErrorKind::Malformed, "the record of the transit engine is damaged; rotate the credential")
        })?;
        if *text.key == *self.site().key {
            return Ok(text);
        }
        let message = format!(
            "the record was made under the key `{}` of the transit engine, and `VaultTransit::builder` has `{}`: set it to the record's, \
             or rotate the credential",
            text.key,
            self.site().key
        );
        Err(Error::new(ErrorKind::InvalidConfig, message))
    }

    /// Whether the key has a newer version than the one that made the HMAC. What cannot be found out now is looked at again.
    async fn is_outdated(&self, mac: &Mac) -> bool {
        if !self.newest.is_beyond(mac.version) && self.newest.is_due() {
            let _unknown = self.hmac(PROBE).await;
        }
        self.newest.is_beyond(mac.version)
    }

    pub(super) async fn try_both(&self) -> Result<(), TransitFailure> {
        let made = self.hmac(PROBE).await?;
        self.client.verify(PROBE, &made).await.map(drop)
    }

    async fn hmac(&self, input: &[u8]) -> Result<Mac, TransitFailure> {
        let made = self.client.hmac(input).await?;
        self.newest.note(made.version);
        Ok(made)
    }
}

fn input(key: &CredentialKey, salt: &Salt, secret: &ClientSecret) -> Zeroizing<Vec<u8>> {
    let (client, credential) = (key.client_id().as_str().as_bytes(), key.credential_id().as_str().as_bytes());
    framed(&[DOMAIN, client, credential, salt, secret.expose_secret().as_bytes()])
}
