//! Proves a client by its secret, and checks the proof again right before the answer.
//!
//! A login asks two questions, at two moments:
//!
//! - [`Lifecycle::authenticate`]: does the secret belong to a credential that counts? Rows in memory may let a client in. Before
//!   they refuse one, the rows are read again.
//! - [`Lifecycle::still_counts`]: does that credential still count, now that everything else is done? An end may be acknowledged
//!   while a login waits for its digest or for its audit event. The second look follows all waits, so the login gets no token
//!   after that acknowledgement.
//!
//! A change of the rows is no refusal. A change of another credential, a first use or a selector leaves the proved record as it
//! is, and the proof counts. Where the record itself has changed, by an upgrade or a rotation, the same secret is verified
//! against the new one.

use std::sync::Arc;
use std::time::SystemTime;

use super::ledger::Ledger;
use super::rows::{AsOf, ClientRows, Freshness, Known, Row};
use super::{ATTEMPTS, Failure, Lifecycle};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, VerifyError};
use crate::secret::ClientSecret;
use crate::store::{CredentialSecrets, Generation, Verified};

/// What an authentication came to.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers must handle each")]
#[must_use = "ignoring a decision lets everybody in"]
pub enum Decision {
    /// The secret is one of an active client's.
    Proved(Proof),
    /// The secret is right, and the client may not authenticate.
    NotActive,
    /// The secret is wrong, or there is no such client.
    Mismatch {
        /// Whether the client exists: for the audit, and not for the answer. `false` too where the secret has none of the store's
        /// [forms](crate::SecretStore::formats), for which no row is read.
        known: bool,
    },
}

/// A secret that was proved, and the rows that it was proved by.
#[derive(Debug)]
pub struct Proof {
    key: CredentialKey,
    verified: Verified,
    known: Arc<Known>,
    candidate: usize,
    as_of: AsOf,
}

impl Proof {
    /// Whose secret it is.
    #[must_use]
    pub fn key(&self) -> &CredentialKey {
        &self.key
    }

    /// What the store says of it: which of the credential's secrets it was, and whether the proof is stale.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The owner's [epoch](Known::in_epoch) by the rows that it was proved by.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.known.epoch()
    }

    /// The row that it was proved by. The secret that was proved counts as used.
    pub(super) fn row(&self) -> Option<Row> {
        let is_current = self.verified.generation == Generation::Current;
        self.known.row(self.candidate).map(|row| Row { is_unused: row.is_unused && !is_current, ..row })
    }

    fn counts_by(&self, rows: &ClientRows) -> bool {
        let vouches = |known: &Known| known.may_authenticate() && known.vouches_for(&self.known, self.candidate);
        rows.known.as_deref().is_some_and(vouches)
    }
}

/// What one try came to.
enum Attempt {
    Decided(Decision),
    /// The row was changed meanwhile.
    Changed,
    /// The backend has no such secret.
    Gone(Error),
}

impl<L: Ledger> Lifecycle<L> {
    /// Tries a secret against a client's credentials. What the proof is worth is put into today's form in the background.
    ///
    /// A client that does not exist costs what a wrong secret costs.
    ///
    /// # Errors
    /// [`Failure`]: `Busy` when the rows change all the time; `Backend`, `Ledger`: an outage is never a refusal.
    pub async fn authenticate(&self, client: &ClientId, secret: &ClientSecret) -> Result<Decision, Failure<L::Error>> {
        if !self.0.store.formats().may_be_a_secret(secret) {
            return Ok(Decision::Mismatch { known: false });
        }
        let rows = self.rows(client, Freshness::Cached).await?;
        Ok(self.upgrading(self.prove(client, rows, secret).await?, secret))
    }

    /// Puts what a proof is worth into today's form, in the background.
    pub(super) fn upgrading(&self, decision: Decision, secret: &ClientSecret) -> Decision {
        if let Decision::Proved(proof) = &decision {
            self.begin_upgrade(proof, secret);
        }
        decision
    }

