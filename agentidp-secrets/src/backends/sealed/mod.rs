//! Sealed secrets in the record: for who must show a secret again and wants no second service.
//!
//! **Stores** nothing of its own: the record is `$xchacha20-poly1305$v=1$keyid=…$nonce$sealed`, the secret under one of the
//! caller's [`MacKeys`] with a random nonce of 24 bytes. The id of the key, the client id and the credential id are authenticated
//! with it, so a record opens in its own row only.
//!
//! **Cost**: microseconds, right or wrong, so it needs no threads of its own, no queue and no
//! [`WarmLayer`](crate::layers::WarmLayer).
//!
//! **For which secrets**: any, up to 2048 bytes. A stolen database gives nothing to try guesses on without the keys. With
//! them it gives every secret in clear: where no secret has to be shown again a [`KeyedDigest`](super::KeyedDigest) or a slow
//! digest gives less away. A record shows how long its secret is.
//!
//! **The keys** are needed for every verification: keep them outside of the database, and a copy of them. When they are lost,
//! every secret under them is, too. One key seals for longer than any database lives: nonces of 24 random bytes do not repeat.
//!
//! **Fails** with `Malformed` on a record that is damaged, was tampered with, or is another credential's: it does not open, and
//! is never a mismatch. With `InvalidConfig` on a record under a key that is not configured (the message names the key to add).
//!
//! **In and out**: make it the primary of a store that accepts the old backend, and [`upgrade`](crate::SecretStore::upgrade) after
//! proofs, or rotate. A match under another key than the first is [`MatchOutdated`](Verdict::MatchOutdated), so `upgrade`
//! seals again under the first. Out: another primary.

mod text;

#[cfg(test)]
mod tests;

use std::fmt;

use async_trait::async_trait;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use self::text::{Nonce, SealedText};
use crate::backend::{BackendInfo, Custody, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::framed::framed;
use crate::keys::{KeyId, MacKeys};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// Secrets under XChaCha20-Poly1305 in the record, with keys that the database does not hold.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use agentidp_secrets::backends::Sealed;
/// use agentidp_secrets::{ClientSecret, CredentialKey, MacKeys, SecretBackend, Verdict};
///
/// let keys = MacKeys::parse("2027-01:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92")?;
/// let sealed = Sealed::new(keys);
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// let record = sealed.store(&key, &ClientSecret::from("correct horse")).await?;
/// assert!(record.payload().starts_with("$xchacha20-poly1305$v=1$keyid=2027-01$"));
/// assert_eq!(sealed.verify(&key, &record, &"correct horse".into()).await?, Verdict::Match);
///
/// let shown = sealed.reveal(&key, &record).await?.ok_or("it is there")?;
/// assert_eq!(shown.expose_secret(), "correct horse");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sealed {
    info: BackendInfo,
    /// The one for what is new first.
    keys: Vec<(KeyId, XChaCha20Poly1305)>,
}

/// What seals, so that nothing else under the same key is ever taken for it.
const DOMAIN: &[u8] = b"agentidp-secrets sealed v1";

impl Sealed {
    /// Longest secret in bytes. A generated one has 72; a record's text may have 4096.
    pub const MAX_SECRET_LEN: usize = 2048;

    /// Seals under the first of the keys; opens under all of them.
    #[must_use]
    pub fn new(keys: MacKeys) -> Self {
        let info = BackendInfo::new(BackendId::SEALED, Custody::Record)
            .with_max_secret_len(Self::MAX_SECRET_LEN)
            .with_quick_digest()
            .with_bound_records()
            .with_reveal()
            .with_parameters(|stored| SealedText::parse(stored.payload()).map(|text| format!("keyid={}", text.key_id)));
        let keys = keys.all().map(|key| (key.id(), XChaCha20Poly1305::new(key.sealing().into()))).collect();
        Self { info, keys }
    }

    fn seal(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret)?;
        let internal = |message: &'static str| Error::new(ErrorKind::Internal, message);
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce)
            .map_err(|_| internal("the operating system gave no randomness for a nonce; please report it"))?;
        let (key_id, cipher) = self.keys.first().ok_or_else(|| internal("there is no key; please report it"))?;
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &bound_to(*key_id, key) };
        let sealed = cipher
            .encrypt(&nonce.into(), payload)
            .map_err(|_| internal("the secret cannot be sealed; please report it"))?;
        Ok(StoredSecret::new(BackendId::SEALED, SealedText { key_id: *key_id, nonce, sealed }.to_string()))
    }

    /// The secret in a record, and whether it is sealed under the first key.
    fn open(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<(ClientSecret, bool)> {
        let malformed = |message: &'static str| Error::new(ErrorKind::Malformed, message);
        stored.check_backend(&BackendId::SEALED)?;
        let SealedText { key_id, nonce, sealed } = SealedText::parse(stored.payload())
            .ok_or_else(|| malformed("the sealed record is damaged: restore it, or rotate the credential"))?;
        let known = self.keys.iter().enumerate().find(|(_, (id, _))| *id == key_id);
        let Some((place, (_, cipher))) = known else {
            let message = format!(
                "the record is sealed under the key `{key_id}`, which is not configured; add it, or rotate the credential"
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        };
        let payload = Payload { msg: &sealed, aad: &bound_to(key_id, key) };
        let opened = cipher.decrypt(&nonce.into(), payload).map_err(|_| {
            let message = format!(
                "the sealed record does not open: it was changed, is another credential's, or the key `{key_id}` has other \
                 bytes than the one that sealed it; find out who wrote the row, compare the key, or rotate the credential"
            );
            Error::new(ErrorKind::Malformed, message)
        })?;
        let secret = ClientSecret::try_from(opened).map_err(|_| {
            malformed("the sealed record holds no text: find out who wrote the row, or rotate the credential")
        })?;
        Ok((secret, place == 0))
    }
}

#[async_trait]
impl SecretBackend for Sealed {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        SealedText::is_headed(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.seal(key, secret).map_err(during(Operation::Store))
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let (secret, is_today) = self.open(key, stored).map_err(during(Operation::Verify))?;
        let matches = secret.ct_eq(candidate) && self.info.can_store(candidate);
        Ok(match (matches, is_today) {
            (true, true) => Verdict::Match,
            (true, false) => Verdict::MatchOutdated,
            (false, _) => Verdict::Mismatch,
        })
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        let opened = self.open(key, stored).map_err(during(Operation::Reveal))?;
        Ok(Some(opened.0))
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        current
            .check_backend(&BackendId::SEALED)
            .and_then(|()| self.seal(key, secret))
            .map_err(during(Operation::Rotate))
    }

    /// Does nothing: the record holds all there is.
    async fn revoke(&self, _key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        stored.check_backend(&BackendId::SEALED).map_err(during(Operation::Revoke))
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

/// Shows the ids of the keys.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|(id, _)| id).collect();
        f.debug_struct("Sealed").field("keys", &ids).finish_non_exhaustive()
    }
}

/// What a record is bound to.
fn bound_to(key_id: KeyId, key: &CredentialKey) -> Zeroizing<Vec<u8>> {
    let (client, credential) = (key.client_id().as_str().as_bytes(), key.credential_id().as_str().as_bytes());
    framed(&[DOMAIN, key_id.as_str().as_bytes(), client, credential])
}

fn during(operation: Operation) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation).with_backend(BackendId::SEALED)
}
