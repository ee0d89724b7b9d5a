//! A ledger in this process's memory, for tests, examples and the simulation: everything is lost with the process.

mod error;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

pub use self::error::MemoryError;
use super::ledger::{CommitError, Entry, Ledger};
use super::note::Note;
use super::rows::{ClientRows, Freshness, Known, Row, State};
use super::usage::{Usage, UsageLedger, Use};
use crate::clock::{Clock, SystemClock};
use crate::credential::{ClientId, CredentialKey};
use crate::selector::Selector;

/// A ledger in memory. Clones share everything, as the processes that share a database do.
#[derive(Clone)]
pub struct MemoryLedger {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    data: Mutex<Data>,
    locks: Mutex<HashMap<CredentialKey, Arc<AsyncMutex<()>>>>,
}

#[derive(Clone, Default)]
struct Data {
    states: BTreeMap<CredentialKey, State>,
    notes: BTreeMap<CredentialKey, Note>,
    suspended: BTreeSet<ClientId>,
    usage: BTreeMap<CredentialKey, Usage>,
    created: BTreeMap<CredentialKey, SystemTime>,
    log: Vec<String>,
}

/// A transaction: what is written is seen by others when it is committed.
#[derive(Default)]
pub struct MemoryTx {
    locked: Vec<(CredentialKey, OwnedMutexGuard<()>)>,
    writes: Vec<Write>,
}

enum Write {
    State(CredentialKey, State),
    Created(CredentialKey, SystemTime),
    Note(CredentialKey, Option<Note>),
    Log(String),
    Rotated(CredentialKey, SystemTime),
}

