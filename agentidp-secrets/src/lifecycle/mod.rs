//! Keeping the caller's database and the backends consistent, through every fault.
//!
//! Two stores have no common transaction, so the order of the steps keeps each moment safe: a crash, an outage or a lost race
//! between two steps leaves either the old state or work that is done later. [`Lifecycle`] carries the steps out; the caller's
//! database takes part through [`Ledger`].
//!
//! | sequence | steps |
//! |---|---|
//! | [`issue`](Lifecycle::issue) | open the write, with a digest of the new secret → write to the backend → commit the row, which redeems the open write → show |
//! | [`import`](Lifecycle::import) of a secret that the caller brings | look that the place is empty → as `issue`; nothing is shown |
//! | [`take_over`](Lifecycle::take_over) of another program's record | open, without a write → read the version that it means → commit its number |
//! | [`rotate`](Lifecycle::rotate) | open the write, with a digest of the new secret → write the next version → commit it where the row is unchanged → show. The row pins its version, so the old secret works until the commit |
//! | `rotate` of a record that means "the latest" | open → read the latest version → commit its number → as above |
//! | `rotate`, and the upgrade at a login, of a credential that moves to another backend | open, without a digest → write over whatever lies there → commit |
//! | [`end_previous`](Lifecycle::end_previous) | commit the row without its previous secret, and what is owed where only that lay |
//! | [`end_idle_overlaps`](Lifecycle::end_idle_overlaps) | rows with a previous secret, and when it was last used → as `end_previous`, where the row is unchanged |
//! | [`end`](Lifecycle::end) | commit the end and the deletion of each place in one transaction → one attempt to delete → return |
//! | [`authenticate`](Lifecycle::authenticate) | rows → verify → what the proof is worth is put into today's form in the background |
//! | [`authenticate_key`](Lifecycle::authenticate_key) | the rows that the key's selector finds → as above |
//! | [`still_counts`](Lifecycle::still_counts) | look at the proof once more, right before the answer |
//! | [`move_all`](Lifecycle::move_all) | of each credential whose secret can be read: read it → as the upgrade at a login |
//! | [`compare`](Lifecycle::compare) | each row against the backend, each place against the ledger → tell, and mend what is evident |
//! | [`keep_usage`](Lifecycle::keep_usage) | what was proved is noted in memory → once a minute one statement a batch |
//! | [`work`](Lifecycle::work) | claim what is owed → the backend forgets → a deletion is repeated three times, in case a write arrives late |
//!
//! At most one write a credential is open, and others wait for it. What its holder leaves when it dies is taken over: a version
//! right on top of the one that the row pins, whose secret has a noted digest, was generated and never shown; it is committed
//! as the new secret, so that no number of failed commits evicts the one that counts. Anything else is written over by
//! compare-and-set. Only the place of a credential that has ended, or was never committed, is deleted: nothing that arrives
//! late can hurt a credential that counts. Of one that was never committed only a secret with its noted digest is deleted: another
//! one is another database's. What a credential that moved away leaves is pushed out by blank versions.
//!
//! A secret is shown after its commit and never before. Each sequence runs in a task of its own, so that a caller that hangs up
//! cannot cut it between two steps.

mod authenticate;
mod bare_key;
mod blank;
mod bulk;
mod commit;
pub mod compare;
mod digest;
mod edit;
mod end;
mod event;
mod failure;
mod flaw;
mod gate;
mod given_up;
mod import;
mod issue;
mod lease;
mod ledger;
mod memory;
mod note;
mod note_text;
mod overlap;
mod packed;
mod places;
mod purge;
mod repairs;
mod report;
mod reveal;
mod revision;
mod rotate;
mod rows;
mod unmatched;
mod upgrade;
mod usage;
mod window;
mod writing;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::Result;
use crate::inventory::Inventory;
use crate::record::BackendId;
use crate::secret::ClientSecret;
use crate::store::SecretStore;

