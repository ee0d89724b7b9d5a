//! Equal work where there is nothing to verify, so that time does not tell an unknown client from a wrong secret.

use std::hint::black_box;
use std::iter;

use tokio::sync::OnceCell;

use super::{SecretStore, failed};
use crate::backend::{BackendInfo, Custody, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation, Result};
use crate::keys::MacKeys;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl SecretStore {
    /// Does the work of a wrong secret, and decides nothing. For an unknown client, and for one whose credentials are
    /// all revoked or expired.
    ///
    /// The candidate is checked against a digest of a secret that nobody knows, on the first backend with a
    /// [slow digest](BackendInfo::slow_digest), else on the first with [`Custody::Record`]; also a candidate that could
    /// never have been stored there. With no such backend the primary is probed, which costs a round trip as a
    /// verification would. With selector keys the decoy is a MAC, as a wrong secret is.
    ///
    /// # What a failed attempt computes
    /// Slow digests, of one credential, in a store with a backend for them. *Warm* is a record that was proved since the
    /// start, behind a [`WarmLayer`](crate::layers::WarmLayer); the decoy counts as proved from
    /// [`prepare`](Self::prepare) on.
    ///
    /// | the attempt is for | no selector keys: cold | warm | selector keys: cold | warm |
    /// |---|---|---|---|---|
    /// | an unknown client, or only revoked or expired credentials | 1 | 0 | 0 | 0 |
    /// | a slow digest | 1 | 0 | 0; **1** while the row has no selector | 0 |
    /// | a keyed digest | 1, beside its own MAC | 0 | 0 | 0 |
    /// | a record in a backend's custody | 1, beside the round trip | 0 | 0 | 0 |
    ///
    /// This levels digests, and not the network: beside a record in a backend's custody a wrong secret costs a round trip
    /// more than an unknown client, until it is warm or has a selector. What is not levelled either: a cold slow digest
    /// beside a warm decoy (1 against 0) tells that there is such a client, which has not been seen since the start; a row
    /// without a selector, in a store with keys, tells the same of a client that was not seen since the keys came.
    /// A client with several cold slow digests costs several.
    ///
    /// # Errors
    /// `Throttled` when the digest was refused for want of a free thread. Answer it as you would for a known client:
    /// during a flood a quick "wrong" would tell who is unknown.
    pub async fn verify_decoy(&self, candidate: &ClientSecret) -> Result<()> {
        match &self.0.decoy {
            Decoy::Digest(decoy) => decoy.compute(candidate).await,
            Decoy::Probe => {
                // The outcome is nobody's: there is no answer to give.
                let _reachable = self.0.primary.probe().await;
                Ok(())
            }
            Decoy::Selector { keys, key } => {
                let _nobodys = black_box(keys.selector(key.client_id(), candidate));
                Ok(())
            }
        }
    }

    /// Makes the decoy digest ahead of time. Without this the first unknown client waits for it, and takes twice as
    /// long as a wrong secret. Call it when the service starts.
    ///
    /// # Errors
    /// `Internal` when the digest cannot be computed.
    pub async fn prepare(&self) -> Result<()> {
        match &self.0.decoy {
            Decoy::Digest(decoy) => decoy.record().await.map(drop),
            Decoy::Probe | Decoy::Selector { .. } => Ok(()),
        }
    }

    /// Computes the digest that an unknown client costs, after a mismatch that needed none. A refusal leaves the mismatch
    /// what it is: decided.
    pub(super) async fn level(&self, candidate: &ClientSecret) {
        if let Decoy::Digest(decoy) = &self.0.decoy {
            let _refused = decoy.compute(candidate).await;
        }
    }
}

/// What an unknown client costs.
pub(super) enum Decoy {
    Digest(DecoyDigest),
    Probe,
    /// As much as the one MAC that decides on a client's credentials.
    Selector {
        keys: MacKeys,
        key: CredentialKey,
    },
}

impl Decoy {
    /// A selector where there are keys for it; else a digest: on the primary when its digests are slow, else on the first
    /// accepted backend with slow ones, else on the first with any.
    pub(super) fn of(primary: &SharedBackend, accepted: &[SharedBackend], keys: Option<&MacKeys>) -> Result<Self> {
        let key = CredentialKey::parse("decoy", "decoy")?;
        if let Some(keys) = keys {
            return Ok(Self::Selector { keys: keys.clone(), key });
        }
        let first = |wanted: fn(&BackendInfo) -> bool| {
            iter::once(primary).chain(accepted).find(|backend| wanted(backend.info())).cloned()
        };
        let backend = first(|info| info.slow_digest).or_else(|| first(|info| info.custody == Custody::Record));
        Ok(backend.map_or(Self::Probe, |backend| Self::Digest(DecoyDigest { backend, key, record: OnceCell::new() })))
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
    record: OnceCell<StoredSecret>,
}

impl DecoyDigest {
    /// Stands in for a candidate that the backend would refuse without computing. Every backend takes this form.
    const STAND_IN: &str = "sk_live_0000000000000000000000000000000000000000000000000000000000000000";

    async fn record(&self) -> Result<&StoredSecret> {
        let make = async || self.backend.store(&self.key, &ClientSecret::generate()?).await;
        self.record.get_or_try_init(make).await
    }

    /// Neither outcome is anybody's: the work was the point. Only a refusal is told, because it took no time.
    async fn compute(&self, candidate: &ClientSecret) -> Result<()> {
        // A digest backend does no work for what it could not store; another backend does, and would be told apart.
        let stand_in = (!self.backend.info().can_store(candidate)).then(|| ClientSecret::from(Self::STAND_IN));
        let candidate = stand_in.as_ref().unwrap_or(candidate);
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
