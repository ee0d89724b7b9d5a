//! Looking at the entry again and again, and advancing it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::error::FolderError;
use super::gate::{FolderGate, FolderState};
use super::judge::{Comparison, Judgement, judge};
use super::row::{FolderRow, FolderRows, mark};
use crate::backend::SecretBackend as _;
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::vault::VaultKv2;
use crate::vault::ledger::{LedgerCounter, LedgerEntry};

/// How long a process watches before it deletes anything: twice the time between two advances of a writer.
pub const WATCH_TIME: Duration = Duration::from_secs(120);

/// Time between two looks.
pub const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Age of the last advance at which a process makes the next one.
const ADVANCE_AFTER: Duration = Duration::from_secs(60);

/// How often the row and the entry are read again because another process changed the row in between.
const READS: usize = 5;

type Observer<E> = Box<dyn Fn(FolderState, Option<&FolderError<E>>) + Send + Sync>;

/// This process's part in the ledger entry of one folder, and so whether it may delete there.
pub struct Folder<R: FolderRows> {
    pub(super) vault: VaultKv2,
    pub(super) rows: R,
    /// What the database calls the folder.
    pub(super) name: String,
    pub(super) clock: Arc<dyn Clock>,
    watch_time: Duration,
    observe: Option<Observer<R::Error>>,
    gate: FolderGate,
    watch: Mutex<Watch>,
}

impl<R: FolderRows> fmt::Debug for Folder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vault, name, gate, .. } = self;
        f.debug_struct("Folder").field("vault", vault).field("name", name).field("gate", gate).finish_non_exhaustive()
    }
}

/// What the process has seen so far.
#[derive(Debug, Default)]
struct Watch {
    /// The beginning of the first look since which every look agreed.
    agreed_since: Option<Instant>,
    /// The counter that the last look found.
    counter: Option<u64>,
    /// When it was first seen to be another one than before.
    advanced_at: Option<Instant>,
    /// Whether the gate has been open since the last disagreement.
    opened: bool,
    reported: Option<FolderState>,
}

impl<R: FolderRows> Folder<R> {
    /// For the folder that `vault` uses, which the database calls `name`: two folders must not have one name, and no folder two.
    #[must_use]
    pub fn new(vault: VaultKv2, rows: R, name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let gate = FolderGate::closed_for(Some(vault.info().id.clone()), Arc::clone(&clock));
        let (name, watch) = (name.into(), Mutex::default());
        Self { vault, rows, name, clock, watch_time: WATCH_TIME, observe: None, gate, watch }
    }

    /// Watches for so long before anything is deleted. Below [`WATCH_TIME`] a copy of this database may delete beside it: for tests,
    /// and for tools that an operator runs while no server does.
    #[must_use]
    pub fn with_watch_time(self, watch_time: Duration) -> Self {
        Self { watch_time, ..self }
    }

    /// Tells `observe` of each change of the state, and what was in the way.
    #[must_use]
    pub fn with_observer(
        self,
        observe: impl Fn(FolderState, Option<&FolderError<R::Error>>) + Send + Sync + 'static,
    ) -> Self {
        Self { observe: Some(Box::new(observe)), ..self }
    }

    /// The gate that this opens and closes: for [`Lifecycle::with_gate`](crate::lifecycle::Lifecycle::with_gate).
    #[must_use]
    pub fn gate(&self) -> &FolderGate {
        &self.gate
    }

