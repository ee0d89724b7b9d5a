//! The right to write to a credential's place.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};

use super::commit::Why;
use super::digest::SecretDigest;
use super::flaw::Flaw;
use super::ledger::Ledger;
use super::note::{Note, OpenWrite, OpenWriteKind, Opened};
use super::revision::Revision;
use super::rows::{Row, State};
use super::{Event, Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// How long a write and its commit may take before another takes over.
const LEASE: Duration = Duration::from_secs(30);

/// The same of a new credential, for which nobody else waits. After it the place counts as an orphan.
const CREATE_LEASE: Duration = Duration::from_secs(600);

/// How long a sequence waits for another one's write to the same place.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Between two looks; each doubles it up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How long a failed sequence waits for the database to end its lease, which otherwise ends by itself.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// An open write that is ours.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) key: CredentialKey,
    pub(super) place: StoredSecret,
    pub(super) kind: OpenWriteKind,
    /// The version that the row pins at the place; 0 where it pins none.
    pub(super) base: u64,
    pub(super) attempt: Revision,
    /// The row as it was when the write was opened. From then on no other write to it is committed.
    pub(super) row: Option<Row>,
    /// When that was, by the ledger's time.
    pub(super) now: SystemTime,
    /// What an earlier holder left whose commit never came.
    pub(super) left: Option<Vec<SecretDigest>>,
    own: Option<SecretDigest>,
}

/// What a write is to be for, seen under the lock of the row.
pub(super) type Plan = Result<(OpenWriteKind, u64), Why>;

/// What became of asking for a lease.
pub(super) enum Asked {
    Ours(Box<Lease>),
    Busy,
    Refused(Why),
    /// The current secret was to be written anew at this other place, and its writer is gone.
    Unrepaired(StoredSecret),
}

impl<L: Ledger> Lifecycle<L> {
    /// Opens a write, after those that are under way. If the current secret is to count on, an unfinished repair of it elsewhere has to be
    /// finished first.
    pub(super) async fn open(
        &self,
        key: &CredentialKey,
        place: &StoredSecret,
        digest: Option<&SecretDigest>,
        counts_on: bool,
        plan: impl Fn(&State, SystemTime) -> Plan + Send + Sync,
    ) -> Result<Lease, Failure<L::Error>> {
        let (attempt, mut patience, mut displaces) = (Revision::fresh()?, Patience::new(), false);
        loop {
            match self.ask(key, place, attempt, digest, displaces, &plan).await? {
                Asked::Unrepaired(elsewhere) => {
                    let finished = self.finish_repair(key, &elsewhere).await;
                    let error = if let Err(Failure::Backend(error)) = &finished { Some(error.kind()) } else { None };
                    let leaves = match error {
                        // There is nothing to be kept.
                        Some(ErrorKind::Malformed) => true,
                        Some(ErrorKind::UnknownBackend) => false,
                        // Should its backend be gone, the credential leaves it without.
                        _ => !counts_on,
                    };
                    if leaves {
                        displaces = true;
                        continue;
                    }
                    finished?;
                }
                Asked::Ours(lease) => return Ok(*lease),
                Asked::Refused(why) => return Err(why.into()),
                Asked::Busy => {}
            }
            patience.wait().await?;
        }
    }

    /// As [`open`](Self::open), asked once. A write to another place than that of an unfinished repair takes its place only if it `displaces` it:
    /// the secret that counts may be known by the repair alone.
    pub(super) async fn ask(
        &self,
        key: &CredentialKey,
        place: &StoredSecret,
        attempt: Revision,
        digest: Option<&SecretDigest>,
        displaces: bool,
        plan: impl Fn(&State, SystemTime) -> Plan + Send + Sync,
    ) -> Result<Asked, Failure<L::Error>> {
        self.edit(key, |state, note, now| {
            let (kind, base) = match plan(state, now) {
                Ok(planned) => planned,
                Err(why) => return Asked::Refused(why),
            };
            let is_owed = *state == State::Absent && !note.debts.is_empty();
            if is_owed || kind == OpenWriteKind::Create && note.is_of_another(attempt) {
                return Asked::Refused(Why::Changed);
            }
            let unrepaired = note.awaits_repair(now).filter(|elsewhere| elsewhere != place && !displaces);
            let unrepaired = unrepaired.filter(|_| !self.has(Flaw::ForgetsRepairs));
            if let Some(elsewhere) = unrepaired {
                return Asked::Unrepaired(elsewhere);
            }
            // Only what becomes the next version in place may be adopted later; what is written for a new credential, deleted.
            let is_recognised = matches!(kind, OpenWriteKind::Rotate | OpenWriteKind::Repair | OpenWriteKind::Create);
            let own = digest.filter(|_| is_recognised).cloned();
            let life = if kind == OpenWriteKind::Create { CREATE_LEASE } else { LEASE };
            let lease_until = now + life;
            let write = OpenWrite {
                kind,
                place: place.clone(),
                base,
                attempt,
                digests: own.iter().cloned().collect(),
                lease_until,
            };
            let opened = note.open(write, now);
            if let Some(open) =
                note.open.as_mut().filter(|open| self.has(Flaw::NotesOneDigest) && open.attempt == attempt)
            {
                open.digests = own.iter().cloned().collect();
            }
            if self.has(Flaw::WaitsForDeletions) && note.awaits_deletion(place, now) {
                return Asked::Busy;
            }
            match opened {
                Opened::Busy => Asked::Busy,
                Opened::Ours(left) => Asked::Ours(Box::new(Lease {
                    key: key.clone(),
                    place: place.clone(),
                    kind,
                    base,
                    attempt,
                    row: state.active().cloned(),
                    now,
                    left,
                    own,
                })),
            }
        })
        .await
    }

