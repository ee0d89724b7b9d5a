//! Equal work where there is nothing to verify, so that time does not tell an unknown client from a wrong secret.

use std::iter;

use tokio::sync::OnceCell;

use super::failed::failed;
use crate::backend::{BackendInfo, Custody, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation, Result};
use crate::format::{SecretFormat, SecretFormats};
use crate::keys::MacKeys;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// What an unknown client costs.
pub(super) enum Decoy {
    Digest(DecoyDigest),
    Probe,
    /// As much as the one MAC that decides on a client's credentials.
    Selector {
        keys: MacKeys,
        formats: SecretFormats,
        key: CredentialKey,
    },
}

impl Decoy {
    /// A selector where there are keys for it; else a digest: on the primary when its digests are slow, else on the first
    /// accepted backend with slow ones, else on the first with any.
    pub(super) fn of(
        primary: &SharedBackend,
        accepted: &[SharedBackend],
        keys: Option<&MacKeys>,
        formats: &SecretFormats,
    ) -> Result<Self> {
        let key = CredentialKey::parse("decoy", "decoy")?;
        if let Some(keys) = keys {
            return Ok(Self::Selector { keys: keys.clone(), formats: formats.clone(), key });
        }
        let first = |wanted: fn(&BackendInfo) -> bool| {
            iter::once(primary).chain(accepted).find(|backend| wanted(backend.info())).cloned()
        };
        let backend = first(|info| info.slow_digest).or_else(|| first(|info| info.custody == Custody::Record));
        let Some(backend) = backend else { return Ok(Self::Probe) };
        Ok(Self::Digest(DecoyDigest::new(backend, key, formats)?))
    }

    /// Whether a mismatch of this candidate on this backend has cost what the decoy does.
    pub(super) fn is_matched_by(&self, info: &BackendInfo, candidate: &ClientSecret) -> bool {
        match self {
            Self::Digest(decoy) => {
                let digested = info.custody == Custody::Record && info.can_store(candidate);
                digested && (info.slow_digest || !decoy.backend.info().slow_digest)
            }
            Self::Probe | Self::Selector { .. } => true,
        }
    }
}

/// A digest of a secret that nobody knows.
pub(super) struct DecoyDigest {
    backend: SharedBackend,
    key: CredentialKey,
    /// Of a backend that only verifies, and can make none.
    given: Option<StoredSecret>,
    /// A form that the backend takes.
    form: SecretFormat,
    /// Stands in for a candidate that the backend would refuse without computing.
    stand_in: ClientSecret,
    record: OnceCell<StoredSecret>,
}

impl DecoyDigest {
    fn new(backend: SharedBackend, key: CredentialKey, formats: &SecretFormats) -> Result<Self> {
        let form = backend.info().formats().unwrap_or(formats).issued().clone();
        let stand_in = form.generate(key.credential_id())?;
        Ok(Self { given: backend.info().decoy(), backend, key, form, stand_in, record: OnceCell::new() })
    }
}

impl DecoyDigest {
    pub(super) async fn record(&self) -> Result<&StoredSecret> {
        if let Some(decoy) = &self.given {
            return Ok(decoy);
        }
        let make = async || self.backend.store(&self.key, &self.form.generate(self.key.credential_id())?).await;
        self.record.get_or_try_init(make).await
    }

    /// Neither outcome is anybody's: the work was the point. Only a refusal is told, because it took no time.
    pub(super) async fn compute(&self, candidate: &ClientSecret) -> Result<()> {
        // A digest backend does no work for what it could not store; another backend does, and would be told apart.
        let candidate = if self.backend.info().can_store(candidate) { candidate } else { &self.stand_in };
        let worked = match self.record().await {
            Ok(record) => self.backend.verify(&self.key, record, candidate).await.map(drop),
            Err(error) => Err(error),
        };
        match worked {
            Err(error) if error.kind() == ErrorKind::Throttled => {
                Err(failed(Operation::Verify, &self.backend.info().id)(error))
            }
            _ => Ok(()),
        }
    }
}
