//! The database: a [`MemoryLedger`] behind calls that may fail, wait, and lose their answers.

use std::time::{Duration, SystemTime};

use super::fault::Fault;
use super::rates;
use super::site::Site;
use super::small::Small;
use super::world::World;
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::{
    ClientRows, CommitError, Entry, Freshness, Ledger, MemoryError, MemoryLedger, MemoryTx, Note, Row, SecretDigest,
};
use async_trait::async_trait;

/// What a serialization failure says.
const REPEAT: &str = "the transaction may be run again";

/// Apart by more than every lease.
const APART: Duration = Duration::from_secs(2_000);

#[derive(Clone)]
pub(super) struct SimulatedLedger {
    pub(super) memory: MemoryLedger,
    pub(super) site: Site,
}

/// What becomes of a commit.
enum Fate {
    Sound,
    NotDone,
    /// Carried out or not, and nobody is told.
    Unknown(bool),
    /// Carried out when its caller has given up.
    Late(Duration),
}

impl World {
    fn fate_of_commit(&mut self) -> Fate {
        if let Some(small) = &mut self.small {
            return small.lateness().map_or(Fate::Sound, Fate::Late);
        }
        let (unknown, ledger) = (self.rates.unknown, self.rates.ledger);
        let chance = &mut self.chance;
        if chance.happens(unknown) {
            self.counts.unknown_commits += 1;
            return match chance.below(3) {
                0 => Fate::Unknown(false),
                1 => Fate::Unknown(true),
                _ => Fate::Late(rates::lateness(chance)),
            };
        }
        if chance.happens(ledger) { Fate::NotDone } else { Fate::Sound }
    }
}

impl SimulatedLedger {
    /// A call that reads, or that writes within a transaction.
    pub(super) async fn call(&self, what: &'static str) -> Result<(), MemoryError> {
        self.site.point(what).await;
        let mut world = self.site.world.lock();
        let rate = world.rates.ledger;
        if !world.chance.happens(rate) {
            return Ok(());
        }
        world.counts.failures += 1;
        let may_repeat = world.chance.happens(500);
        world.tell(|_| format!("replica {}: the database fails at: {what}", self.site.replica));
        Err(MemoryError::new(if may_repeat { REPEAT } else { "the database is out of reach" }))
    }

    /// Stands in the queue for a lock, or has it.
    fn waits(&self, waits: bool) {
        self.site.notes_itself(|small, task| small.wait(task, waits));
    }

    async fn carry_out(&self, tx: MemoryTx) -> Result<(), CommitError<MemoryError>> {
        self.memory.commit(tx).await?;
        self.site.world.lock().committed();
        Ok(())
    }
}

#[async_trait]
impl Ledger for SimulatedLedger {
    type Tx = MemoryTx;
    type Error = MemoryError;

    async fn begin(&self) -> Result<MemoryTx, MemoryError> {
        self.call("begin").await?;
        self.memory.begin().await
    }

    async fn commit(&self, tx: MemoryTx) -> Result<(), CommitError<MemoryError>> {
        self.site.point("commit").await;
        let fate = self.site.world.lock().fate_of_commit();
        let unknown = || CommitError::Unknown(MemoryError::new("the connection was lost at the commit"));
        match fate {
            Fate::Sound => self.carry_out(tx).await?,
            Fate::NotDone => {
                self.site.tell(|| "a commit is not done".to_owned());
                return Err(CommitError::NotDone(MemoryError::new(REPEAT)));
            }
            Fate::Unknown(is_done) => {
                self.site.tell(|| format!("a commit is lost, carried out: {is_done}"));
                if is_done {
                    self.carry_out(tx).await?;
                } else {
                    drop(tx);
                }
                return Err(unknown());
            }
            Fate::Late(time) => {
                self.site.tell(|| format!("a commit is lost, and carried out in {time:?}"));
                let restores = {
                    let mut world = self.site.world.lock();
                    world.counts.late += 1;
                    world.counts.restores
                };
                self.site.hears("commit", |pen| pen.put(time));
                let caller = self.site.executor.current();
                let sent = caller.and_then(|task| self.site.knows(task));
                self.site.notes_itself(Small::repeats);
                let ledger = self.clone();
                let arrive = async move {
                    ledger.site.lateness(time).await;
                    if ledger.site.world.lock().counts.restores == restores {
                        let _ = ledger.carry_out(tx).await;
                    }
                };
                self.site.in_the_world(arrive, |pen| pen.put(sent));
                return Err(unknown());
            }
        }
        self.site.hears("commit", |pen| pen.put("done"));
        self.site.point("committed").await;
        Ok(())
    }