impl MemoryLedger {
    /// An empty ledger on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty ledger whose time is this clock's.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, data: Mutex::default(), locks: Mutex::default() }) }
    }

    /// What changes have [logged](MemoryTx::log), in the order of their commits.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.data().log.clone()
    }

    /// What is committed of a credential.
    #[must_use]
    pub fn entry(&self, key: &CredentialKey) -> Entry {
        let data = self.data();
        Entry { state: data.states.get(key).cloned().unwrap_or_default(), note: data.notes.get(key).cloned() }
    }

    /// The credentials that it has a row or a note of.
    #[must_use]
    pub fn keys(&self) -> Vec<CredentialKey> {
        let data = self.data();
        let keys: BTreeSet<_> = data.states.keys().chain(data.notes.keys()).cloned().collect();
        keys.into_iter().collect()
    }

    /// Suspends a client, or lets it authenticate again.
    pub fn suspend(&self, client: &ClientId, suspended: bool) {
        let mut data = self.data();
        if suspended {
            data.suspended.insert(client.clone());
        } else {
            data.suspended.remove(client);
        }
    }

    /// Puts a row in place of whatever there is, as SQL by hand does.
    pub fn put(&self, row: Row) {
        self.data().states.insert(row.key.clone(), State::Active(Box::new(row)));
    }

    /// A ledger with the same content and a life of its own, as a restored backup or a clone of a database is.
    #[must_use]
    pub fn copy(&self) -> Self {
        let (clock, data) = (Arc::clone(&self.shared.clock), Mutex::new(self.data().clone()));
        Self { shared: Arc::new(Shared { clock, data, locks: Mutex::default() }) }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        // No code panics while it holds the lock.
        self.shared.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTx {
    /// Writes a line into the ledger's [log](MemoryLedger::log), when this is committed: what an audit event is elsewhere.
    pub fn log(&mut self, line: impl Into<String>) {
        self.writes.push(Write::Log(line.into()));
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    type Tx = MemoryTx;
    type Error = MemoryError;

    async fn begin(&self) -> Result<MemoryTx, MemoryError> {
        Ok(MemoryTx::default())
    }

    async fn commit(&self, tx: MemoryTx) -> Result<(), CommitError<MemoryError>> {
        let mut data = self.data();
        for write in tx.writes {
            match write {
                Write::State(key, state) => drop(data.states.insert(key, state)),
                Write::Created(key, now) => drop(data.created.insert(key, now)),
                Write::Note(key, Some(note)) => drop(data.notes.insert(key, note)),
                Write::Note(key, None) => drop(data.notes.remove(&key)),
                Write::Log(line) => data.log.push(line),
                Write::Rotated(key, now) => {
                    let usage = data.usage.entry(key).or_default();
                    *usage = usage.rotated(now);
                }
            }
        }
        Ok(())
    }

    async fn now(&self, _tx: &mut MemoryTx) -> Result<SystemTime, MemoryError> {
        Ok(self.shared.clock.now())
    }

    async fn lock(&self, tx: &mut MemoryTx, key: &CredentialKey) -> Result<Entry, MemoryError> {
        if tx.locked.iter().all(|(locked, _)| locked != key) {
            let lock = {
                let mut locks = self.shared.locks.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(locks.entry(key.clone()).or_default())
            };
            tx.locked.push((key.clone(), lock.lock_owned().await));
        }
        Ok(self.entry(key))
    }

    async fn insert(&self, tx: &mut MemoryTx, row: &Row) -> Result<(), MemoryError> {
        if self.entry(&row.key).state != State::Absent {
            return Err(MemoryError::new("there is a row of this key already"));
        }
        tx.writes.push(Write::Created(row.key.clone(), self.shared.clock.now()));
        self.replace(tx, row).await
    }

    async fn replace(&self, tx: &mut MemoryTx, row: &Row) -> Result<(), MemoryError> {
        tx.writes.push(Write::State(row.key.clone(), State::Active(Box::new(row.clone()))));
        Ok(())
    }

    async fn end(&self, tx: &mut MemoryTx, key: &CredentialKey) -> Result<(), MemoryError> {
        tx.writes.push(Write::State(key.clone(), State::Ended));
        Ok(())
    }

    async fn note(&self, tx: &mut MemoryTx, key: &CredentialKey, note: Option<&Note>) -> Result<(), MemoryError> {
        // Through its text, as a database keeps it.
        let note = note.map(|note| Note::parse(&note.to_text())).transpose();
        let note = note.map_err(|error| MemoryError::new(&error.to_string()))?;
        tx.writes.push(Write::Note(key.clone(), note));
        Ok(())
    }

    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>, MemoryError> {
        let (now, data) = (self.shared.clock.now(), self.data());
        let due = |(key, note): (&CredentialKey, &Note)| Some((note.due().filter(|due| *due <= now)?, key.clone()));
        let mut due: Vec<_> = data.notes.iter().filter_map(due).collect();
        due.sort();
        Ok(due.into_iter().map(|(_, key)| key).take(limit).collect())
    }

    async fn rows(&self, client: &ClientId, _freshness: Freshness) -> Result<ClientRows, MemoryError> {
        Ok(self.data().rows(client, self.shared.clock.now()))
    }

    async fn find(&self, selectors: &[Selector]) -> Result<Option<Vec<(ClientId, ClientRows)>>, MemoryError> {
        let (now, data) = (self.shared.clock.now(), self.data());
        let has_one =
            |row: &Row| selectors_of(row, None).into_iter().flatten().any(|selector| selectors.contains(selector));
        let clients = data.clients(has_one);
        Ok(Some(clients.into_iter().map(|client| (client.clone(), data.rows(&client, now))).collect()))
    }

    async fn unfindable(&self, limit: usize) -> Result<Vec<ClientId>, MemoryError> {
        let is_lacking = |selector: Option<&Selector>| !selector.is_some_and(Selector::is_for_look_up);
        let now = self.shared.clock.now();
        let clients = self.data().clients(|row| {
            let counts = row.expires_at.is_none_or(|end| end > now);
            counts && selectors_of(row, Some(now)).into_iter().any(is_lacking)
        });
        Ok(clients.into_iter().take(limit).collect())
    }

    async fn used(&self, row: &Row) -> Result<bool, MemoryError> {
        let mut locked = MemoryTx::default();
        self.lock(&mut locked, &row.key).await?;
        match self.data().states.get_mut(&row.key) {
            Some(State::Active(found)) if found.revision == row.revision => found.is_unused = false,
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, MemoryError> {
        let data = self.data();
        let rows = data.states.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(rows.filter_map(|(_, state)| state.active()).take(limit).cloned().collect())
    }
}

#[async_trait]
impl UsageLedger for MemoryLedger {
    async fn note_uses(&self, uses: &[Use]) -> Result<(), MemoryError> {
        let mut data = self.data();
        for used in uses {
            let usage = data.usage.entry(used.key.clone()).or_default();
            *usage = usage.with(used);
        }
        Ok(())
    }

    async fn rotate_usage(&self, tx: &mut MemoryTx, key: &CredentialKey, now: SystemTime) -> Result<(), MemoryError> {
        tx.writes.push(Write::Rotated(key.clone(), now));
        Ok(())
    }

    async fn usages(&self, keys: &[CredentialKey]) -> Result<Vec<Usage>, MemoryError> {
        let data = self.data();
        Ok(keys.iter().map(|key| data.usage.get(key).copied().unwrap_or_default()).collect())
    }

    async fn created(&self, keys: &[CredentialKey]) -> Result<Vec<Option<SystemTime>>, MemoryError> {
        let data = self.data();
        Ok(keys.iter().map(|key| data.created.get(key).copied()).collect())
    }
}

/// The selector beside each of the row's records, or of those that count `by` then.
fn selectors_of(row: &Row, by: Option<SystemTime>) -> Vec<Option<&Selector>> {
    let Some(secrets) = &row.secrets else { return Vec::new() };
    let previous = secrets.previous.iter().filter(|previous| by.is_none_or(|now| previous.valid_until > now));
    let previous = previous.map(|previous| previous.selector.as_ref());
    std::iter::once(secrets.selector.as_ref()).chain(previous).collect()
}

impl Data {
    /// The clients with an active row of this kind.
    fn clients(&self, is_one: impl Fn(&Row) -> bool) -> BTreeSet<ClientId> {
        let rows = self.states.values().filter_map(State::active).filter(|row| is_one(row));
        rows.map(|row| row.key.client_id().clone()).collect()
    }

    fn rows(&self, client: &ClientId, now: SystemTime) -> ClientRows {
        let mine = self.states.iter().filter(|(key, _)| key.client_id() == client);
        let mut is_known = false;
        let rows = mine.inspect(|_| is_known = true).filter_map(|(_, state)| state.active()).cloned();
        let rows: Vec<_> = rows.filter(|row| row.expires_at.is_none_or(|end| end > now)).collect();
        ClientRows::read(is_known.then(|| Known::new(!self.suspended.contains(client), rows)))
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger").field("credentials", &self.data().states.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTx").field("writes", &self.writes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
crate::ledger_conformance!(conformance, MemoryLedger::new());
#[cfg(test)]
crate::usage_conformance!(usage_conformance, MemoryLedger::new());
