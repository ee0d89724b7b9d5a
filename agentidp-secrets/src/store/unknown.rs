//! The attempt of a client that there is not.

use std::hint::black_box;

use super::SecretStore;
use super::decoy::Decoy;
use crate::error::Result;
use crate::secret::ClientSecret;

impl SecretStore {
    /// Does the work of a wrong secret, and decides nothing. For an unknown client, and for one whose credentials are
    /// all revoked or expired.
    ///
    /// The candidate is checked against a digest of a secret that nobody knows, on the first backend with a
    /// [slow digest](crate::BackendInfo::slow_digest), else on the first with [`Custody::Record`](crate::Custody::Record); also a
    /// candidate that could never have been stored there. With no such backend the primary is probed, which costs a round trip as a
    /// verification would. With selector keys the decoy is a MAC, as a wrong secret is.
    ///
    /// A candidate that has none of the store's [forms](Self::formats) costs nothing, for a known client and for an unknown one.
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
        if !self.formats().may_be_a_secret(candidate) {
            return Ok(());
        }
        match &self.0.decoy {
            Decoy::Digest(decoy) => decoy.compute(candidate).await,
            Decoy::Probe => {
                // The outcome is nobody's: there is no answer to give.
                let _reachable = self.0.primary.probe().await;
                Ok(())
            }
            Decoy::Selector { keys, formats, key } => {
                let _nobodys = black_box(keys.selector_of(formats, key.client_id(), candidate));
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