    async fn now(&self, tx: &mut MemoryTx) -> Result<SystemTime, MemoryError> {
        self.call("now").await?;
        let apart = match self.site.world.lock().fault {
            Some(Fault::ClocksOfReplicas) => APART * u32::try_from(self.site.replica).unwrap_or(0),
            _ => Duration::ZERO,
        };
        Ok(self.memory.now(tx).await? + apart)
    }

    async fn lock(&self, tx: &mut MemoryTx, key: &CredentialKey) -> Result<Entry, MemoryError> {
        self.call("lock").await?;
        self.site.notes_itself(Small::locks);
        self.waits(true);
        let entry = self.memory.lock(tx, key).await?;
        self.waits(false);
        self.site.hears("lock", |pen| pen.entry(&entry));
        self.site.point("locked").await;
        Ok(entry)
    }

    async fn insert(&self, tx: &mut MemoryTx, row: &Row) -> Result<(), MemoryError> {
        self.call("insert").await?;
        self.site.notes_itself(Small::writes_a_row);
        self.site.makes(row.revision.map(|revision| revision.to_string()));
        self.memory.insert(tx, row).await
    }

    async fn replace(&self, tx: &mut MemoryTx, row: &Row) -> Result<(), MemoryError> {
        self.call("replace").await?;
        self.site.notes_itself(Small::writes_a_row);
        self.site.makes(row.revision.map(|revision| revision.to_string()));
        self.memory.replace(tx, row).await
    }

    async fn end(&self, tx: &mut MemoryTx, key: &CredentialKey) -> Result<(), MemoryError> {
        self.call("end").await?;
        self.site.notes_itself(Small::writes_a_row);
        self.memory.end(tx, key).await
    }

    async fn note(&self, tx: &mut MemoryTx, key: &CredentialKey, note: Option<&Note>) -> Result<(), MemoryError> {
        self.call("note").await?;
        if let Some(open) = note.and_then(|note| note.open.as_ref()) {
            self.site.makes([open.attempt.to_string()]);
            self.site.makes(open.digests.iter().map(SecretDigest::as_str));
        }
        if note.is_some_and(|note| claims(note, self.memory.entry(key).note.as_ref())) {
            self.site.notes_itself(Small::claims);
        }
        self.memory.note(tx, key, note).await
    }

    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>, MemoryError> {
        self.call("due").await?;
        let due = self.memory.due(limit).await?;
        self.site.hears("due", |pen| pen.put(&due));
        Ok(due)
    }

    async fn rows(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, MemoryError> {
        self.call("rows").await?;
        let rows = self.memory.rows(client, freshness).await?;
        self.site.hears("rows", |pen| rows.known.iter().flat_map(|known| known.rows()).for_each(|row| pen.row(&row)));
        self.site.point("rows read").await;
        Ok(rows)
    }

    async fn used(&self, row: &Row) -> Result<bool, MemoryError> {
        self.call("used").await?;
        let is_its_secret = self.memory.used(row).await?;
        self.site.world.lock().committed();
        self.site.hears("used", |pen| pen.put(is_its_secret));
        Ok(is_its_secret)
    }

    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, MemoryError> {
        self.call("page").await?;
        self.memory.page(after, limit).await
    }

    fn may_repeat(&self, error: &MemoryError) -> bool {
        *error == MemoryError::new(REPEAT)
    }
}

/// Whether there is a claim in the note that was not there before.
fn claims(note: &Note, before: Option<&Note>) -> bool {
    let had = |until| before.is_some_and(|before| before.debts.iter().any(|debt| debt.claimed_until == Some(until)));
    note.debts.iter().filter_map(|debt| debt.claimed_until).any(|until| !had(until))
}
