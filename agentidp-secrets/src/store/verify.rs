//! Is the candidate the secret of one credential?

use super::SecretStore;
use super::failed::failed;
use super::lifecycle::{CredentialSecrets, Generation, Verified};
use super::memories::Memories;
use super::select::{Record, Selection, Trial};
use crate::backend::{BackendInfo, SharedBackend, Verdict};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result, VerifyError};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// What came of the records of one credential.
pub(super) struct Attempt {
    pub(super) outcome: Result<Verified, VerifyError>,
    /// Whether the work of an unknown client has been done.
    pub(super) level: bool,
}

/// What is remembered of the records of one credential.
pub(super) enum Remembered<'a> {
    Proved(Verified),
    /// No match so far; the rest, maybe none, has to be asked about.
    Open {
        level: bool,
        rest: Trial<'a>,
    },
}

impl SecretStore {
    /// Decides whether `candidate` is the credential's secret. `Ok` means proved, and nothing else does.
    ///
    /// The previous record is tried when the current one is a mismatch and the grace period is not over. When the
    /// current one cannot be decided, that is the answer: nothing falls through an outage. A secret that the backend no
    /// longer holds (`NotFound`) is no outage: a previous one matches nothing, and without the current one a candidate
    /// may still match the previous one. A candidate that does not is not called wrong, as it may be the current secret.
    ///
    /// A candidate that has none of the store's [forms](Self::formats) is a mismatch before anything else is done.
    ///
    /// With [selector keys](crate::SecretStoreBuilder::selector_keys) a record whose [`Selector`](crate::Selector) does
    /// not fit the candidate is a mismatch without being asked, and so whatever state its backend is in; one whose
    /// selector fits is tried first. A record without one, or with one under a key that is not configured, is tried as
    /// ever.
    ///
    /// A text of other software is shown to the backends, and the first that
    /// [recognises](crate::SecretBackend::recognises) it decides. A match on it is outdated: it is worth an
    /// [upgrade](Self::upgrade).
    ///
    /// Whether the credential is still active is the caller's to know; for a revoked or expired one, and for an unknown
    /// client, call [`verify_decoy`](Self::verify_decoy) instead. A mismatch that has not cost what an unknown client
    /// costs, because the record is a pointer, say, is made to: [`verify_decoy`](Self::verify_decoy) has the table.
    ///
    /// Alone, a login that waits for its audit event gets its token after an end was acknowledged.
    /// [`Lifecycle::still_counts`](crate::lifecycle::Lifecycle::still_counts) checks the proof once more, right before the answer.
    ///
    /// # Errors
    /// [`VerifyError::Mismatch`] when the candidate is wrong; [`VerifyError::Backend`] when nobody could decide, with
    /// the kinds of [`SecretBackend::verify`](crate::SecretBackend::verify), or `UnknownBackend` when the record's
    /// backend is not configured.
    pub async fn verify(
        &self,
        key: &CredentialKey,
        secrets: &CredentialSecrets,
        candidate: &ClientSecret,
    ) -> Result<Verified, VerifyError> {
        if !self.formats().may_be_a_secret(candidate) {
            return Err(VerifyError::Mismatch);
        }
        let (mut level, mut gone) = (false, None);
        let (chosen, open) = Selection::new(self, candidate).sort(0, key, secrets);
        for trial in [chosen, open].into_iter().filter(|trial| !trial.is_empty()) {
            let attempt = self.attempt(trial, candidate).await;
            level |= attempt.level;
            match attempt.outcome {
                Err(VerifyError::Mismatch) => {}
                Err(VerifyError::Backend(error)) if is_gone(&error) => gone = Some(error),
                decided => return decided,
            }
        }
        if let Some(error) = gone {
            return Err(error.into());
        }
        if !level {
            Box::pin(self.level(candidate)).await; // rare, and large
        }
        Err(VerifyError::Mismatch)
    }

