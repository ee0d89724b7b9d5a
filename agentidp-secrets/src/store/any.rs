//! Which of a client's credentials does the candidate match?

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::SecretStore;
use super::lifecycle::{CredentialSecrets, Verified};
use crate::backend::Custody;
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

/// The credentials whose current records one backend wrote.
struct Lane<'a> {
    backend: &'a BackendId,
    /// Each with its place in the slice.
    credentials: Vec<(usize, &'a (CredentialKey, CredentialSecrets))>,
}

/// What came of a lane without a match.
struct Missed {
    /// With the index of the credential that each is about.
    errors: Vec<(usize, Error)>,
    digested: bool,
}

impl SecretStore {
    /// Decides whether `candidate` is the secret of any of a client's credentials. Pass the ones that are active and
    /// not expired; with none the answer is a mismatch that costs what any mismatch does.
    ///
    /// Backends are asked side by side, the credentials of one backend in turn, and the first match ends it: an outage
    /// of one backend never hides a match on another. A backend that fails in a way that a retry could mend has its
    /// turn ended, since it is down and every further credential would cost another time-out; after any other failure,
    /// a damaged digest say, its next credential is tried.
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
        if credentials.is_empty() {
            self.verify_decoy(candidate).await;
            return Err(VerifyError::Mismatch);
        }
        let mut lanes: FuturesUnordered<_> =
            lanes(credentials).into_iter().map(|lane| self.run(lane, candidate)).collect();
        let mut missed = Missed { errors: Vec::new(), digested: false };
        while let Some(outcome) = lanes.next().await {
            match outcome {
                Ok(verified) => return Ok(verified),
                Err(lane) => {
                    missed.errors.extend(lane.errors);
                    missed.digested |= lane.digested;
                }
            }
        }
        match missed.errors.into_iter().min_by_key(|(index, error)| (self.is_local(error), *index)) {
            Some((_, error)) => Err(error.into()),
            None => {
                if !missed.digested {
                    self.compute_decoy(candidate).await;
                }
                Err(VerifyError::Mismatch)
            }
        }
    }

    /// Tries the credentials of one backend in turn.
    async fn run(&self, lane: Lane<'_>, candidate: &ClientSecret) -> Result<VerifiedAny, Missed> {
        let mut missed = Missed { errors: Vec::new(), digested: false };
        for (index, (key, secrets)) in lane.credentials {
            let attempt = self.attempt(key, secrets, candidate).await;
            missed.digested |= attempt.digested;
            match attempt.outcome {
                Ok(verified) => return Ok(VerifiedAny { index, verified }),
                Err(VerifyError::Mismatch) => {}
                Err(VerifyError::Backend(error)) => {
                    // The failing record may be a previous one on another backend: that says nothing about this one.
                    let is_down = error.is_retryable() && error.backend() == Some(lane.backend);
                    missed.errors.push((index, error));
                    if is_down {
                        break;
                    }
                }
            }
        }
        Err(missed)
    }

    /// Whether the error is about a digest in a row: of less weight than a backend that could not be asked.
    fn is_local(&self, error: &Error) -> bool {
        let backend = error.backend().and_then(|id| self.backend(Operation::Verify, id).ok());
        backend.is_some_and(|backend| backend.info().custody == Custody::Record)
    }
}

