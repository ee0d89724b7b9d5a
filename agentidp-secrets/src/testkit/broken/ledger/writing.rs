//! What goes wrong under a lock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{BrokenLedger, BrokenTx, LedgerFlaw as Flaw};
use crate::credential::CredentialKey;
use crate::lifecycle::{Entry, Ledger as _, MemoryError, Note, Revision, Row, State};
use crate::record::StoredSecret;
use crate::store::CredentialSecrets;

impl BrokenLedger {
    pub(super) async fn locked(&self, tx: &mut BrokenTx, key: &CredentialKey) -> Result<Entry, MemoryError> {
        if self.has(Flaw::LocksEverything) && tx.locks_everything.is_none() {
            tx.locks_everything = Some(Arc::clone(&self.shared.everything).lock_owned().await);
        }
        let named = |found: &CredentialKey| found.credential_id() == key.credential_id();
        let other = self.inner.keys().into_iter().find(named).filter(|_| self.has(Flaw::IgnoresClient));
        let key = other.as_ref().unwrap_or(key);
        let before = self.inner.entry(key);
        let is_free = match self.flaw {
            Some(Flaw::LocksNothing) => true,
            Some(Flaw::LocksRowsOnly) => before.state == State::Absent,
            _ => false,
        };
        let mut entry = if is_free {
            before
        } else {
            self.inner.lock(tx.below(), key).await.map(|now| self.choose(before, now))?
        };
        let expires = entry.state.active().and_then(|row| row.expires_at);
        let is_damaged = entry.state.active().is_some_and(|row| row.secrets.is_none());
        match self.flaw {
            Some(Flaw::FailsOnDamaged) if is_damaged => return Err(MemoryError::new("the row cannot be read")),
            Some(Flaw::LockEndsExpired) if expires.is_some_and(|end| end <= SystemTime::UNIX_EPOCH) => {
                entry.state = State::Ended;
            }
            Some(Flaw::RowsShowEnded) if self.state().ended.contains(key) => entry.state = State::Ended,
            Some(Flaw::EndDeletesRow) if entry.state == State::Ended => entry.state = State::Absent,
            _ => {}
        }
        Ok(entry)
    }

    fn choose(&self, before: Entry, now: Entry) -> Entry {
        if self.has(Flaw::ReadsBeforeLock) { before } else { now }
    }

    pub(super) async fn insert_row(&self, tx: &mut BrokenTx, row: &Row) -> Result<(), MemoryError> {
        tx.rows += 1;
        if self.has(Flaw::KeepsFirstRow) && tx.rows > 1 {
            return Ok(());
        }
        let (found, row) = (self.inner.entry(&row.key).state, self.damaged(row, None));
        let overwrites = match self.flaw {
            Some(Flaw::InsertOverwrites) => true,
            Some(Flaw::RevivesEnded) => found == State::Ended,
            _ => false,
        };
        if overwrites {
            return self.inner.replace(tx.below(), &row).await;
        }
        let inserted = self.inner.insert(tx.below(), &row).await;
        tx.has_failed |= inserted.is_err();
        inserted
    }

    pub(super) async fn replace_row(&self, tx: &mut BrokenTx, row: &Row) -> Result<(), MemoryError> {
        tx.rows += 1;
        if self.has(Flaw::KeepsFirstRow) && tx.rows > 1 {
            return Ok(());
        }
        let before = self.inner.entry(&row.key).state;
        let row = self.damaged(row, before.active());
        self.inner.replace(tx.below(), &row).await
    }

    pub(super) async fn end_row(&self, tx: &mut BrokenTx, key: &CredentialKey) -> Result<(), MemoryError> {
        match self.flaw {
            Some(Flaw::EndsAtOnce) => {
                let mut own = self.inner.begin().await?;
                self.inner.end(&mut own, key).await?;
                let _ = self.inner.commit(own).await;
                Ok(())
            }
            Some(Flaw::RowsShowEnded) => {
                self.state().ended.insert(key.clone());
                Ok(())
            }
            Some(Flaw::EndDeletesNote) => {
                self.inner.end(tx.below(), key).await?;
                self.inner.note(tx.below(), key, None).await
            }
            _ => self.inner.end(tx.below(), key).await,
        }
    }

    pub(super) async fn write_note(
        &self,
        tx: &mut BrokenTx,
        key: &CredentialKey,
        note: Option<&Note>,
    ) -> Result<(), MemoryError> {
        let is_lost = match self.flaw {
            Some(Flaw::LosesNotes) => tx.rows > 0,
            Some(Flaw::NoteNeedsRow) => self.inner.entry(key).state == State::Absent,
            Some(Flaw::NoteStays) => note.is_none(),
            _ => false,
        };
        if is_lost {
            return Ok(());
        }
        let mut note = note.cloned();
        if let Some(note) = &mut note {
            self.state().first_due.entry(key.clone()).or_insert_with(|| note.due());
            match self.flaw {
                Some(Flaw::LosesDebts) => note.debts.truncate(1),
                Some(Flaw::LosesDigests) => note.open.iter_mut().for_each(|open| open.digests.truncate(1)),
                _ => {}
            }
        }
        if self.has(Flaw::NotesAtOnce) || (self.has(Flaw::EndsAtOnce) && note.is_none()) {
            let mut own = self.inner.begin().await?;
            self.inner.note(&mut own, key, note.as_ref()).await?;
            let _ = self.inner.commit(own).await;
            return Ok(());
        }
        self.inner.note(tx.below(), key, note.as_ref()).await
    }

    /// The row as the flaw writes it.
    fn damaged(&self, row: &Row, before: Option<&Row>) -> Row {
        let mut row = row.clone();
        let revision_before = before.and_then(|before| before.revision);
        let previous_before = before.and_then(|before| before.secrets.as_ref()?.previous.clone());
        let Some(secrets) = &mut row.secrets else { return row };
        match self.flaw {
            Some(Flaw::CutsRecords) => cut(secrets),
            Some(Flaw::CutsPreviousEnd) => {
                for previous in secrets.previous.iter_mut() {
                    let since = previous.valid_until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                    previous.valid_until = SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs());
                }
            }
            Some(Flaw::KeepsPrevious) => secrets.previous = secrets.previous.take().or(previous_before),
            Some(Flaw::LosesPrevious) => secrets.previous = None,
            Some(Flaw::LosesSelector) => secrets.selector = None,
            Some(Flaw::KeepsRevision) => row.revision = revision_before.or(row.revision),
            Some(Flaw::MakesRevisions) => row.revision = Some(Revision::from_bytes([7; 16])),
            _ => {}
        }
        row
    }
}

fn cut(secrets: &mut CredentialSecrets) {
    let cut = |stored: &StoredSecret| {
        let payload: String = stored.payload().chars().take(255).collect();
        StoredSecret::new(stored.backend().clone(), payload)
    };
    secrets.current = cut(&secrets.current);
    for previous in secrets.previous.iter_mut() {
        previous.stored = cut(&previous.stored);
    }
}