    /// [Looks](Self::look) again and again, for as long as it is polled: have a task of its own do it.
    pub async fn watch(&self) {
        loop {
            self.look().await;
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Compares the row with the entry, claims an unclaimed folder, advances the counter when it is time, and opens or
    /// closes the gate. What fails is left to the next look. To be called every [`LOOK_PERIOD`], as [`watch`](Self::watch) does.
    pub async fn look(&self) -> FolderState {
        let mut watch = self.watch.lock().await;
        let began = (self.clock.instant(), self.clock.now());
        let outcome = self.step(&mut watch, began.0).await;
        match &outcome {
            Ok(Some(state)) => self.gate.set(*state, began),
            // An open gate closes by itself when this lasts.
            Ok(None) => {}
            Err(_) if watch.opened => {}
            Err(_) => {
                watch.agreed_since = None;
                self.gate.set(FolderState::Unknown, began);
            }
        }
        let state = self.gate.state();
        if watch.reported.replace(state) != Some(state) {
            if let Some(observe) = &self.observe {
                observe(state, outcome.err().as_ref());
            }
        }
        state
    }

    /// The new state; none where another process was quicker, and the next look tells which one it was.
    async fn step(&self, watch: &mut Watch, now: Instant) -> Result<Option<FolderState>, FolderError<R::Error>> {
        let Comparison { mut row, entry, judgement } = self.compare().await?;
        match judgement {
            Judgement::Disagrees(disagreement) => {
                *watch = Watch { reported: watch.reported, ..Watch::default() };
                return Ok(Some(FolderState::Disagrees(disagreement)));
            }
            Judgement::Unclaimed => {
                // Only the process whose own write was acknowledged knows that no other database was there.
                let row = self.find_or_insert(row).await?;
                if !self.advance(&row, &entry).await? {
                    return Ok(Some(FolderState::Watching));
                }
                *watch = Watch {
                    agreed_since: Some(now),
                    counter: Some(row.counter + 1),
                    advanced_at: Some(now),
                    opened: true,
                    reported: watch.reported,
                };
                return Ok(Some(FolderState::Agrees));
            }
            Judgement::Advanced => {
                self.settle(&row).await?;
                row = row.settled();
            }
            Judgement::Current => {}
        }
        let watched = now.saturating_duration_since(*watch.agreed_since.get_or_insert(now)) >= self.watch_time;
        if watch.counter != Some(row.counter) {
            // The first look cannot know when its counter was written.
            watch.advanced_at = watch.counter.replace(row.counter).map(|_| now);
        }
        if !watched && !watch.opened {
            return Ok(Some(FolderState::Watching));
        }
        let age = watch.advanced_at.map(|at| now.saturating_duration_since(at));
        if age.is_none_or(|age| age >= ADVANCE_AFTER) {
            if !self.advance(&row, &entry).await? {
                return Ok(None);
            }
            watch.advanced_at = Some(now);
            watch.counter = Some(row.counter + 1);
        }
        watch.opened = true;
        Ok(Some(FolderState::Agrees))
    }

    /// Compares once, changes nothing, and opens nothing: for a process that only wants to know whether what is noted here can be
    /// believed.
    pub async fn peek(&self) {
        let since = (self.clock.instant(), self.clock.now());
        let state = match self.compare().await.map(|found| found.judgement) {
            Ok(Judgement::Disagrees(disagreement)) => FolderState::Disagrees(disagreement),
            Ok(_) => FolderState::Watching,
            Err(_) => FolderState::Unknown,
        };
        self.gate.set(state, since);
    }

    /// Reads the row and the entry so that they belong together, and changes neither.
    ///
    /// # Errors
    /// [`FolderError`] when either cannot be read.
    pub async fn compare(&self) -> Result<Comparison, FolderError<R::Error>> {
        let mut read = self.find().await?;
        for _ in 0..READS {
            let entry = self.vault.ledger_entry().await.map_err(FolderError::Entry)?;
            let row = read.clone().map_or_else(|| FolderRow::new(&*self.clock), Ok).map_err(FolderError::Entry)?;
            let judgement = judge(&row, &entry);
            let found = Comparison { row, entry, judgement };
            if !matches!(judgement, Judgement::Disagrees(_)) {
                return Ok(found);
            }
            // They disagree only if no other process has changed the row since it was read.
            let again = self.find().await?;
            if again == read {
                return Ok(found);
            }
            read = again;
        }
        Err(FolderError::Busy)
    }

    /// Notes the next value, writes it to the entry and settles the row. Says whether this process wrote it.
    async fn advance(&self, row: &FolderRow, entry: &LedgerEntry) -> Result<bool, FolderError<R::Error>> {
        let Some(noted) = self.note(row).await? else { return Ok(false) };
        if !self.write(&noted, entry, true).await? {
            return Ok(false);
        }
        self.settle(&noted).await?;
        Ok(true)
    }

    pub(super) async fn find(&self) -> Result<Option<FolderRow>, FolderError<R::Error>> {
        self.rows.find(&self.name).await.map_err(FolderError::Rows)
    }

    pub(super) async fn swap(
        &self,
        before: Option<&FolderRow>,
        after: &FolderRow,
    ) -> Result<bool, FolderError<R::Error>> {
        self.rows.swap(&self.name, before, after).await.map_err(FolderError::Rows)
    }

    /// The folder's row; without one it is `new`.
    pub(super) async fn find_or_insert(&self, new: FolderRow) -> Result<FolderRow, FolderError<R::Error>> {
        if let Some(row) = self.find().await? {
            return Ok(row);
        }
        self.swap(None, &new).await?;
        // That of another process, which was quicker.
        Ok(self.find().await?.unwrap_or(new))
    }

    /// Notes a mark for the next value, unless one is noted. None where the row has another counter by now.
    async fn note(&self, before: &FolderRow) -> Result<Option<FolderRow>, FolderError<R::Error>> {
        if before.next_mark.is_none() {
            let next_mark = Some(mark(&*self.clock).map_err(FolderError::Entry)?);
            self.swap(Some(before), &FolderRow { next_mark, ..before.clone() }).await?;
        }
        let is_noted = |now: &FolderRow| {
            now.identity == before.identity && now.counter == before.counter && now.next_mark.is_some()
        };
        Ok(self.find().await?.filter(is_noted))
    }

    /// The entry holds the noted value. Where the row is another one by now, another process has said so.
    pub(super) async fn settle(&self, noted: &FolderRow) -> Result<(), FolderError<R::Error>> {
        self.swap(Some(noted), &noted.settled()).await.map(drop)
    }

    /// Writes the noted value beside the other counters of `entry`, or alone. Says whether the entry was still that one.
    pub(super) async fn write(
        &self,
        noted: &FolderRow,
        entry: &LedgerEntry,
        beside: bool,
    ) -> Result<bool, FolderError<R::Error>> {
        let mut counters = match entry {
            LedgerEntry::Live { counters, .. } if beside => counters.clone(),
            _ => BTreeMap::new(),
        };
        let mark = noted.next_mark.clone().unwrap_or_default();
        counters.insert(noted.identity.clone(), LedgerCounter { counter: noted.counter + 1, mark });
        match self.vault.write_ledger_entry(&counters, entry.version()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(FolderError::Entry(error)),
        }
    }
}
