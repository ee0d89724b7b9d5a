//! Keyed digests in the record: a MAC in place of a slow hash, for generated secrets only.
//!
//! **Stores** nothing of its own: the record is `$hmac-sha256$v=1$keyid=…$salt$mac`, HMAC-SHA-256 under one of the
//! caller's [`MacKeys`] of client id, credential id, 16 random bytes of salt and the secret. A record moved to another
//! credential's row verifies nothing there.
//!
//! **Cost**: a microsecond, right or wrong, cold or warm, so it needs no threads of its own, no queue and no
//! [`WarmLayer`](crate::layers::WarmLayer).
//!
//! **For which secrets**: generated ones, of the [documented form](crate::SecretFormat::documented) with 256 random bits, or of
//! the [forms](KeyedDigest::with_formats) that it is given, with 128 and more. What
//! makes a slow hash necessary is that chosen secrets can be guessed; for random ones of this length there is nothing to
//! slow down. NIST SP 800-63B says so of look-up secrets, its name for secrets that the verifier generates and hands out:
//! from 112 bits on an approved hash function suffices (revision 3, section 5.1.2.2; revision 4, section 3.1.2.2), below
//! that it has to be a salted password hash. HMAC is among the functions that it calls approved. A client secret is used
//! more than once and so is no look-up secret by the letter, but what it says on storage is about entropy. Whoever chose
//! a secret of the right form by hand has what a fast hash gives and no more.
//!
//! **The keys** are needed for every verification: keep them outside of the database, and a copy of them. Without the
//! keys a stolen database gives nothing to try guesses on; when they are lost, every record under them is, too.
//!
//! **Fails** with `Malformed` on a damaged digest, with `InvalidConfig` on a record under a key that is not configured
//! (the message names the key to add), and with `InvalidSecret` when a secret of another form is to be stored.
//!
//! **In and out**: make it the primary of a store that accepts bcrypt, and [`upgrade`](crate::SecretStore::upgrade) after
//! proofs, or rotate; chosen secrets stay where they are. A match under another key than the first is
//! [`MatchOutdated`](Verdict::MatchOutdated), so that `upgrade` changes keys in the same way. Out: another primary.

use std::fmt;

use async_trait::async_trait;
use subtle::ConstantTimeEq;

use super::forms;
use crate::backend::{BackendInfo, Custody, SecretBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::format::SecretFormats;
use crate::keys::{KeyId, MacKey, MacKeys, Purpose};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;

/// HMAC-SHA-256 of generated secrets, under keys that the database does not hold.
///
/// ```
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// use agentidp_secrets::backends::KeyedDigest;
/// use agentidp_secrets::{ClientSecret, CredentialKey, MacKeys, SecretBackend, Verdict};
///
/// let keys = MacKeys::parse("2027-01:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92")?;
/// let keyed = KeyedDigest::new(keys);
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// let secret = ClientSecret::generate()?;
/// let record = keyed.store(&key, &secret).await?;
/// assert!(record.payload().starts_with("$hmac-sha256$v=1$keyid=2027-01$"));
/// assert_eq!(keyed.verify(&key, &record, &secret).await?, Verdict::Match);
///
/// assert!(keyed.store(&key, &ClientSecret::from("correct horse")).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct KeyedDigest {
    info: BackendInfo,
    keys: MacKeys,
}

impl KeyedDigest {
    /// Digests under the first of the keys; verifies under all of them.
    #[must_use]
    pub fn new(keys: MacKeys) -> Self {
        let info = BackendInfo::new(BackendId::KEYED_DIGEST, Custody::Record)
            .with_generated_only()
            .with_quick_digest()
            .with_bound_records()
            .with_parameters(|stored| Digest::parse(stored.payload()).map(|digest| format!("keyid={}", digest.key_id)));
        Self { info, keys }
    }

    /// Takes secrets of these forms, instead of the documented one. Give the store the same ones. Texts of any other form are never
    /// taken here, whatever the store does.
    #[must_use]
    pub fn with_formats(self, formats: impl Into<SecretFormats>) -> Self {
        Self { info: self.info.with_formats(formats), ..self }
    }