pub use self::authenticate::{Decision, Proof};
pub use self::bulk::{BulkMove, MoveOutcome, Moved};
pub use self::digest::SecretDigest;
pub use self::event::Event;
pub use self::failure::Failure;
#[cfg(any(test, feature = "testkit"))]
pub use self::flaw::Flaw;
pub use self::gate::Gate;
pub use self::ledger::{Change, CommitError, Entry, Ledger};
pub use self::memory::{MemoryError, MemoryLedger, MemoryTx};
pub use self::note::{Debt, DebtKind, Note, OpenWrite, OpenWriteKind};
pub use self::packed::PackedRows;
pub use self::purge::Round;
pub use self::report::{Counts, Reported, SecretKind, Summary};
pub use self::revision::Revision;
pub use self::rows::{AsOf, ClientRows, Freshness, Known, Row, State};
pub use self::unmatched::Unmatched;
pub use self::upgrade::UpgradePolicy;
pub use self::usage::{Usage, UsageLedger, Use};

/// How often a sequence starts over because somebody else changed the same row meanwhile. Each loss is another's gain, so it
/// takes that many others at once to use them up.
const ATTEMPTS: usize = 5;

/// A task that the lifecycle wants to have run to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A secret whose row is committed, so that it may be shown to its owner, once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shown {
    /// The secret.
    pub secret: ClientSecret,
    /// The row that vouches for it.
    pub row: Row,
}

/// Issues, verifies, rotates and ends client secrets over a [`SecretStore`] and a [`Ledger`].
///
/// Cheap to clone; clones share everything. Settings come before clones and before the first call: each `with_…` panics on a
/// lifecycle that is already shared.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use agentidp_secrets::backends::Memory;
/// use agentidp_secrets::lifecycle::{Decision, Lifecycle, MemoryLedger};
/// use agentidp_secrets::{CredentialKey, SecretStore};
///
/// let store = SecretStore::builder(Memory::new()).build()?;
/// let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)));
///
/// let key = CredentialKey::parse("agent-7", "credential-1")?;
/// let first = life.issue(&key, ()).await?;
/// let second = life.rotate(&key, Duration::from_secs(3600), ()).await?;
/// for secret in [&first.secret, &second.secret] {
///     let decision = life.authenticate(key.client_id(), secret).await?;
///     let Decision::Proved(proof) = decision else { panic!("both work within the overlap") };
///     // … sign a token, write the audit event, and then, with no wait before the answer:
///     assert!(matches!(life.still_counts(proof, secret).await?, Decision::Proved(_)));
/// }
/// life.end(&key, ()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Lifecycle<L>(Arc<Inner<L>>);

type Observer = Box<dyn Fn(&Event) + Send + Sync>;

