//! Looking at the entry again and again, and advancing it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::ledger::{LedgerCounter, LedgerEntry};
use agentidp_secrets::{Clock, ErrorKind};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::error::LedgerError;
use super::gate::{DeletionGate, LedgerState};
use super::judge::{Judgement, judge};
use super::report::report;
use crate::domain::Timestamp;
use crate::repo::{LedgerRepo, LedgerRow};

/// How long a process watches before it deletes anything: twice the time between two advances of a writer.
pub const WATCH_TIME: Duration = Duration::from_secs(120);

/// Time between two looks.
pub const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Age of the last advance at which a process makes the next one.
const ADVANCE_AFTER: Duration = Duration::from_secs(60);

/// How often the row and the entry are read again because another process changed the row in between.
const READS: usize = 5;

/// This process's part in the ledger entry of one folder.
#[derive(Debug)]
pub struct Ledger {
    pub(super) vault: VaultKv2,
    pub(super) repo: Repo,
    /// What the database calls the folder.
    pub(super) folder: String,
    clock: Arc<dyn Clock>,
    watch_time: Duration,
    gate: DeletionGate,
    watch: Mutex<Watch>,
}

/// The repository, which has no `Debug`.
pub(super) struct Repo(pub(super) Arc<dyn LedgerRepo>);

impl std::fmt::Debug for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerRepo").finish_non_exhaustive()
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
    reported: Option<LedgerState>,
}

/// A row and an entry that were read together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The database's row; with an identity of its own at 0 where there is none yet.
    pub row: LedgerRow,
    /// The entry in Vault.
    pub entry: LedgerEntry,
    /// What they say together.
    pub judgement: Judgement,
}

impl Comparison {
    /// How many other databases the entry admits.
    #[must_use]
    pub fn others(&self) -> usize {
        let own = self.row.identity.to_string();
        match &self.entry {
            LedgerEntry::Live { counters, .. } => counters.keys().filter(|identity| **identity != own).count(),
            _ => 0,
        }
    }
}

impl Ledger {
    /// For the folder that `vault` uses, which the database calls `folder`; it opens and closes `gate`.
    #[must_use]
    pub fn new(
        vault: VaultKv2,
        repo: Arc<dyn LedgerRepo>,
        folder: String,
        clock: Arc<dyn Clock>,
        watch_time: Duration,
        gate: DeletionGate,
    ) -> Self {
        Self { vault, repo: Repo(repo), folder, clock, watch_time, gate, watch: Mutex::default() }
    }

    /// The gate that this opens and closes.
    #[must_use]
    pub fn gate(&self) -> &DeletionGate {
        &self.gate
    }