    fn digest(&self, operation: Operation, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.info.check_secret(secret).map_err(|error| error.with_operation(operation))?;
        let mut salt = Salt::default();
        getrandom::fill(&mut salt).map_err(|_| {
            failed(operation, ErrorKind::Internal, "the operating system gave no randomness for a salt".to_owned())
        })?;
        let mac_key = self.keys.first();
        let digest = Digest { key_id: mac_key.id(), salt, mac: mac(mac_key, key, &salt, secret) };
        Ok(StoredSecret::new(BackendId::KEYED_DIGEST, digest.to_string()))
    }

    fn decide(&self, key: &CredentialKey, digest: &Digest, candidate: &ClientSecret) -> Result<Verdict> {
        let (place, mac_key) = self.keys.find(&digest.key_id).ok_or_else(|| {
            let message = format!(
                "the digest was made under the key `{}`, which is not configured; add it, or rotate the credential",
                digest.key_id
            );
            failed(Operation::Verify, ErrorKind::InvalidConfig, message)
        })?;
        let matches: bool = mac(mac_key, key, &digest.salt, candidate).ct_eq(&digest.mac).into();
        Ok(match (matches, place) {
            (true, 0) => Verdict::Match,
            (true, _) => Verdict::MatchOutdated,
            (false, _) => Verdict::Mismatch,
        })
    }
}

#[async_trait]
impl SecretBackend for KeyedDigest {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn recognises(&self, text: &str) -> bool {
        forms::is_keyed_digest(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.digest(Operation::Store, key, secret)
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        check_record(Operation::Verify, stored)?;
        let digest = Digest::parse(stored.payload()).ok_or_else(|| {
            failed(Operation::Verify, ErrorKind::Malformed, "the keyed digest is damaged; rotate the credential".into())
        })?;
        if self.info.can_store(candidate) { self.decide(key, &digest, candidate) } else { Ok(Verdict::Mismatch) }
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        check_record(Operation::Rotate, current)?;
        self.digest(Operation::Rotate, key, secret)
    }

    /// Does nothing: the record holds all there is.
    async fn revoke(&self, _key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        check_record(Operation::Revoke, stored)
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

/// As many random bytes as make it unlikely that two records ever share them.
type Salt = [u8; 16];

/// What the payload says.
struct Digest {
    key_id: KeyId,
    salt: Salt,
    mac: [u8; 32],
}

impl Digest {
    const HEAD: &'static str = "$hmac-sha256$v=1$keyid=";

    /// Takes nothing but what [`Display`](fmt::Display) writes.
    fn parse(payload: &str) -> Option<Self> {
        let mut parts = payload.strip_prefix(Self::HEAD)?.split('$');
        let key_id = KeyId::parse(parts.next()?).ok()?;
        let salt = lower_hex(parts.next()?)?;
        let mac = lower_hex(parts.next()?)?;
        parts.next().is_none().then_some(Self { key_id, salt, mac })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}${}${}", Self::HEAD, self.key_id, hex::encode(self.salt), hex::encode(self.mac))
    }
}

fn lower_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    (!digits.bytes().any(|digit| digit.is_ascii_uppercase())).then_some(bytes)
}

fn mac(mac_key: &MacKey, key: &CredentialKey, salt: &Salt, secret: &ClientSecret) -> [u8; 32] {
    let (client, credential) = (key.client_id().as_str().as_bytes(), key.credential_id().as_str().as_bytes());
    mac_key.mac(Purpose::Digest, &[client, credential, salt, secret.expose_secret().as_bytes()])
}

fn check_record(operation: Operation, stored: &StoredSecret) -> Result<()> {
    let id = BackendId::KEYED_DIGEST;
    stored.check_backend(&id).map_err(|error| error.with_operation(operation).with_backend(id))
}

fn failed(operation: Operation, kind: ErrorKind, message: String) -> Error {
    Error::new(kind, message).with_operation(operation).with_backend(BackendId::KEYED_DIGEST)
}

#[cfg(test)]
mod tests;
