//! A new secret for a credential.

use std::time::{Duration, SystemTime};

use super::commit::{Committed, Replacement, Why, Write};
use super::digest::SecretDigest;
use super::flaw::Flaw;
use super::lease::Lease;
use super::ledger::{Change, Ledger};
use super::note::OpenWriteKind;
use super::revision::Revision;
use super::rows::{Row, State};
use super::writing::{NewSecret, Written, means_the_latest, rotating};
use super::{ATTEMPTS, Failure, Lifecycle, Shown};
use crate::backend::Pointer;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::store::{CredentialSecrets, Previous};

/// A secret that is written and not yet committed.
struct Uncommitted {
    /// The row that it is to replace the secret of.
    before: Row,
    new: NewSecret,
    previous: Option<Previous>,
    attempt: Revision,
}

/// What becomes of the secrets that a rotation finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Old {
    /// The present one works for so long. The one before it is at an end.
    WorksFor(Duration),
    /// The present one was never shown. The one before it goes on as it did.
    Unshown,
}

impl Old {
    /// Whether none of them has to stay.
    fn is_over(self) -> bool {
        self == Self::WorksFor(Duration::ZERO)
    }
}

impl<L: Ledger> Lifecycle<L> {
    /// Puts a new secret in place of a credential's present one, on the primary backend, and returns it when its row is
    /// committed. A record of another backend moves by this.
    ///
    /// With an `overlap` above zero the old secret works until then; the one before it is at an end. The overlap ends by itself,
    /// or by [`end_previous`](Self::end_previous).
    ///
    /// Rotations that race are carried out one after the other: each returned secret was valid until the next one.
    ///
    /// # Errors
    /// [`Failure`]; then the old secret works as before, and nothing was shown. `Unknown` and `Cut`: the old secret may not work any more.
    /// With an overlap also the error of another backend than the primary, if it does not answer and holds an old secret that is just
    /// being written anew; without one the credential leaves it.
    pub async fn rotate(
        &self,
        key: &CredentialKey,
        overlap: Duration,
        change: impl Change<L>,
    ) -> Result<Shown, Failure<L::Error>> {
        let (life, key) = (self.clone(), key.clone());
        self.uncut(async move { life.rotation(&key, Old::WorksFor(overlap), &change).await }).await
    }

    /// Replaces a secret that is unused: for the retry of a request whose answer, and with it the secret, was lost. A previous secret
    /// works on to the end of its overlap.
    ///
    /// For a ledger that keeps [`is_unused`](Row::is_unused), which the new row has again.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate). `Busy` when the secret was used, or is not known to be unused.
    pub async fn replace_unused(
        &self,
        key: &CredentialKey,
        change: impl Change<L>,
    ) -> Result<Shown, Failure<L::Error>> {
        let (life, key) = (self.clone(), key.clone());
        self.uncut(async move { life.rotation(&key, Old::Unshown, &change).await }).await
    }

    async fn rotation(
        &self,
        key: &CredentialKey,
        old: Old,
        change: &dyn Change<L>,
    ) -> Result<Shown, Failure<L::Error>> {
        for _ in 0..ATTEMPTS {
            let secret = self.0.store.generate(key)?;
            let written = match self.place(key)? {
                Some(place) => self.write_at(key, &place, secret, old).await?,
                None => Some(self.write_digest(key, secret, old).await?),
            };
            let Some(Uncommitted { before, new, previous, attempt }) = written else { continue };
            let secrets = CredentialSecrets { current: new.stored, selector: new.selector, previous };
            let is_unused = old == Old::Unshown;
            let after = Row { secrets: Some(secrets), is_unused, ..before.clone() };
            let kind = if is_unused { Replacement::OfUnused } else { Replacement::Rotation };
            let write = Write::Replace { before: before.revision, after, kind };
            match self.commit(key, &write, attempt, change).await? {
                Committed::Done(row) => {
                    self.0.ledger.acknowledge(key.client_id()).await;
                    return Ok(Shown { secret: new.secret, row: *row });
                }
                Committed::Lost(Why::Changed | Why::WriteLost) => {}
                Committed::Lost(why) => {
                    self.clear_away(key).await;
                    return Err(why.into());
                }
            }
        }
        Err(Failure::Busy)
    }

