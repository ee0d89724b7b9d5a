//! The right to write to a credential's place in Vault.

use std::time::Duration;

use agentidp_secrets::{ClientSecret, Error, ErrorKind};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use crate::app::App;
use crate::domain::{LeftWrite, OpenWrite, OpenWriteKind, PurgeJob, SecretDigest};
use crate::error::ApiError;
use crate::repo::Opened;

/// How long a write and its commit may take before another server takes over. The longest request takes as long.
const LEASE: Duration = Duration::from_secs(30);

/// The same of a new credential, for which no other server waits. After it the place counts as an orphan.
const CREATE_LEASE: Duration = Duration::from_secs(600);

/// How long a request waits for another one's write to the same place.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Between two looks; each doubles it up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How long a failed request waits for the database to end its lease, which otherwise ends by itself.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// An open write that is ours.
pub(super) struct WriteLease<'a> {
    app: &'a App,
    write: OpenWrite,
    /// What an earlier holder left whose commit never came.
    pub(super) left: Option<LeftWrite>,
}

impl<'a> WriteLease<'a> {
    /// Opens a write, after those that are under way.
    ///
    /// # Errors
    /// `CREDENTIAL_ALREADY_REVOKED`; `SERVICE_UNAVAILABLE` when another write lasts longer than 5 s; those of the database.
    pub(super) async fn open(app: &'a App, write: OpenWrite) -> Result<Self, ApiError> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            match Self::ask(app, &write).await? {
                Opened::Ours(left) => return Ok(Self { app, write, left }),
                Opened::Ended => return Err(ApiError::CredentialAlreadyRevoked),
                Opened::Busy => {}
            }
            if begun.elapsed() + pause > LONGEST_WAIT {
                warn!(
                    credential_id = %write.credential_id,
                    "another write has held this credential for more than 5 s: the client gets 503",
                );
                return Err(ApiError::Busy(None));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The same without waiting. `None`: another holds it, or the credential has ended.
    pub(super) async fn try_open(app: &'a App, write: OpenWrite) -> Result<Option<Self>, ApiError> {
        match Self::ask(app, &write).await? {
            Opened::Ours(left) => Ok(Some(Self { app, write, left })),
            Opened::Busy | Opened::Ended => Ok(None),
        }
    }

    async fn ask(app: &App, write: &OpenWrite) -> Result<Opened, ApiError> {
        let now = app.now();
        let life = if write.kind == OpenWriteKind::Create { CREATE_LEASE } else { LEASE };
        Ok(app.repos.open_writes.open(write, now, now.plus(life)).await?)
    }

    /// Notes another purpose or base of the same attempt.
    pub(super) async fn reopen(
        &mut self,
        kind: OpenWriteKind,
        base: u64,
        digest: Option<SecretDigest>,
    ) -> Result<(), ApiError> {
        let write = OpenWrite { kind, base, digest, ..self.write.clone() };
        let Some(again) = Self::try_open(self.app, write).await? else { return Err(ApiError::Busy(None)) };
        *self = Self { left: again.left.or(self.left.take()), ..again };
        Ok(())
    }

    /// Says whether the write is still ours, and extends its lease. Ask between a look at the place and the write over what was
    /// seen: without it, a server that stalls past its lease could write over what another server has committed.
    pub(super) async fn renew(&self) -> Result<bool, ApiError> {
        let (id, attempt, until) = (self.write.credential_id, self.write.attempt, self.app.now().plus(LEASE));
        Ok(self.app.repos.open_writes.renew(id, attempt, until).await?)
    }

    pub(super) fn attempt(&self) -> Uuid {
        self.write.attempt
    }

    /// Whether an earlier attempt, or this one, generated this secret for the version that the row pins.
    pub(super) fn has_noted(&self, secret: &ClientSecret) -> bool {
        self.noted().any(|digest| !digest.is_current() && digest.is_of(secret))
    }

    /// Whether an earlier attempt has begun to write the current secret anew.
    pub(super) fn has_repair(&self) -> bool {
        self.noted().any(SecretDigest::is_current)
    }

    /// Whether this is the current secret, which an earlier attempt was about to write anew.
    pub(super) fn has_repaired(&self, secret: &ClientSecret) -> bool {
        self.noted().any(|digest| digest.is_current() && digest.is_of(secret))
    }

    fn noted(&self) -> impl Iterator<Item = &SecretDigest> {
        self.left.iter().flat_map(|left| &left.digests).chain(&self.write.digest)
    }

    /// Vault has failed: nothing was written where that is certain, else what was noted stays for the next writer.
    pub(super) async fn failed(self, error: Error) -> ApiError {
        let certain = matches!(
            error.kind(),
            ErrorKind::Denied | ErrorKind::InvalidConfig | ErrorKind::InvalidSecret | ErrorKind::Throttled
        );
        if certain {
            self.close().await
        } else {
            self.end().await
        }
        ApiError::vault(error)
    }

    /// Nothing was written; what an earlier attempt noted stays.
    pub(super) async fn close(self) {
        if self.left.as_ref().is_some_and(|left| !left.digests.is_empty()) {
            return self.end().await;
        }
        let (id, attempt, now) = (self.write.credential_id, self.write.attempt, self.app.now());
        self.in_time(self.app.repos.open_writes.close(id, attempt, now)).await;
    }

    /// Something was written, or may have been, and is not committed.
    pub(super) async fn end(&self) {
        let (id, attempt, now) = (self.write.credential_id, self.write.attempt, self.app.now());
        self.in_time(self.app.repos.open_writes.end_lease(id, attempt, now)).await;
    }

    /// The new credential is given up. Returns what has to be deleted.
    pub(super) async fn abandon(self) -> Option<PurgeJob> {
        let (id, attempt, now) = (self.write.credential_id, self.write.attempt, self.app.now());
        self.in_time(self.app.repos.open_writes.abandon(id, attempt, now)).await.flatten()
    }

    async fn in_time<T>(&self, ending: impl Future<Output = crate::repo::Result<T>>) -> Option<T> {
        match timeout(ON_THE_SPOT, ending).await {
            Ok(Ok(ended)) => return Some(ended),
            Ok(Err(error)) => warn!(
                credential_id = %self.write.credential_id, %error,
                "a write that failed could not be closed: the next one waits until its lease ends",
            ),
            Err(_) => warn!(
                credential_id = %self.write.credential_id,
                "a write that failed could not be closed in time: the next one waits until its lease ends",
            ),
        }
        None
    }
}
