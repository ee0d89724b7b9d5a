//! Which of a client's credentials does the candidate match?

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::SecretStore;
use super::lifecycle::{CredentialSecrets, Verified};
use super::memories::Memories;
use super::select::{Selection, Trial};
use super::verify::{Remembered, is_gone};
use crate::credential::CredentialKey;
use crate::error::{Error, Operation, Result, VerifyError};
use crate::record::BackendId;
use crate::secret::ClientSecret;

/// Proof that a candidate was the secret of one of several credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedAny {
    /// Which one: its place in the slice.
    pub index: usize,
    /// The proof.
    pub verified: Verified,
}

/// The credentials that one backend is asked about.
struct Share<'a> {
    backend: &'a BackendId,
    trials: Vec<Trial<'a>>,
}

/// What came of credentials without a match.
#[derive(Default)]
struct Missed {
    /// With the index of the credential that each is about.
    errors: Vec<(usize, Error)>,
    level: bool,
}

impl SecretStore {
    /// Decides whether `candidate` is the secret of any of a client's credentials. Pass the ones that are active and
    /// not expired; with none the answer is a mismatch that costs what any mismatch does.
    ///
    /// What is [remembered](crate::SecretBackend::recall_for) of any credential is looked at before a backend is asked. Then
    /// backends are asked side by side and the first match ends it: an outage of one backend never hides a match on
    /// another. The credentials of one backend are tried in turn, or as many at a time as it has
    /// [lanes](crate::BackendInfo::lanes). A backend that fails in a way that a retry could mend has its turn ended,
    /// since it is down and every further credential would cost another time-out; after any other failure, a damaged
    /// digest say, its next credential is tried.
    ///
    /// With [selector keys](crate::SecretStoreBuilder::selector_keys) credentials whose [`Selector`](crate::Selector)
    /// fits are asked about before all others and those with another one not at all, whatever state their backends are in: one
    /// check for a right secret and none for a wrong one, once every row has its selector.
    ///
    /// Alone, this decides by the rows that the caller has read, and they may have changed meanwhile.
    /// [`Lifecycle::authenticate`](crate::lifecycle::Lifecycle::authenticate) reads them again before it refuses.
    ///
    /// # Errors
    /// [`VerifyError::Mismatch`] when every credential was decided and none matches. [`VerifyError::Backend`] when none
    /// matches and one could not be decided; of several such errors, one of a backend with custody or of an unknown
    /// backend goes first, then the order of the slice counts.
    pub async fn verify_any(
        &self,
        credentials: &[(CredentialKey, CredentialSecrets)],
        candidate: &ClientSecret,
    ) -> Result<VerifiedAny, VerifyError> {
        if !self.formats().may_be_a_secret(candidate) {
            return Err(VerifyError::Mismatch);
        }
        // The common case keeps its future small: the larger ones of the others live in boxes.
        match credentials {
            [] => {
                Box::pin(self.verify_decoy(candidate)).await?;
                Err(VerifyError::Mismatch)
            }
            [(key, secrets)] => {
                let verified = self.verify(key, secrets, candidate).await?;
                Ok(VerifiedAny { index: 0, verified })
            }
            _ => Box::pin(self.verify_several(credentials, candidate)).await,
        }
    }

