//! Proves a client by its secret, and checks the proof again right before the answer.
//!
//! A login asks two questions, at two moments:
//!
//! - [`Authenticator::authenticate`]: does the secret belong to a credential that counts? Rows in
//!   memory may let a client in. Before they refuse one, the rows are read again.
//! - [`Authenticator::still_counts`]: does that credential still count, now that the token is on
//!   record? A revocation may be acknowledged while a login waits for its digest or for its audit
//!   event. The second look follows all waits, so the login gets no token after that
//!   acknowledgement.
//!
//! A change of the rows is no refusal. A change of another credential, a first use or a selector
//! leaves the proved record as it is, and the proof counts. Where the record itself has changed, by
//! an upgrade or a rotation, the same secret is verified against the new one.

use std::sync::Arc;

use agentidp_secrets::{
    ClientSecret, Clock, CredentialKey, CredentialSecrets, Error, ErrorKind, SecretStore, Verified, VerifyError,
};
use uuid::Uuid;

use super::ATTEMPTS;
use crate::domain::{AgentStatus, Credential, Timestamp};
use crate::error::{ApiError, ApiResult};
use crate::repo::{AsOf, Authentication, ClientRows, CredentialRepo, Freshness, IdempotencyRepo};

/// Decides whether a client is who it says it is. Knows rows, store and time, and nothing of the
/// request.
#[derive(Clone, Copy)]
pub(crate) struct Authenticator<'a> {
    pub(crate) store: &'a SecretStore,
    pub(crate) credentials: &'a dyn CredentialRepo,
    pub(crate) idempotency: &'a dyn IdempotencyRepo,
    pub(crate) clock: &'a dyn Clock,
}

/// What an authentication came to.
pub(crate) enum Decision {
    /// The secret is one of an active client's.
    Proved(Proof),
    /// The secret is right, and the client may not authenticate.
    NotActive { client_id: Uuid },
    /// The secret is wrong, or there is no such client.
    Failed { agent_id: Option<Uuid> },
}

/// A secret that was proved, and the rows that it was proved by.
pub(crate) struct Proof {
    pub(crate) client_id: Uuid,
    pub(crate) credential_id: Uuid,
    pub(crate) verified: Verified,
    known: Arc<Authentication>,
    candidate: usize,
    as_of: AsOf,
}

impl Proof {
    /// The row of the proved credential, whose secret counts as used.
    pub(crate) fn used_row(&self) -> Option<Credential> {
        let mut row = self.known.credential(self.candidate)?;
        row.secret.awaits_use = false;
        Some(row)
    }

    /// The epoch of the client's tokens by the rows that it was proved by.
    pub(crate) fn token_epoch(&self) -> i64 {
        self.known.token_epoch
    }

    /// Whether `rows` still let the client in by the proved record.
    fn counts_by(&self, rows: &ClientRows) -> bool {
        let Some(known) = &rows.known else { return false };
        known.agent_status == AgentStatus::Active
            && known.token_epoch == self.known.token_epoch
            && known.vouches_for(&self.known, self.candidate)
    }
}

/// What one try came to.
enum Attempt {
    /// `Failed` names no agent yet.
    Decided(Decision),
    /// The row was changed meanwhile.
    Changed,
    /// Vault has no such secret.
    Gone(Error),
}

