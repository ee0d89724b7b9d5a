//! Making a change count: the row, what is owed by it, and the caller's own writes, in one transaction.

use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use super::flaw::Flaw;
use super::ledger::{Change, CommitError, Entry, Ledger};
use super::note::{DebtKind, Note};
use super::revision::Revision;
use super::rows::{Row, State};
use super::{ATTEMPTS, Event, Failure, Lifecycle};
use crate::credential::CredentialKey;
use crate::store::CredentialSecrets;

/// How long a lost answer to a commit is looked for: a healthy database takes some milliseconds.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What is to count.
#[derive(Clone, Debug)]
pub(super) enum Write {
    /// A new row.
    Insert(Row),
    /// Other secrets, where the row still has this revision.
    Replace { before: Option<Revision>, after: Row, kind: Replacement },
    /// The end.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replacement {
    /// The current secret becomes the previous one.
    Rotation,
    /// The current secret is unused, and still is at the commit.
    OfUnused,
    /// The secrets stay the same.
    OfTheSame,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(super) enum Committed {
    /// It counts. The row as it is now, or as it was at the end.
    Done(Box<Row>),
    /// It does not, and nothing has changed.
    Lost(Why),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Absent,
    Ended,
    /// The row was changed, or is there already.
    Changed,
    /// The open write is not ours any more.
    WriteLost,
}

impl Write {
    /// Whether this is how the credential is after the attempt was committed.
    fn has_happened(&self, attempt: Revision, state: &State) -> bool {
        match (self, state) {
            (Self::End, State::Ended) => true,
            (Self::Insert(_) | Self::Replace { .. }, State::Active(row)) => row.revision == Some(attempt),
            _ => false,
        }
    }

    /// Whether the credential is as it was before.
    fn has_not_happened(&self, state: &State) -> bool {
        match (self, state) {
            (Self::End, State::Active(_)) => true,
            (Self::Replace { before, .. }, State::Active(row)) => row.revision == *before,
            _ => false,
        }
    }
}

impl<L: Ledger> Lifecycle<L> {
    /// Commits a change. Where it is not committed, the lease of the attempt is over.
    pub(super) async fn commit(
        &self,
        key: &CredentialKey,
        write: &Write,
        attempt: Revision,
        change: &dyn Change<L>,
    ) -> Result<Committed, Failure<L::Error>> {
        let mut tries = 1;
        let outcome = loop {
            match self.try_commit(key, write, attempt, change).await {
                Err(CommitError::NotDone(error)) if tries < ATTEMPTS && self.0.ledger.may_repeat(&error) => tries += 1,
                Ok(outcome) => break Ok(outcome),
                Err(CommitError::NotDone(error)) => break Err(Failure::Ledger(error)),
                Err(CommitError::Unknown(error)) => return self.find_out(key, write, attempt, error).await,
            }
        };
        if !matches!(outcome, Ok(Committed::Done(_))) && !matches!(write, Write::End) {
            self.end_lease(key, attempt).await;
        }
        outcome
    }

    async fn try_commit(
        &self,
        key: &CredentialKey,
        write: &Write,
        attempt: Revision,
        change: &dyn Change<L>,
    ) -> Result<Committed, CommitError<L::Error>> {
        let ledger = &self.0.ledger;
        let mut tx = ledger.begin().await.map_err(CommitError::NotDone)?;
        change.before(&mut tx).await.map_err(CommitError::NotDone)?;
        let written = self.write_in(&mut tx, key, write, attempt).await.map_err(CommitError::NotDone)?;
        let Committed::Done(row) = &written else { return Ok(written) };
        change.after(&mut tx, row).await.map_err(CommitError::NotDone)?;
        ledger.commit(tx).await?;
        Ok(written)
    }

    /// The writes of a change, to be committed by the caller.
    pub(super) async fn write_in(
        &self,
        tx: &mut L::Tx,
        key: &CredentialKey,
        write: &Write,
        attempt: Revision,
    ) -> Result<Committed, L::Error> {
        let ledger = &self.0.ledger;
        let Entry { state, note: found } = ledger.lock(tx, key).await?;
        let now = self.now(tx).await?;
        let mut note = found.clone().unwrap_or_default();
        let row = match self.apply(write, attempt, &state, &mut note, now) {
            Ok(row) => row,
            Err(why) => return Ok(Committed::Lost(why)),
        };
        match write {
            Write::Insert(_) => ledger.insert(tx, &row).await?,
            Write::Replace { kind, .. } => {
                ledger.replace(tx, &row).await?;
                if *kind == Replacement::Rotation {
                    self.rotate_usage(tx, key, now).await?;
                }
            }
            Write::End => ledger.end(tx, key).await?,
        }
        if note != found.clone().unwrap_or_default() {
            ledger.note(tx, key, Some(&note).filter(|note| !note.is_empty())).await?;
        }
        Ok(Committed::Done(Box::new(row)))
    }