    /// Notes another purpose of the same attempt.
    pub(super) async fn reopen(
        &self,
        lease: &mut Lease,
        kind: OpenWriteKind,
        base: u64,
        digest: Option<&SecretDigest>,
    ) -> Result<(), Failure<L::Error>> {
        let before = lease.row.as_ref().and_then(|row| row.revision);
        let plan = |state: &State, _| match state.active() {
            Some(row) if row.revision == before => Ok((kind, base)),
            Some(_) => Err(Why::Changed),
            None => Err(Why::Ended),
        };
        match self.ask(&lease.key, &lease.place, lease.attempt, digest, true, plan).await? {
            Asked::Ours(again) => {
                let left = again.left.clone().or_else(|| lease.left.take());
                *lease = Lease { left, ..*again };
                Ok(())
            }
            Asked::Busy | Asked::Unrepaired(_) => Err(Failure::Busy),
            Asked::Refused(why) => Err(why.into()),
        }
    }

    /// Says whether the write is still ours, and extends its lease. Ask between a look at the place and the write over what was
    /// seen: without it, a process that stalls past its lease could write over what another has committed.
    pub(super) async fn renew(&self, lease: &Lease) -> Result<bool, Failure<L::Error>> {
        self.edit(&lease.key, |_, note, now| note.renew(lease.attempt, now + LEASE)).await
    }

    /// The backend has failed: nothing was written where that is certain, else what was noted stays for the next writer.
    pub(super) async fn failed(&self, lease: &Lease, error: Error) -> Failure<L::Error> {
        let certain = matches!(
            error.kind(),
            ErrorKind::Denied | ErrorKind::InvalidConfig | ErrorKind::InvalidSecret | ErrorKind::Throttled
        );
        if certain {
            self.close(lease).await;
        } else {
            self.end_lease(&lease.key, lease.attempt).await;
        }
        Failure::Backend(error)
    }

    /// Nothing was written; what an earlier attempt noted stays.
    pub(super) async fn close(&self, lease: &Lease) {
        self.in_time(&lease.key, |_, note, now| note.close(lease.attempt, now)).await;
    }

    /// Something was written, or may have been, and is not committed.
    pub(super) async fn end_lease(&self, key: &CredentialKey, attempt: Revision) {
        self.in_time(key, |_, note, now| note.end_lease(attempt, now)).await;
    }

    pub(super) async fn in_time<T: Send>(
        &self,
        key: &CredentialKey,
        step: impl Fn(&State, &mut Note, SystemTime) -> T + Send + Sync,
    ) -> Option<T> {
        match timeout(ON_THE_SPOT, self.edit(key, step)).await {
            Ok(Ok(ended)) => Some(ended),
            Ok(Err(_)) | Err(_) => {
                self.tell(&Event::NotClosed(key.clone()));
                None
            }
        }
    }
}

/// Waits between looks at what another holds, ever longer, for a bounded time.
pub(super) struct Patience {
    begun: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), pause: FIRST_PAUSE }
    }

    pub(super) async fn wait<E>(&mut self) -> Result<(), Failure<E>> {
        if self.begun.elapsed() + self.pause > LONGEST_WAIT {
            return Err(Failure::Busy);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

impl Lease {
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
        self.left.iter().flatten().chain(&self.own)
    }
}

impl<E> From<Why> for Failure<E> {
    fn from(why: Why) -> Self {
        match why {
            Why::Absent => Self::NotFound,
            Why::Ended => Self::Ended,
            Why::Changed | Why::WriteLost => Self::Busy,
        }
    }
}