fn lanes(credentials: &[(CredentialKey, CredentialSecrets)]) -> Vec<Lane<'_>> {
    let mut lanes: Vec<Lane<'_>> = Vec::new();
    for (index, credential) in credentials.iter().enumerate() {
        let backend = credential.1.current.backend();
        match lanes.iter_mut().find(|lane| lane.backend == backend) {
            Some(lane) => lane.credentials.push((index, credential)),
            None => lanes.push(Lane { backend, credentials: vec![(index, credential)] }),
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, digest, key, remote};
    use super::*;
    use crate::error::ErrorKind;
    use crate::record::StoredSecret;

    fn credentials(records: impl IntoIterator<Item = StoredSecret>) -> Vec<(CredentialKey, CredentialSecrets)> {
        records.into_iter().map(|record| (key(), record.into())).collect()
    }

    async fn verify(
        fixture: &Fixture,
        records: impl IntoIterator<Item = StoredSecret>,
        candidate: &str,
    ) -> Result<usize, Option<ErrorKind>> {
        match fixture.store.verify_any(&credentials(records), &candidate.into()).await {
            Ok(verified) => Ok(verified.index),
            Err(VerifyError::Mismatch) => Err(None),
            Err(VerifyError::Backend(error)) => Err(Some(error.kind())),
        }
    }

    #[tokio::test]
    async fn the_matching_credential_is_named() {
        let fixture = Fixture::digest_primary().await;
        let records = [digest("a"), remote("b"), digest("c"), remote("d")];
        for (index, secret) in ["a", "b", "c", "d"].into_iter().enumerate() {
            assert_eq!(verify(&fixture, records.clone(), secret).await, Ok(index));
        }
        assert_eq!(verify(&fixture, records, "e").await, Err(None));
    }

    #[tokio::test]
    async fn an_outage_hides_no_match_elsewhere() {
        let fixture = Fixture::digest_primary().await;
        assert_eq!(verify(&fixture, [remote("down"), digest("a")], "a").await, Ok(1));
        assert_eq!(verify(&fixture, [remote("hangs"), digest("b"), digest("a")], "a").await, Ok(2));
        assert_eq!(verify(&fixture, [digest("corrupt"), digest("a")], "a").await, Ok(1));
        assert_eq!(verify(&fixture, [remote("gone"), remote("a")], "a").await, Ok(1));
        assert_eq!(verify(&fixture, [StoredSecret::new(BackendId::MEMORY, "a"), digest("a")], "a").await, Ok(1));
    }

    #[tokio::test]
    async fn a_backend_that_is_down_is_asked_once() {
        let fixture = Fixture::digest_primary().await;
        let records = [remote("down"), remote("down"), remote("a"), digest("b")];
        assert_eq!(verify(&fixture, records, "wrong").await, Err(Some(ErrorKind::Unavailable)));
        assert_eq!(fixture.asked(), 1);
    }

    #[tokio::test]
    async fn an_outage_under_a_previous_record_does_not_end_the_turn_of_the_current_ones_backend() {
        let fixture = Fixture::digest_primary().await;
        let moved = CredentialSecrets { current: digest("a"), previous: Some(fixture.previous(remote("down"))) };
        let credentials = [(key(), moved), (key(), digest("b").into())];
        assert_eq!(fixture.store.verify_any(&credentials, &"b".into()).await.unwrap().index, 1);
    }

    #[tokio::test]
    async fn what_could_not_be_asked_outweighs_what_is_damaged() {
        let fixture = Fixture::digest_primary().await;
        let unknown = StoredSecret::new(BackendId::MEMORY, "a");
        let table = [
            (vec![digest("corrupt"), digest("a")], ErrorKind::Malformed),
            (vec![digest("corrupt"), remote("down")], ErrorKind::Unavailable),
            (vec![digest("corrupt"), remote("gone"), remote("down")], ErrorKind::NotFound),
            (vec![digest("corrupt"), unknown], ErrorKind::UnknownBackend),
        ];
        for (records, expected) in table {
            assert_eq!(verify(&fixture, records, "wrong").await, Err(Some(expected)));
        }
    }

    #[tokio::test]
    async fn every_mismatch_of_one_credential_computes_one_digest_whoever_is_primary() {
        for fixture in [Fixture::digest_primary().await, Fixture::remote_primary().await] {
            for records in [vec![], vec![digest("a")], vec![remote("a")]] {
                let before = fixture.digests();
                assert_eq!(verify(&fixture, records.clone(), "wrong").await, Err(None));
                assert_eq!(fixture.digests() - before, 1, "{records:?}");
            }
            let before = fixture.digests();
            assert_eq!(verify(&fixture, [remote("a")], "a").await, Ok(0));
            assert_eq!(fixture.digests() - before, 0, "a right secret elsewhere computes nothing");
        }
    }
}