    /// Tries the records by what is remembered of them, then asks about the rest. Without any it is a mismatch.
    pub(super) async fn attempt(&self, trial: Trial<'_>, candidate: &ClientSecret) -> Attempt {
        let (key, mut memories) = (trial.key, Memories::new(candidate));
        let remembered = if trial.records().nth(1).is_some() {
            self.attempt_from_memory(trial, candidate, false, |backend, stored| memories.recall(backend, key, stored))
        } else {
            self.attempt_from_memory(trial, candidate, false, |backend, stored| backend.recall(key, stored, candidate))
        };
        match remembered {
            Remembered::Proved(verified) => Attempt { outcome: Ok(verified), level: false },
            Remembered::Open { level, rest } => {
                let asked = self.ask(&rest, candidate).await;
                Attempt { level: level | asked.level, ..asked }
            }
        }
    }

    /// Asks about the records in turn. Without any it is a mismatch.
    pub(super) async fn ask(&self, trial: &Trial<'_>, candidate: &ClientSecret) -> Attempt {
        let (mut level, mut gone) = (false, None);
        for record in trial.records() {
            match self.check(trial.key, record.stored, candidate).await {
                Ok((Verdict::Mismatch, info)) => level |= self.0.decoy.is_matched_by(info, candidate),
                Ok((verdict @ (Verdict::Match | Verdict::MatchOutdated | Verdict::MatchStale), info)) => {
                    return Attempt {
                        outcome: Ok(self.verified(trial.key, &record, (verdict, info), candidate)),
                        level,
                    };
                }
                Err(error) if is_gone(&error) => {
                    gone = gone.or(Some(error).filter(|_| record.generation == Generation::Current));
                }
                Err(error) => return Attempt { outcome: Err(error.into()), level },
            }
        }
        Attempt { outcome: Err(gone.map_or(VerifyError::Mismatch, VerifyError::from)), level }
    }

    /// Tries the records by what is remembered of them, without a call to a backend. `level`: whether this login has already cost what
    /// an unknown client does.
    pub(super) fn attempt_from_memory<'a>(
        &'a self,
        trial: Trial<'a>,
        candidate: &ClientSecret,
        mut level: bool,
        mut recall: impl FnMut(&'a SharedBackend, &StoredSecret) -> Option<Verdict>,
    ) -> Remembered<'a> {
        let mut rest = trial;
        while let Some(record) = rest.first() {
            let Ok((backend, stored)) = self.claim(Operation::Verify, record.stored) else { break };
            match recall(backend, &stored) {
                Some(Verdict::Mismatch) => level = level || self.0.decoy.is_matched_by(backend.info(), candidate),
                Some(verdict @ (Verdict::Match | Verdict::MatchOutdated | Verdict::MatchStale)) => {
                    let said = (verdict, backend.info());
                    return Remembered::Proved(self.verified(trial.key, &record, said, candidate));
                }
                None => break,
            }
            rest = rest.without_first();
        }
        Remembered::Open { level, rest }
    }

    fn verified(
        &self,
        key: &CredentialKey,
        record: &Record<'_>,
        (verdict, by): (Verdict, &BackendInfo),
        proved: &ClientSecret,
    ) -> Verified {
        let outdated = verdict == Verdict::MatchOutdated || by.id != self.primary().id;
        let stale = verdict == Verdict::MatchStale;
        // Nothing is written on the word of a memory.
        let selector = if stale { None } else { self.selector_to_keep(key, record, proved) };
        Verified { generation: record.generation, outdated, stale, selector }
    }

    async fn check(
        &self,
        key: &CredentialKey,
        stored: &StoredSecret,
        candidate: &ClientSecret,
    ) -> Result<(Verdict, &BackendInfo)> {
        let (backend, stored) = self.claim(Operation::Verify, stored)?;
        let verdict = backend.verify(key, &stored, candidate).await;
        verdict.map(|verdict| (verdict, backend.info())).map_err(failed(Operation::Verify, stored.backend()))
    }
}

/// Whether the backend has answered, and no longer holds what the record points to.
pub(super) fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}