    /// The row as it is, and the ledger's time.
    pub(super) async fn active(&self, key: &CredentialKey) -> Result<(Row, SystemTime), Failure<L::Error>> {
        let (state, now) = self.edit(key, |state, _, now| (state.clone(), now)).await?;
        match state {
            State::Active(row) => Ok((*row, now)),
            State::Absent => Err(Failure::NotFound),
            State::Ended => Err(Failure::Ended),
        }
    }

    /// Puts a digest in the record, which touches nothing but the row.
    async fn write_digest(
        &self,
        key: &CredentialKey,
        secret: ClientSecret,
        old: Old,
    ) -> Result<Uncommitted, Failure<L::Error>> {
        if !old.is_over() {
            self.finish_repairs(key).await?;
        }
        let (before, now) = self.active(key).await?;
        self.refuse(&before, old)?;
        let previous = self.previous(&before, old, now).await?;
        let primary = self.0.store.primary_backend();
        let stored = primary.store(key, &secret).await.map_err(|error| rotating(error, primary))?;
        let new = self.new_secret(key, stored, secret);
        Ok(Uncommitted { before, new, previous, attempt: Revision::fresh()? })
    }

    /// Writes the next version at the credential's place. Nothing when the row had to be changed first: then look again.
    async fn write_at(
        &self,
        key: &CredentialKey,
        place: &StoredSecret,
        secret: ClientSecret,
        old: Old,
    ) -> Result<Option<Uncommitted>, Failure<L::Error>> {
        let digest = SecretDigest::of(&secret, self.0.store.formats())?;
        let plan = |state: &State, _| match state {
            State::Active(row) => Ok(self.plan(row, place)),
            State::Absent => Err(Why::Absent),
            State::Ended => Err(Why::Ended),
        };
        let mut lease = self.open(key, place, digest.as_ref(), !old.is_over(), plan).await?;
        let Some(before) = lease.row.clone() else { return Err(Failure::Ended) };
        if let Err(failure) = self.refuse(&before, old) {
            self.close(&lease).await;
            return Err(failure);
        }
        if lease.kind == OpenWriteKind::Pin {
            // In a database that this one is a copy of, the record may still mean the latest version.
            if !self.may_push_out(place.backend()) {
                self.close(&lease).await;
                return Err(rotating(means_the_latest(), self.0.store.primary_backend()).into());
            }
            if self.pin(&before, &mut lease).await? {
                return Ok(None);
            }
        }
        let (attempt, now) = (lease.attempt, lease.now);
        let previous = match self.previous(&before, old, now).await {
            Ok(previous) => previous,
            Err(failure) => {
                self.close(&lease).await;
                return Err(failure);
            }
        };
        let Some(secrets) = before.secrets.as_ref().filter(|_| lease.kind == OpenWriteKind::Rotate) else {
            let new = self.write_moving_in(&lease, secret).await?;
            return Ok(Some(Uncommitted { before, new, previous, attempt }));
        };
        if lease.has_repair() && self.finish_leased(&before, &mut lease, !old.is_over()).await? {
            return Ok(None);
        }
        // What counts until the commit has to stay.
        let oldest = self.oldest(secrets, place, now).unwrap_or(lease.base);
        match self.write_in_place(&mut lease, &secrets.current, oldest, secret).await? {
            Written::New(new) => Ok(Some(Uncommitted { before, new, previous, attempt })),
            Written::Repaired(stored) => self.pin_to(&before, stored, &lease).await.map(|_| None),
        }
    }

    /// What a write to the place is for, and the version that the row pins there.
    pub(super) fn plan(&self, row: &Row, place: &StoredSecret) -> (OpenWriteKind, u64) {
        let pointer = row.secrets.as_ref().and_then(|secrets| self.points_to(&secrets.current));
        match pointer {
            Some(Pointer { place: held, version }) if held == *place => match version {
                Some(version) => (OpenWriteKind::Rotate, version),
                None if self.has(Flaw::PinsNothing) => (OpenWriteKind::Move, 0),
                None => (OpenWriteKind::Pin, 0),
            },
            _ => (OpenWriteKind::Move, 0),
        }
    }