    /// Looks at a proof once more, when everything but the answer is done: whether the owner may still authenticate, and the proved
    /// record still counts. `Proved` is returned without a wait after the look: hand over the answer without another one.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub async fn still_counts(&self, mut proof: Proof, secret: &ClientSecret) -> Result<Decision, Failure<L::Error>> {
        let (client, ledger) = (proof.key().client_id().clone(), &self.0.ledger);
        for _ in 0..ATTEMPTS {
            let expires_at = proof.known.expires_at(proof.candidate);
            if !self.is_over(&proof) && ledger.is_current(&client, proof.as_of, expires_at) {
                return Ok(Decision::Proved(proof));
            }
            let rows = self.rows(&client, Freshness::Latest).await?;
            if ledger.is_changed(&client, rows.as_of) {
                continue;
            }
            if !self.is_over(&proof) && proof.counts_by(&rows) {
                return Ok(Decision::Proved(proof));
            }
            // The record has changed, or is gone: the secret is tried against what there is now, and that is looked at.
            match self.prove(&client, rows, secret).await? {
                Decision::Proved(anew) => proof = anew,
                refused => return Ok(refused),
            }
        }
        Err(Failure::Busy)
    }

    /// Whether the overlap has ended since a previous secret was proved.
    fn is_over(&self, proof: &Proof) -> bool {
        let end = proof.known.previous_ends_at(proof.candidate);
        let is_previous = proof.verified.generation == Generation::Previous;
        is_previous && end.is_none_or(|end| end <= self.0.store.now())
    }

    /// Tries the secret against `rows`, and against newer ones where these cannot decide: rows from memory that lead to a refusal,
    /// or rows with a record that means "the latest"; and rows that were changed meanwhile, by a first use that was noted or an
    /// end that lets the backend forget.
    pub(super) async fn prove(
        &self,
        client: &ClientId,
        mut rows: ClientRows,
        secret: &ClientSecret,
    ) -> Result<Decision, Failure<L::Error>> {
        for _ in 0..ATTEMPTS {
            let (outcome, freshness) = match self.attempt(&rows, secret).await? {
                Attempt::Decided(Decision::Proved(proof)) => return Ok(Decision::Proved(proof)),
                // A rotation may have been committed between these rows and what they mean.
                Attempt::Decided(refusal) if self.means_latest(&rows) => (Some(Ok(refusal)), Freshness::Latest),
                Attempt::Decided(refusal) if rows.from_memory => (Some(Ok(refusal)), Freshness::After(rows.as_of)),
                Attempt::Decided(refusal) => return refuse(refusal, &rows),
                Attempt::Changed => (None, Freshness::Latest),
                Attempt::Gone(error) => (Some(Err(Failure::Backend(error))), Freshness::Latest),
            };
            let newer = self.rows(client, freshness).await?;
            let outcome = outcome.filter(|_| decide_alike(&rows, &newer));
            rows = newer;
            if let Some(outcome) = outcome {
                return outcome.and_then(|refusal| refuse(refusal, &rows));
            }
        }
        Err(Failure::Busy)
    }

    /// Whether a record means "the latest" version. A rotation may have pinned it, and written a later version, since the rows
    /// were read.
    fn means_latest(&self, rows: &ClientRows) -> bool {
        let is_bare =
            |secrets: &CredentialSecrets| self.points_to(&secrets.current).is_some_and(|to| to.version.is_none());
        candidates(rows).iter().any(|(_, secrets)| is_bare(secrets))
    }

    /// The same work is done for a client that does not exist.
    async fn attempt(&self, rows: &ClientRows, secret: &ClientSecret) -> Result<Attempt, Failure<L::Error>> {
        // It counts as used when it was tried: by the time of the answer it may be the previous one.
        let now = self.0.store.now();
        let error = match (self.0.store.verify_any(candidates(rows), secret).await, &rows.known) {
            (Ok(matched), Some(known)) => {
                return self.matched(known, matched.index, matched.verified, rows.as_of, now).await;
            }
            // A store that matches something against nothing would be broken.
            (Ok(_), None) => Error::new(ErrorKind::Internal, "a secret matched no client"),
            (Err(VerifyError::Mismatch), known) => {
                return Ok(Attempt::Decided(Decision::Mismatch { known: known.is_some() }));
            }
            (Err(VerifyError::Backend(error)), _) => error,
        };
        if error.kind() == ErrorKind::NotFound { Ok(Attempt::Gone(error)) } else { Err(error.into()) }
    }

    async fn matched(
        &self,
        known: &Arc<Known>,
        candidate: usize,
        verified: Verified,
        as_of: AsOf,
        now: SystemTime,
    ) -> Result<Attempt, Failure<L::Error>> {
        let none = || Error::new(ErrorKind::Internal, "a secret matched a credential that was not tried");
        let key = known.key(candidate).ok_or_else(none)?.clone();
        // A retried request may have replaced it just now: then this is no secret of the client's any more. A login with the
        // previous secret does not use the present one, whose owner may not have seen it.
        if verified.generation == Generation::Current && known.is_unused(candidate) {
            let row = known.row(candidate).ok_or_else(none)?;
            if !self.0.ledger.used(&row).await.map_err(Failure::Ledger)? {
                return Ok(Attempt::Changed);
            }
        }
        Ok(Attempt::Decided(if known.may_authenticate() {
            self.note_use(&key, known.revision(candidate), verified.generation, now);
            Decision::Proved(Proof { key, verified, known: Arc::clone(known), candidate, as_of })
        } else {
            Decision::NotActive
        }))
    }

    async fn rows(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, Failure<L::Error>> {
        self.0.ledger.rows(client, freshness).await.map_err(Failure::Ledger)
    }
}

/// Completes a refusal that `rows` have led to. No mismatch where a row cannot be read: it may be the one.
fn refuse<E>(refusal: Decision, rows: &ClientRows) -> Result<Decision, Failure<E>> {
    if matches!(refusal, Decision::Mismatch { .. }) && rows.known.as_ref().is_some_and(|known| known.is_damaged()) {
        let message = "a row of the client cannot be read, and may be the one that was meant: rotate the credential";
        return Err(Failure::Backend(Error::new(ErrorKind::Malformed, message)));
    }
    Ok(refusal)
}

/// Whether a secret that one of these did not let in is not let in by the other either.
fn decide_alike(one: &ClientRows, other: &ClientRows) -> bool {
    let status = |rows: &ClientRows| rows.known.as_ref().map(|known| known.may_authenticate());
    status(one) == status(other) && candidates(one) == candidates(other)
}

fn candidates(rows: &ClientRows) -> &[(CredentialKey, CredentialSecrets)] {
    rows.known.as_ref().map_or(&[], |known| known.candidates())
}
