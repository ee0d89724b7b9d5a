//! One computation that somebody waits for.

use std::time::Instant;

use tokio::sync::oneshot::{Receiver, Sender, channel};

use super::digester::{Attempt, Digester};
use crate::backend::Verdict;
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Result};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// Holds secrets and digests, and so has no `Debug`.
pub(super) struct Job {
    /// Whose turn it is when this runs.
    pub(super) client: ClientId,
    pub(super) since: Instant,
    work: Work,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

enum Work {
    Digest { key: CredentialKey, secret: ClientSecret, answer: Sender<Result<String>> },
    Verify { check: Check, group: Option<u32>, answer: Sender<Result<Verdict>> },
}

/// An [`Attempt`] that owns what it is about.
struct Check {
    key: CredentialKey,
    stored: StoredSecret,
    candidate: ClientSecret,
}

impl Job {
    pub(super) fn digest(now: Instant, key: &CredentialKey, secret: &ClientSecret) -> (Self, Receiver<Result<String>>) {
        let (answer, receiver) = channel();
        (Self::new(now, key, Work::Digest { key: key.clone(), secret: secret.clone(), answer }), receiver)
    }

    pub(super) fn verify(
        now: Instant,
        key: &CredentialKey,
        stored: &StoredSecret,
        candidate: &ClientSecret,
        group: Option<u32>,
    ) -> (Self, Receiver<Result<Verdict>>) {
        let (answer, receiver) = channel();
        let check = Check { key: key.clone(), stored: stored.clone(), candidate: candidate.clone() };
        (Self::new(now, key, Work::Verify { check, group, answer }), receiver)
    }

    fn new(since: Instant, key: &CredentialKey, work: Work) -> Self {
        Self {
            client: key.client_id().clone(),
            since,
            work,
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
        }
    }

    /// Jobs of one group may run together; one without a group runs alone.
    pub(super) fn group(&self) -> Option<u32> {
        match &self.work {
            Work::Digest { .. } => None,
            Work::Verify { group, .. } => *group,
        }
    }

    /// Whether nobody waits any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.work {
            Work::Digest { answer, .. } => answer.is_closed(),
            Work::Verify { answer, .. } => answer.is_closed(),
        }
    }

    /// Answers without computing. Says "later", since that is all that is known.
    pub(super) fn refuse(self, why: &'static str) {
        let error = Error::new(ErrorKind::Throttled, why);
        match self.work {
            Work::Digest { answer, .. } => give(answer, Err(error)),
            Work::Verify { answer, .. } => give(answer, Err(error)),
        }
    }
}

/// Computes jobs of one group, or a single one, and answers. A panic drops the answers, which tells the callers.
pub(super) fn run<D: Digester>(mut jobs: Vec<Job>, digester: &D) {
    match (jobs.len(), jobs.first().and_then(Job::group)) {
        (2.., Some(group)) => run_together(group, jobs, digester),
        _ => {
            if let Some(job) = jobs.pop() {
                run_alone(job, digester);
            }
        }
    }
}

fn run_alone<D: Digester>(job: Job, digester: &D) {
    #[cfg(feature = "tracing")]
    let _entered = job.span.enter();
    match job.work {
        Work::Digest { key, secret, answer } => give(answer, digester.digest(&key, &secret)),
        Work::Verify { check: Check { key, stored, candidate }, answer, .. } => {
            give(answer, digester.verify(&key, stored.payload(), &candidate));
        }
    }
}

fn run_together<D: Digester>(group: u32, jobs: Vec<Job>, digester: &D) {
    let in_parts = |job: Job| match job.work {
        Work::Verify { check, answer, .. } => Some((check, answer)),
        Work::Digest { .. } => None, // has no group
    };
    let (checks, answers): (Vec<_>, Vec<_>) = jobs.into_iter().filter_map(in_parts).unzip();
    let attempts: Vec<_> = checks
        .iter()
        .map(|Check { key, stored, candidate }| Attempt { key, digest: stored.payload(), candidate })
        .collect();
    for (answer, verdict) in answers.into_iter().zip(digester.verify_group(group, &attempts)) {
        give(answer, verdict);
    }
}

/// Whoever has gone needs no answer.
fn give<T>(answer: Sender<T>, value: T) {
    let _unheard = answer.send(value).is_err();
}