    /// Leaving a backend that this store was not given would strand the old secret there, silently.
    pub(super) fn refuse_unknown(&self, row: &Row) -> Result<(), Failure<L::Error>> {
        let Some(secrets) = &row.secrets else { return Ok(()) };
        Ok(self.0.store.refuse_unknown(&secrets.current)?)
    }

    fn refuse(&self, row: &Row, old: Old) -> Result<(), Failure<L::Error>> {
        if old == Old::Unshown && !row.is_unused {
            return Err(Failure::Busy);
        }
        self.refuse_unknown(row)
    }

    /// The secret that a rotation replaces, for the time of the overlap, pinned. None where its backend no longer holds it,
    /// or where the record points elsewhere. The one that is there already, where it goes on.
    pub(super) async fn previous(
        &self,
        before: &Row,
        old: Old,
        now: SystemTime,
    ) -> Result<Option<Previous>, Failure<L::Error>> {
        let Some(secrets) = before.secrets.as_ref().filter(|_| !old.is_over()) else { return Ok(None) };
        let overlap = match old {
            Old::WorksFor(overlap) => overlap,
            Old::Unshown if self.has(Flaw::RetriesEndOverlaps) => return Ok(None),
            Old::Unshown => return Ok(secrets.previous.clone().filter(|previous| now < previous.valid_until)),
        };
        let valid_until = now.checked_add(overlap).ok_or_else(|| {
            let message = "the overlap ends after the end of time; shorten it";
            Error::new(ErrorKind::InvalidConfig, message).with_operation(Operation::Rotate)
        })?;
        if self.0.store.is_elsewhere(&before.key, &secrets.current) {
            return Ok(None);
        }
        match self.0.store.pin(&before.key, &secrets.current).await {
            Ok(stored) => Ok(Some(Previous { stored, selector: secrets.selector, valid_until })),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Malformed) => Ok(None),
            Err(error) => Err(error.with_operation(Operation::Rotate).into()),
        }
    }

    /// Has the row pin the version that its record means now, before anything is written over it; says whether it was written. Where
    /// there is no secret to pin, the lease becomes one to move in.
    async fn pin(&self, before: &Row, lease: &mut Lease) -> Result<bool, Failure<L::Error>> {
        let Some(secrets) = &before.secrets else { return Ok(false) };
        match self.0.store.pin(&lease.key, &secrets.current).await {
            Ok(pinned) => self.pin_to(before, pinned, lease).await.map(|_| true),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Malformed) => {
                self.reopen(lease, OpenWriteKind::Move, 0, None).await?;
                lease.left = Some(lease.left.take().unwrap_or_default());
                Ok(false)
            }
            Err(error) => Err(self.failed(lease, error.with_operation(Operation::Rotate)).await),
        }
    }

    /// Has the row pin another version of the same secret; says whether the row still was as `before`.
    pub(super) async fn pin_to(
        &self,
        before: &Row,
        stored: StoredSecret,
        lease: &Lease,
    ) -> Result<bool, Failure<L::Error>> {
        self.commit_pinned(before, stored, lease, &()).await
    }

    /// The same, with the caller's part of the change.
    pub(super) async fn commit_pinned(
        &self,
        before: &Row,
        stored: StoredSecret,
        lease: &Lease,
        change: &dyn Change<L>,
    ) -> Result<bool, Failure<L::Error>> {
        let secrets = before.secrets.clone().map(|secrets| CredentialSecrets { current: stored, ..secrets });
        let after = Row { secrets, ..before.clone() };
        let write = Write::Replace { before: before.revision, after, kind: Replacement::OfTheSame };
        Ok(matches!(self.commit(&lease.key, &write, lease.attempt, change).await?, Committed::Done(_)))
    }
}