    /// What the change makes of row and note.
    fn apply(
        &self,
        write: &Write,
        attempt: Revision,
        state: &State,
        note: &mut Note,
        now: SystemTime,
    ) -> Result<Row, Why> {
        let active = || match state {
            State::Active(row) => Ok(&**row),
            State::Absent => Err(Why::Absent),
            State::Ended => Err(Why::Ended),
        };
        match write {
            Write::Insert(row) => {
                if *state != State::Absent {
                    return Err(Why::Changed);
                }
                let after = Row { revision: Some(attempt), ..row.clone() };
                if note.is_of(attempt) && !note.debts.is_empty() {
                    // It was given up.
                    return Err(Why::WriteLost);
                }
                let is_used = note.is_of_another(attempt);
                self.redeem(None, &after, attempt, note)?;
                if is_used { Err(Why::Changed) } else { Ok(after) }
            }
            Write::Replace { before, after, kind } => {
                let row = active()?;
                if *kind == Replacement::OfUnused && !row.is_unused && !self.has(Flaw::ReplacesUsed) {
                    return Err(Why::Changed);
                }
                if row.revision != *before || self.has(Flaw::ComparesOlderForms) && row.revision.is_none() {
                    return Err(Why::Changed);
                }
                if *kind == Replacement::Rotation && !note.is_of(attempt) && self.may_evict_previous(after, note) {
                    return Err(Why::Changed);
                }
                // A first use is noted without a new revision.
                let is_unused = after.is_unused && (row.is_unused || self.has(Flaw::ForgetsFirstUses));
                let after = Row { revision: self.revision_after(row, after, attempt), is_unused, ..after.clone() };
                self.redeem(row.secrets.as_ref(), &after, attempt, note)?;
                if let Some(after) = &after.secrets {
                    self.owe_left(row, after, note, now);
                }
                Ok(after)
            }
            Write::End => {
                let row = active()?;
                note.end(self.places(row), now);
                Ok(row.clone())
            }
        }
    }

    /// Whether a repair is open at the place of the previous secret. It may push out the version that the row is to keep.
    fn may_evict_previous(&self, after: &Row, note: &Note) -> bool {
        let previous = after.secrets.as_ref().and_then(|secrets| secrets.previous.as_ref());
        previous
            .and_then(|previous| self.points_to(&previous.stored))
            .is_some_and(|to| note.repairs() == Some(to.place))
    }

    /// The revision of a row that is written.
    fn revision_after(&self, before: &Row, after: &Row, attempt: Revision) -> Option<Revision> {
        let current = |row: &Row| row.secrets.as_ref().map(|secrets| secrets.current.clone());
        let is_flawed = self.has(Flaw::ComparesCurrentRecords) && current(before) == current(after);
        if is_flawed { before.revision } else { Some(attempt) }
    }

    /// A version that is new to the row needs its open write. What was owed at its place is void.
    fn redeem(
        &self,
        before: Option<&CredentialSecrets>,
        after: &Row,
        attempt: Revision,
        note: &mut Note,
    ) -> Result<(), Why> {
        let redeemed = note.redeem(attempt);
        let Some(to) = after.secrets.as_ref().and_then(|after| self.points_to(&after.current)) else { return Ok(()) };
        let is_known = before.and_then(|before| self.points_to(&before.current)).is_some_and(|from| from == to);
        if !is_known && !redeemed && !self.has(Flaw::RedeemsNothing) {
            return Err(Why::WriteLost);
        }
        note.void(&to.place);
        Ok(())
    }

    /// Owes what has to become of the places that the credential leaves: at once, or when its previous secret is over. Nothing at a
    /// place where its current record may point.
    fn owe_left(&self, before: &Row, after: &CredentialSecrets, note: &mut Note, now: SystemTime) {
        let may_point_to = |record| self.may_point_to(&before.key, record);
        let (kept, previous) = (may_point_to(&after.current), after.previous.as_ref());
        let held = previous.map(|previous| may_point_to(&previous.stored)).unwrap_or_default();
        for place in self.places(before).into_iter().filter(|place| !kept.contains(place)) {
            let until = previous.filter(|_| held.contains(&place)).map_or(now, |previous| previous.valid_until);
            note.owe(place, DebtKind::Blank, until);
        }
    }

    /// What became of a commit whose answer was lost: the row has the revision of this attempt if it took place after all. The
    /// lock waits for a commit that is still under way.
    async fn find_out(
        &self,
        key: &CredentialKey,
        write: &Write,
        attempt: Revision,
        error: L::Error,
    ) -> Result<Committed, Failure<L::Error>> {
        let look = async {
            loop {
                let looked = self
                    .edit(key, |state, note, now| {
                        let was_ours = note.is_of(attempt);
                        note.end_lease(attempt, now);
                        (state.clone(), was_ours)
                    })
                    .await;
                match looked {
                    Ok(found) => return found,
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        match timeout(ON_THE_SPOT, look).await {
            Ok((state, _)) if write.has_happened(attempt, &state) => {
                self.tell(&Event::AnswerLost(key.clone()));
                let row = match (write, state) {
                    (_, State::Active(row)) => row,
                    (Write::Insert(row) | Write::Replace { after: row, .. }, _) => Box::new(row.clone()),
                    (Write::End, _) => Box::new(Row::new(key.clone(), None, None)),
                };
                Ok(Committed::Done(row))
            }
            Ok((state, was_ours)) if was_ours || write.has_not_happened(&state) => Err(Failure::Ledger(error)),
            // Nothing was there to be locked, so the commit may still be under way; or another change was committed since, and
            // hides whether this one was.
            Ok(_) | Err(_) => Err(Failure::Unknown(error)),
        }
    }
}