impl Authenticator<'_> {
    /// Tries the secret against the client's credentials; `None` is an id that no client can have.
    ///
    /// # Errors
    /// `Busy` when the rows change all the time. What rows or backends fail with: an outage is
    /// never a refusal.
    pub(crate) async fn authenticate(&self, client_id: Option<Uuid>, secret: &ClientSecret) -> ApiResult<Decision> {
        let rows = self.rows(client_id, Freshness::Cached).await?;
        self.prove(client_id, rows, secret).await
    }

    /// Looks at a proof once more, when everything but the answer is done. `Proved` is returned
    /// without a wait after the look: hand over the answer without another one. Costs no query
    /// where memory may serve the rows and no change is known of.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub(crate) async fn still_counts(&self, mut proof: Proof, secret: &ClientSecret) -> ApiResult<Decision> {
        let client_id = proof.client_id;
        for _ in 0..ATTEMPTS {
            let current = self.credentials.is_current(client_id, proof.as_of);
            if current && proof.known.is_unexpired(proof.candidate, self.now()) {
                return Ok(Decision::Proved(proof));
            }
            let rows = self.rows(Some(client_id), Freshness::Latest).await?;
            if self.credentials.is_changed(client_id, rows.as_of) {
                continue;
            }
            if proof.counts_by(&rows) {
                return Ok(Decision::Proved(proof));
            }
            // The record has changed, or is gone: the secret is tried against what there is now,
            // and that is looked at.
            match self.prove(Some(client_id), rows, secret).await? {
                Decision::Proved(anew) => proof = anew,
                refused => return Ok(refused),
            }
        }
        Err(ApiError::Busy(None))
    }

    /// Tries the secret against `rows`, and against newer ones where these cannot decide: rows from
    /// memory that lead to a refusal, and rows that were changed meanwhile, by a first use that was
    /// noted or an end that lets Vault forget.
    async fn prove(&self, client_id: Option<Uuid>, mut rows: ClientRows, secret: &ClientSecret) -> ApiResult<Decision> {
        for _ in 0..ATTEMPTS {
            let (outcome, freshness) = match self.attempt(client_id, &rows, secret).await? {
                Attempt::Decided(Decision::Proved(proof)) => return Ok(Decision::Proved(proof)),
                Attempt::Decided(refusal) if rows.from_memory => (Some(Ok(refusal)), Freshness::After(rows.as_of)),
                Attempt::Decided(refusal) => return refuse(refusal, client_id, &rows),
                Attempt::Changed => (None, Freshness::Latest),
                Attempt::Gone(error) => (Some(Err(ApiError::vault(error))), Freshness::Latest),
            };
            let newer = self.rows(client_id, freshness).await?;
            let outcome = outcome.filter(|_| decide_alike(&rows, &newer));
            rows = newer;
            if let Some(outcome) = outcome {
                return outcome.and_then(|refusal| refuse(refusal, client_id, &rows));
            }
        }
        Err(ApiError::Busy(None))
    }

    /// The same work is done for a client that does not exist.
    async fn attempt(&self, client_id: Option<Uuid>, rows: &ClientRows, secret: &ClientSecret) -> ApiResult<Attempt> {
        let verified = self.store.verify_any(candidates(rows), secret).await;
        match (verified, client_id.zip(rows.known.as_ref())) {
            (Ok(matched), Some((client_id, known))) => {
                let none = || ApiError::internal("a secret matched no credential");
                let (candidate, verified) = (matched.index, matched.verified);
                let credential_id = known.credential_id(candidate).ok_or_else(none)?;
                // A retried request may have replaced it just now: then this is no secret of the
                // client's any more.
                if known.awaits_use(candidate) {
                    let row = known.credential(candidate).ok_or_else(none)?;
                    if !self.idempotency.used(&row).await? {
                        return Ok(Attempt::Changed);
                    }
                }
                if known.agent_status != AgentStatus::Active {
                    return Ok(Attempt::Decided(Decision::NotActive { client_id }));
                }
                let (known, as_of) = (Arc::clone(known), rows.as_of);
                let proof = Proof { client_id, credential_id, verified, known, candidate, as_of };
                Ok(Attempt::Decided(Decision::Proved(proof)))
            }
            // A store that matches nothing against nothing would be broken.
            (Ok(_), None) => Err(ApiError::internal("a secret matched no client")),
            (Err(VerifyError::Mismatch), _) => Ok(Attempt::Decided(Decision::Failed { agent_id: None })),
            (Err(VerifyError::Backend(error)), _) if error.kind() == ErrorKind::NotFound => Ok(Attempt::Gone(error)),
            (Err(VerifyError::Backend(error)), _) => Err(ApiError::vault(error)),
            (Err(error), _) => Err(ApiError::internal(error)),
        }
    }

    async fn rows(&self, client_id: Option<Uuid>, freshness: Freshness) -> ApiResult<ClientRows> {
        match client_id {
            Some(id) => Ok(self.credentials.rows(id, self.now(), freshness).await?),
            None => Ok(ClientRows::read(None)),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }
}

/// Completes a refusal that `rows` have led to. No mismatch where a row cannot be read: it may be
/// the one.
fn refuse(refusal: Decision, client_id: Option<Uuid>, rows: &ClientRows) -> ApiResult<Decision> {
    if !matches!(refusal, Decision::Failed { .. }) {
        return Ok(refusal);
    }
    if let Some(corrupt) = rows.known.as_ref().and_then(|known| known.corrupt()) {
        return Err(ApiError::internal(corrupt.clone()));
    }
    let agent_id = client_id.filter(|_| rows.known.is_some());
    // A client that does not exist gets its line where its failure is sampled.
    if let Some(client_id) = agent_id {
        tracing::warn!(%client_id, reason = "no active credential matches", "a client failed to authenticate");
    }
    Ok(Decision::Failed { agent_id })
}

/// Whether a secret that one of these did not let in is not let in by the other either.
fn decide_alike(one: &ClientRows, other: &ClientRows) -> bool {
    let status = |rows: &ClientRows| rows.known.as_ref().map(|known| known.agent_status);
    status(one) == status(other) && candidates(one) == candidates(other)
}

fn candidates(rows: &ClientRows) -> &[(CredentialKey, CredentialSecrets)] {
    rows.known.as_ref().map_or(&[], |known| known.candidates())
}