    async fn verify_several(
        &self,
        credentials: &[(CredentialKey, CredentialSecrets)],
        candidate: &ClientSecret,
    ) -> Result<VerifiedAny, VerifyError> {
        let (mut missed, mut picked, mut asked) = (Missed::default(), Vec::new(), Vec::new());
        let (mut selection, mut memories) = (Selection::new(self, candidate), Memories::new(candidate));
        // Memory first, so that no backend that is down or slow stands before what is known.
        for (index, (key, secrets)) in credentials.iter().enumerate() {
            let (chosen, open) = selection.sort(index, key, secrets);
            if !chosen.is_empty() {
                picked.push((chosen, open));
            } else if let Some(proved) = self.proved_from_memory(open, &mut memories, &mut missed, &mut asked) {
                return Ok(proved);
            }
        }
        for (chosen, open) in picked {
            match self.attempt(chosen, candidate).await.outcome {
                Ok(verified) => return Ok(VerifiedAny { index: chosen.index, verified }),
                Err(VerifyError::Mismatch) => {}
                Err(VerifyError::Backend(error)) => {
                    let gone = is_gone(&error);
                    missed.errors.push((chosen.index, error));
                    // Nothing falls through an outage to another record of the same credential.
                    if !gone {
                        continue;
                    }
                }
            }
            if let Some(proved) = self.proved_from_memory(open, &mut memories, &mut missed, &mut asked) {
                return Ok(proved);
            }
        }
        if !asked.is_empty() {
            let down = |share: &Share<'_>| missed.errors.iter().any(|(_, error)| shows_down(error, share.backend));
            let up = self.shares(&asked).into_iter().filter(|share| !down(share));
            let mut shares: FuturesUnordered<_> = up.map(|share| self.run(share, candidate)).collect();
            while let Some(outcome) = shares.next().await {
                match outcome {
                    Ok(verified) => return Ok(verified),
                    Err(share) => {
                        missed.errors.extend(share.errors);
                        missed.level |= share.level;
                    }
                }
            }
        }
        match missed.errors.into_iter().min_by_key(|(index, error)| (self.is_local(error), *index)) {
            Some((_, error)) => Err(error.into()),
            None => {
                if !missed.level {
                    self.level(candidate).await;
                }
                Err(VerifyError::Mismatch)
            }
        }
    }

    /// The match by what is remembered. Otherwise the records that have to be asked about are added to `asked`.
    fn proved_from_memory<'a>(
        &'a self,
        trial: Trial<'a>,
        memories: &mut Memories<'a>,
        missed: &mut Missed,
        asked: &mut Vec<Trial<'a>>,
    ) -> Option<VerifiedAny> {
        let (candidate, level) = (memories.candidate(), missed.level);
        match self
            .attempt_from_memory(trial, candidate, level, |backend, stored| memories.recall(backend, trial.key, stored))
        {
            Remembered::Proved(verified) => return Some(VerifiedAny { index: trial.index, verified }),
            Remembered::Open { level, rest } => {
                missed.level = level;
                if !rest.is_empty() {
                    asked.push(rest);
                }
            }
        }
        None
    }

    /// Tries the credentials of one backend in turn, or as many at a time as it has lanes.
    async fn run(&self, share: Share<'_>, candidate: &ClientSecret) -> Result<VerifiedAny, Missed> {
        let mut missed = Missed::default();
        for group in share.trials.chunks(self.lanes(share.backend)) {
            let attempts = join_all(group.iter().map(|trial| self.ask(trial, candidate))).await;
            let mut is_down = false;
            for (trial, attempt) in group.iter().zip(attempts) {
                missed.level |= attempt.level;
                match attempt.outcome {
                    Ok(verified) => return Ok(VerifiedAny { index: trial.index, verified }),
                    Err(VerifyError::Mismatch) => {}
                    Err(VerifyError::Backend(error)) => {
                        is_down |= shows_down(&error, share.backend);
                        missed.errors.push((trial.index, error));
                    }
                }
            }
            if is_down {
                break;
            }
        }
        Err(missed)
    }

    /// By the backend that each is asked first.
    fn shares<'a>(&'a self, trials: &[Trial<'a>]) -> Vec<Share<'a>> {
        let mut shares: Vec<Share<'a>> = Vec::new();
        for trial in trials {
            let Some(first) = trial.first() else { continue };
            let claimed = self.claim(Operation::Verify, first.stored);
            let backend = claimed.map_or(first.stored.backend(), |(backend, _)| &backend.info().id);
            match shares.iter_mut().find(|share| share.backend == backend) {
                Some(share) => share.trials.push(*trial),
                None => shares.push(Share { backend, trials: vec![*trial] }),
            }
        }
        shares
    }

    fn lanes(&self, backend: &BackendId) -> usize {
        self.named(backend).map_or(1, |backend| backend.info().lanes.max(1))
    }

    /// Whether the error is about a digest in a row: of less weight than a backend that could not be asked.
    fn is_local(&self, error: &Error) -> bool {
        if error.backend() == Some(&BackendId::UNCLAIMED) {
            return true;
        }
        let backend = error.backend().and_then(|id| self.named(id));
        backend.is_some_and(|backend| !backend.info().remote)
    }
}

/// Whether it is this backend that is down: the failing record may be a previous one on another backend, which says
/// nothing about this one.
fn shows_down(error: &Error, backend: &BackendId) -> bool {
    error.is_retryable() && error.backend() == Some(backend)
}
