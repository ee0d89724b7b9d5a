//! Equal work where there is nothing to verify, so that time does not tell an unknown client from a wrong secret.

use std::iter;

use tokio::sync::OnceCell;

use super::{SecretStore, failed};
use crate::backend::{Custody, SharedBackend};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl SecretStore {
    /// Does the work of a wrong secret, and decides nothing. For an unknown client, and for one whose credentials are
    /// all revoked or expired.
    ///
    /// The candidate is checked against a digest of a secret that nobody knows: the first backend with
    /// [`Custody::Record`] computes one digest, also for a candidate that it could never have stored. With no such
    /// backend the primary is probed, which costs a round trip as a verification would.
    ///
    /// This levels the digests computed, not the network: beside Vault records, a wrong secret costs a round trip more
    /// than an unknown client.
    ///
    /// Behind a [`WarmLayer`](crate::layers::WarmLayer) the decoy is warm, like a client that has authenticated before:
    /// neither of the two computes a digest, and they cannot be told apart. What can is a wrong secret for a digest
    /// that was not proved since the start, which still costs one.
    ///
    /// # Errors
    /// `Throttled` when the digest was refused for want of a free thread. Answer it as you would for a known client:
    /// during a flood a quick "wrong" would tell who is unknown.
    pub async fn verify_decoy(&self, candidate: &ClientSecret) -> Result<()> {
        if let Some(decoy) = &self.0.decoy {
            return decoy.compute(candidate).await;
        }
        // The outcome is nobody's: there is no answer to give.
        let _reachable = self.0.primary.probe().await;
        Ok(())
    }

    /// Makes the decoy digest ahead of time. Without this the first unknown client waits for it, and takes twice as
    /// long as a wrong secret. Call it when the service starts.
    ///
    /// # Errors
    /// `Internal` when the digest cannot be computed.
    pub async fn prepare(&self) -> Result<()> {
        match &self.0.decoy {
            Some(decoy) => decoy.record().await.map(drop),
            None => Ok(()),
        }
    }

    /// Computes one digest where a digest backend is configured, after a mismatch that needed none. A refusal leaves
    /// the mismatch what it is: decided.
    pub(super) async fn level(&self, candidate: &ClientSecret) {
        if let Some(decoy) = &self.0.decoy {
            let _refused = decoy.compute(candidate).await;
        }
    }
}

/// A digest of a secret that nobody knows.
pub(super) struct Decoy {
    backend: SharedBackend,
    key: CredentialKey,
    record: OnceCell<StoredSecret>,
}

impl Decoy {
    /// A decoy on the primary when it computes digests, else on the first accepted backend that does.
    pub(super) fn of(primary: &SharedBackend, accepted: &[SharedBackend]) -> Result<Option<Self>> {
        let key = CredentialKey::parse("decoy", "decoy")?;
        let digests = |backend: &&SharedBackend| backend.info().custody == Custody::Record;
        let backend = iter::once(primary).chain(accepted).find(digests).cloned();
        Ok(backend.map(|backend| Self { backend, key, record: OnceCell::new() }))
    }

    async fn record(&self) -> Result<&StoredSecret> {
        let make = async || self.backend.store(&self.key, &ClientSecret::generate()?).await;
        self.record.get_or_try_init(make).await
    }

    /// Neither outcome is anybody's: the work was the point. Only a refusal is told, because it took no time.
    async fn compute(&self, candidate: &ClientSecret) -> Result<()> {
        // A digest backend does no work for what it could not store; another backend does, and would be told apart.
        let stand_in = (!self.backend.info().can_store(candidate)).then(|| ClientSecret::from("decoy"));
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

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, digest, remote};
    use crate::credential::CredentialKey;
    use crate::layers::WarmLayer;

    /// The timing policy, counted: an attempt that fails computes no digest, whatever it was about, once its client has
    /// authenticated; an unknown client counts as one that has.
    #[tokio::test]
    async fn behind_a_warm_layer_only_what_was_never_proved_computes_a_digest() {
        let fixture = Fixture::behind(&WarmLayer::builder().build().unwrap()).await;
        let computed = async |records: &[crate::StoredSecret]| {
            let before = fixture.digests();
            let key = CredentialKey::parse("client", "credential").unwrap();
            let credentials: Vec<_> = records.iter().map(|record| (key.clone(), record.clone().into())).collect();
            fixture.store.verify_any(&credentials, &"wrong".into()).await.unwrap_err();
            fixture.digests() - before
        };
        let revoked_or_unknown = computed(&[]).await;
        assert_eq!((revoked_or_unknown, computed(&[remote("a")]).await, computed(&[digest("a")]).await), (0, 0, 1));
        fixture.verify(digest("a"), "a").await.unwrap();
        assert_eq!((computed(&[digest("a")]).await, computed(&[digest("a"), remote("a")]).await), (0, 0));
        fixture.store.verify_decoy(&"wrong".into()).await.unwrap();
        assert_eq!(computed(&[]).await, 0);
    }
}
