//! The backend behind the layer: asked once, and by all who wait together.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::ready;

use super::flights::{Answer, Flights};
use super::proofs::{Attempt, Proofs, Question};
use crate::backend::{BackendInfo, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{ErrorKind, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// A backend that is asked what is not proved yet.
pub(super) struct Warm {
    inner: SharedBackend,
    /// Keeps the proofs of this backend apart from those of others that share the layer.
    pub(super) realm: u64,
    pub(super) proofs: Arc<Proofs>,
    flights: Arc<Flights>,
}

impl Warm {
    pub(super) fn new(inner: SharedBackend, realm: u64, proofs: Arc<Proofs>) -> Self {
        Self { inner, realm, proofs, flights: Arc::default() }
    }

    /// A secret that the backend has just stored is proved: the new record verifies it by contract.
    fn learn_stored(&self, key: &CredentialKey, stored: &StoredSecret, secret: &ClientSecret, written: Written) {
        if self.inner.info().is_pinned(stored) {
            let question = self.question(key, stored, secret).at(written.epoch);
            self.proofs.learn(&question, Verdict::Match, self.inner.info().remote, written.asked);
        }
    }

    pub(super) fn question(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Question {
        let attempt = self.proofs.attempt(key.client_id(), candidate);
        self.proofs.question(attempt, self.realm, key, stored)
    }

    /// The call that answers the question: one that is under way, or a new one.
    pub(super) fn ask(
        &self,
        question: Question,
        key: &CredentialKey,
        stored: &StoredSecret,
        candidate: &ClientSecret,
    ) -> Answer {
        let mut flights = self.flights.lock();
        if let Some(answer) = flights.find(&question) {
            return answer;
        }
        // The one that this call has just missed may have landed since the first look.
        if let Some(verdict) = self.proofs.decide(&question) {
            return ready(Ok(verdict)).boxed().shared();
        }
        let (inner, proofs) = (Arc::clone(&self.inner), Arc::clone(&self.proofs));
        let (key, stored, candidate) = (key.clone(), stored.clone(), candidate.clone());
        let landing = self.flights.landing(&mut flights, &question);
        let call = async move {
            // Leaves the list when the call is over, and when everybody has gone.
            let _landing = landing;
            let asked = proofs.now();
            match inner.verify(&key, &stored, &candidate).await {
                Ok(verdict) => {
                    proofs.learn(&question, verdict, inner.info().remote, asked);
                    Ok(verdict)
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => proofs.decide_stale(&question).ok_or(error),
                Err(error) => Err(error),
            }
        };
        flights.announce(&question, call.boxed())
    }
}

/// One MAC of the candidate, for all records of its client.
struct Recalling<'a> {
    warm: &'a Warm,
    client: &'a ClientId,
    candidate: &'a ClientSecret,
    attempt: Attempt,
}

impl Recall for Recalling<'_> {
    fn recall(&mut self, key: &CredentialKey, stored: &StoredSecret) -> Option<Verdict> {
        let Self { warm, client, candidate, attempt } = *self;
        if key.client_id() != client {
            return warm.recall(key, stored, candidate);
        }
        let question = warm.proofs.question(attempt, warm.realm, key, stored);
        warm.proofs.decide(&question).or_else(|| warm.inner.recall(key, stored, candidate))
    }
}

/// When a write began, and the epoch that it ended in unless somebody else forgot the credential meanwhile.
struct Written {
    asked: Instant,
    epoch: u32,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Warm {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        self.inner.place(key)
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        self.inner.points_to(stored)
    }

    fn recognises(&self, text: &str) -> bool {
        self.inner.recognises(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        let writing = self.proofs.forgetting(key);
        let asked = self.proofs.now();
        let stored = self.inner.store(key, secret).await?;
        self.learn_stored(key, &stored, secret, Written { asked, epoch: writing.end() });
        Ok(stored)
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        let question = self.question(key, stored, candidate);
        if let Some(verdict) = self.proofs.decide(&question) {
            return Ok(verdict);
        }
        if !self.inner.info().is_pinned(stored) {
            return self.inner.verify(key, stored, candidate).await;
        }
        self.ask(question, key, stored, candidate).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        let question = self.question(key, stored, candidate);
        self.proofs.decide(&question).or_else(|| self.inner.recall(key, stored, candidate))
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        Box::new(Recalling { warm: self, client, candidate, attempt: self.proofs.attempt(client, candidate) })
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.inner.pin(key, stored).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.inner.inspect(key, version).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.inner.overwrite(key, latest, secret).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.inner.reveal(key, stored).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        let writing = self.proofs.replacing(key);
        let asked = self.proofs.now();
        match self.inner.rotate(key, current, secret).await {
            Ok(stored) => {
                self.learn_stored(key, &stored, secret, Written { asked, epoch: writing.end() });
                Ok(stored)
            }
            Err(error) => {
                // Whatever has become of it, the old record stands by contract: an outage takes no client's proof away.
                if error.is_retryable() {
                    writing.keep();
                }
                Err(error)
            }
        }
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        let _forgetting = self.proofs.forgetting(key);
        self.inner.revoke(key, stored).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        let _forgetting = self.proofs.forgetting(key);
        self.inner.forget(key).await
    }

    async fn probe(&self) -> Result<()> {
        self.inner.probe().await
    }
}

impl fmt::Debug for Warm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warm").field("inner", &self.inner).field("entries", &self.proofs.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Warm {
    /// Calls to the backend that somebody waits for.
    pub(super) fn under_way(&self) -> usize {
        self.flights.lock().len()
    }
}