    /// Compares the row with the entry, claims an unclaimed folder, advances the counter when it is time, and opens or
    /// closes the gate. A change is logged; what fails is left to the next look.
    pub async fn look(&self) -> LedgerState {
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
                self.gate.set(LedgerState::Unknown, began);
            }
        }
        let state = self.gate.state();
        if watch.reported.replace(state) != Some(state) {
            report(state, outcome.err().as_ref());
        }
        state
    }

    /// The new state; none where another process was quicker, and the next look tells which one it was.
    async fn step(&self, watch: &mut Watch, now: Instant) -> Result<Option<LedgerState>, LedgerError> {
        let Comparison { mut row, entry, judgement } = self.compare().await?;
        match judgement {
            Judgement::Disagrees(disagreement) => {
                *watch = Watch { reported: watch.reported, ..Watch::default() };
                return Ok(Some(LedgerState::Disagrees(disagreement)));
            }
            Judgement::Unclaimed => {
                // Only the process whose own write was acknowledged knows that no other database was there.
                let row = self.repo.0.find_or_insert(&self.folder, row.identity).await?;
                if !self.advance(&row, &entry).await? {
                    return Ok(Some(LedgerState::Watching));
                }
                *watch = Watch {
                    agreed_since: Some(now),
                    counter: Some(row.counter + 1),
                    advanced_at: Some(now),
                    opened: true,
                    reported: watch.reported,
                };
                return Ok(Some(LedgerState::Agrees));
            }
            Judgement::Advanced => {
                self.repo.0.settle(&self.folder, &row).await?;
                row = settled(row);
            }
            Judgement::Current => {}
        }
        let watched = now.saturating_duration_since(*watch.agreed_since.get_or_insert(now)) >= self.watch_time;
        if watch.counter != Some(row.counter) {
            // The first look cannot know when its counter was written.
            watch.advanced_at = watch.counter.replace(row.counter).map(|_| now);
        }
        if !watched && !watch.opened {
            return Ok(Some(LedgerState::Watching));
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
        Ok(Some(LedgerState::Agrees))
    }

    /// Compares once, changes nothing, and opens nothing: for a process that only wants to know whether what is noted here can be
    /// believed.
    pub async fn peek(&self) {
        let since = (self.clock.instant(), self.clock.now());
        let state = match self.compare().await.map(|found| found.judgement) {
            Ok(Judgement::Disagrees(disagreement)) => LedgerState::Disagrees(disagreement),
            Ok(_) => LedgerState::Watching,
            Err(_) => LedgerState::Unknown,
        };
        self.gate.set(state, since);
    }

    /// Reads the row and the entry so that they belong together, and changes neither.
    ///
    /// # Errors
    /// [`LedgerError`] when either cannot be read.
    pub async fn compare(&self) -> Result<Comparison, LedgerError> {
        let mut read = self.repo.0.find(&self.folder).await?;
        for _ in 0..READS {
            let entry = self.vault.ledger_entry().await.map_err(LedgerError::Vault)?;
            let new = || LedgerRow { identity: Uuid::new_v4(), counter: 0, mark: None, next_mark: None };
            let row = read.clone().unwrap_or_else(new);
            let judgement = judge(&row, &entry);
            let found = Comparison { row, entry, judgement };
            if !matches!(judgement, Judgement::Disagrees(_)) {
                return Ok(found);
            }
            // They disagree only if no other process has changed the row since it was read.
            let again = self.repo.0.find(&self.folder).await?;
            if again == read {
                return Ok(found);
            }
            read = again;
        }
        Err(LedgerError::Busy)
    }

    /// Random, and says when it was made: after a restore it tells what moment a side is from.
    pub(super) fn mark(&self) -> Uuid {
        Uuid::new_v7(Timestamp::from(self.clock.now()).into())
    }

    /// Notes the next value, writes it to the entry and settles the row. Says whether this process wrote it.
    async fn advance(&self, row: &LedgerRow, entry: &LedgerEntry) -> Result<bool, LedgerError> {
        let Some(noted) = self.repo.0.note(&self.folder, row, self.mark()).await? else { return Ok(false) };
        if !self.write(&noted, entry, true).await? {
            return Ok(false);
        }
        self.repo.0.settle(&self.folder, &noted).await?;
        Ok(true)
    }

    /// Writes the noted value beside the other counters of `entry`, or alone. Says whether the entry was still that one.
    pub(super) async fn write(
        &self,
        noted: &LedgerRow,
        entry: &LedgerEntry,
        beside: bool,
    ) -> Result<bool, LedgerError> {
        let mut counters = match entry {
            LedgerEntry::Live { counters, .. } if beside => counters.clone(),
            _ => BTreeMap::new(),
        };
        let mark = noted.next_mark.map(|mark| mark.to_string()).unwrap_or_default();
        counters.insert(noted.identity.to_string(), LedgerCounter { counter: noted.counter + 1, mark });
        match self.vault.write_ledger_entry(&counters, entry.version()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(LedgerError::Vault(error)),
        }
    }
}

fn settled(row: LedgerRow) -> LedgerRow {
    LedgerRow { counter: row.counter + 1, mark: row.next_mark, next_mark: None, ..row }
}