struct Inner<L> {
    store: SecretStore,
    ledger: L,
    spawn: Box<dyn Fn(Task) + Send + Sync>,
    gate: Option<Box<dyn Gate>>,
    observe: Option<Observer>,
    comparisons: Vec<(Box<dyn Inventory>, Duration)>,
    bare_keys: Option<unmatched::BareKeys>,
    usage: Option<usage::Kept<L>>,
    idle_overlaps: Option<Duration>,
    upgrades: upgrade::Upgrades,
    #[cfg(any(test, feature = "testkit"))]
    flaw: Option<Flaw>,
    #[cfg(any(test, feature = "testkit"))]
    on_stage: Option<Box<dyn Fn(&'static str) + Send + Sync>>,
}

impl<L: Ledger> Lifecycle<L> {
    /// A lifecycle over the store's backends and the caller's database. The library starts no task of its own: `spawn` runs each
    /// sequence to its end, as `tokio::spawn` does.
    pub fn new(store: SecretStore, ledger: L, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            store,
            ledger,
            spawn: Box::new(spawn),
            gate: None,
            observe: None,
            comparisons: Vec::new(),
            bare_keys: None,
            usage: None,
            idle_overlaps: None,
            upgrades: upgrade::Upgrades::new(UpgradePolicy::new()),
            #[cfg(any(test, feature = "testkit"))]
            flaw: None,
            #[cfg(any(test, feature = "testkit"))]
            on_stage: None,
        }))
    }

    /// Asks `gate` before anything is deleted, taken over or pushed out. Without one this database must be the only one that ever writes to its
    /// folder in a backend: two on one folder delete each other's secrets. For Vault there is a ready one, `folder::FolderGate`.
    #[must_use]
    pub fn with_gate(self, gate: impl Gate) -> Self {
        self.with(|inner| inner.gate = Some(Box::new(gate)))
    }

    /// Tells `observe` what an operator may want to read in a log.
    #[must_use]
    pub fn with_observer(self, observe: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.observe = Some(Box::new(observe)))
    }

    /// Has [`work`](Self::work) [compare](Self::compare) the rows with a backend, at its start and then once in each `period` of at
    /// least a second, and tell the observer what differs. One process is enough. Repeat it for each backend with custody.
    #[must_use]
    pub fn with_comparison(self, inventory: impl Inventory, period: Duration) -> Self {
        let period = period.max(Duration::from_secs(1));
        self.with(|inner| inner.comparisons.push((Box::new(inventory), period)))
    }

    /// Sets which records of another backend, or of weaker parameters, a login puts into today's form, and how fast: all of them
    /// unless it is told otherwise. `true` and `false` are all and none. A missing selector is added in any case.
    #[must_use]
    pub fn with_upgrades(self, policy: impl Into<UpgradePolicy>) -> Self {
        self.with(|inner| inner.upgrades = upgrade::Upgrades::new(policy.into()))
    }

    /// Breaks the protocol.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn with_flaw(self, flaw: Option<Flaw>) -> Self {
        self.with(|inner| inner.flaw = flaw)
    }

    /// Calls `on_stage` where a sequence has come to a stage at which nothing of what it has seen until then matters any more.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn with_stages(self, on_stage: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.on_stage = Some(Box::new(on_stage)))
    }

    /// All that is left to be done has this name, and what comes of it is decided.
    fn at_stage(&self, name: &'static str) {
        #[cfg(any(test, feature = "testkit"))]
        if let Some(on_stage) = &self.0.on_stage {
            on_stage(name);
        }
        #[cfg(not(any(test, feature = "testkit")))]
        let _ = name;
    }

    #[cfg(any(test, feature = "testkit"))]
    fn has(&self, flaw: Flaw) -> bool {
        self.0.flaw == Some(flaw)
    }

    /// Without feature `testkit` nothing breaks the protocol.
    #[cfg(not(any(test, feature = "testkit")))]
    fn has(&self, _flaw: flaw::Flaw) -> bool {
        false
    }

    /// A setting that was dropped would not be missed until it matters: without its gate a lifecycle deletes what is not its own.
    fn with(mut self, set: impl FnOnce(&mut Inner<L>)) -> Self {
        let inner = Arc::get_mut(&mut self.0);
        assert!(
            inner.is_some(),
            "the lifecycle is already shared: call its `with_…` methods right after `Lifecycle::new`"
        );
        if let Some(inner) = inner {
            set(inner);
        }
        self
    }

    /// The store that verifies.
    #[must_use]
    pub fn store(&self) -> &SecretStore {
        &self.0.store
    }

    /// The caller's database.
    #[must_use]
    pub fn ledger(&self) -> &L {
        &self.0.ledger
    }

    /// Runs a sequence to its end, also when nobody waits for it any more.
    async fn uncut<T: Send + 'static>(
        &self,
        sequence: impl Future<Output = Result<T, Failure<L::Error>>> + Send + 'static,
    ) -> Result<T, Failure<L::Error>> {
        let (done, outcome) = oneshot::channel();
        (self.0.spawn)(Box::pin(async move {
            // The caller may have hung up.
            let _ = done.send(sequence.await);
        }));
        outcome.await.unwrap_or(Err(Failure::Cut))
    }

    fn may_delete(&self, at: &BackendId) -> bool {
        self.0.gate.as_ref().is_none_or(|gate| gate.may_delete(at))
    }

    fn may_adopt(&self, at: &BackendId) -> bool {
        self.0.gate.as_ref().is_none_or(|gate| gate.may_adopt(at))
    }

    fn tell(&self, event: &Event) {
        if let Some(observe) = &self.0.observe {
            observe(event);
        }
    }
}

impl<L> Clone for Lifecycle<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L> fmt::Debug for Lifecycle<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("store", &self.0.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
