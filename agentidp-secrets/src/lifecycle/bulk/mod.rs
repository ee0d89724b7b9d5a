//! All secrets that a backend can show move to the primary one, without their clients.
//!
//! Nothing of a move is kept but what the rows say. So one that was killed is begun anew, and finds what is left; and several at once,
//! or beside logins and rotations, only find less to do.

mod outcome;
mod relocate;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

pub use self::outcome::{MoveOutcome, Moved};

use super::ledger::Ledger;
use super::report::Reported;
use super::{Failure, Lifecycle};
use crate::credential::{ClientId, CredentialKey};

/// A credential whose secret is being moved, and what becomes of it.
type UnderWay<E> = Pin<Box<dyn Future<Output = (Reported, Result<MoveOutcome, Failure<E>>)> + Send>>;

/// A move of all secrets to the primary backend: see [`Lifecycle::move_all`].
#[must_use = "a move does nothing until `next`"]
pub struct BulkMove<L: Ledger> {
    life: Lifecycle<L>,
    dry_run: bool,
    client: Option<ClientId>,
    at_once: usize,
    after: Option<CredentialKey>,
    page: VecDeque<Reported>,
    under_way: FuturesUnordered<UnderWay<L::Error>>,
    stopped: Option<Failure<L::Error>>,
}

impl<L: Ledger> Lifecycle<L> {
    /// Moves the secrets of all active credentials to the primary backend, expired ones too, without their clients: those that the
    /// backend which keeps them [can show](crate::BackendInfo::reveals). Of any other only a digest is kept; it moves when its client
    /// logs in, or by a rotation.
    ///
    /// Call [`BulkMove::next`] until there is no more. How fast is yours to say: wait between two calls.
    ///
    /// A secret moves as by an upgrade at a login, by compare-and-set on its row: a concurrent rotation or end is never undone. What it
    /// leaves behind is pushed out of its old place by [`work`](Self::work). A previous secret within its overlap stays where it is, and
    /// so does all of a client that the [upgrade policy](super::UpgradePolicy::except) excepts. Nothing else of that policy counts here.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use agentidp_secrets::backends::{Bcrypt, Memory};
    /// use agentidp_secrets::lifecycle::{Lifecycle, MemoryLedger, MoveOutcome};
    /// use agentidp_secrets::{CredentialKey, SecretStore};
    ///
    /// let (ledger, memory) = (MemoryLedger::new(), Arc::new(Memory::new()));
    /// let spawn = |task| drop(tokio::spawn(task));
    /// let before = Lifecycle::new(SecretStore::builder(Arc::clone(&memory)).build()?, ledger.clone(), spawn);
    /// before.issue(&CredentialKey::parse("agent-7", "credential-1")?, ()).await?;
    ///
    /// let store = SecretStore::builder(Bcrypt::builder().build()?).accepts(memory).build()?;
    /// let life = Lifecycle::new(store, ledger, spawn);
    /// let mut all = life.move_all();
    /// while let Some(moved) = all.next().await? {
    ///     assert!(matches!(moved.outcome, MoveOutcome::Moved));
    ///     tokio::time::sleep(std::time::Duration::from_millis(10)).await; // at most 100 a second
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn move_all(&self) -> BulkMove<L> {
        BulkMove {
            life: self.clone(),
            dry_run: false,
            client: None,
            at_once: 1,
            after: None,
            page: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            stopped: None,
        }
    }
}

impl<L: Ledger> BulkMove<L> {
    /// Changes nothing, and says what would become of each: each secret that would move is read.
    pub fn dry_run(mut self, is_one: bool) -> Self {
        self.dry_run = is_one;
        self
    }

    /// Moves the secrets of this client only. All rows are read all the same.
    pub fn of_client(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// Sets how many secrets are moved at a time: 1 unless set. They end in any order.
    pub fn at_once(mut self, secrets: usize) -> Self {
        self.at_once = secrets.max(1);
        self
    }

    /// What became of the next credential; nothing when each was told. A row that is broken is one of them, and stops nothing.
    ///
    /// # Errors
    /// [`Failure`], when a backend or the database fails: after what was under way was told. What was moved until then stays moved, and
    /// a new [`move_all`](Lifecycle::move_all) finds what is left.
    ///
    /// # Cancel safety
    /// Safe to drop at any point: a move that was begun runs to its end, and is told by the next call.
    pub async fn next(&mut self) -> Result<Option<Moved>, Failure<L::Error>> {
        loop {
            while self.under_way.len() < self.at_once && self.stopped.is_none() {
                match self.next_reported().await {
                    Ok(Some(reported)) => match self.life.decided_by_row(&reported.row) {
                        Some(outcome) => return Ok(Some(Moved { reported, outcome })),
                        None => self.begin(reported),
                    },
                    Ok(None) => break,
                    Err(failure) => self.stopped = Some(failure),
                }
            }
            match self.under_way.next().await {
                Some((reported, Ok(outcome))) => return Ok(Some(Moved { reported, outcome })),
                Some((_, Err(failure))) => self.stopped = Some(self.stopped.take().unwrap_or(failure)),
                None => return self.stopped.take().map_or(Ok(None), Err),
            }
        }
    }

    /// The next credential of the ledger that this is about.
    async fn next_reported(&mut self) -> Result<Option<Reported>, Failure<L::Error>> {
        loop {
            while let Some(reported) = self.page.pop_front() {
                self.after = Some(reported.row.key.clone());
                if self.client.as_ref().is_none_or(|client| reported.row.key.client_id() == client) {
                    return Ok(Some(reported));
                }
            }
            self.page = self.life.reported_page(self.after.as_ref()).await?.into();
            if self.page.is_empty() {
                return Ok(None);
            }
        }
    }

    fn begin(&self, reported: Reported) {
        let (life, row, dry_run) = (self.life.clone(), reported.row.clone(), self.dry_run);
        let moving = self.life.clone();
        self.under_way.push(Box::pin(async move {
            let outcome = life.uncut(async move { moving.relocate(row, dry_run).await }).await;
            (reported, outcome)
        }));
    }
}

impl<L: Ledger> fmt::Debug for BulkMove<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkMove").field("dry_run", &self.dry_run).field("after", &self.after).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(feature = "bcrypt")]
mod tests;
