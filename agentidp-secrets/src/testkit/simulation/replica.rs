//! Processes of the service under test.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backend::MountBackend;
use super::digests::DigestBackend;
use super::executor::{Executor, Owner};
use super::fault::Fault;
use super::identity::Identity;
use super::ledger::SimulatedLedger;
use super::seen::{MOUNTS, Setting};
use super::site::Site;
use super::small::Small;
use super::world::Shared;
use crate::backend::SharedBackend;
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::keys::MacKeys;
use crate::lifecycle::compare::{Difference, Mode};
use crate::lifecycle::{Event, Gate, Lifecycle, MemoryLedger, UpgradePolicy};
use crate::record::BackendId;
use crate::store::SecretStore;

#[derive(Clone)]
pub(super) struct Replica {
    pub(super) life: Lifecycle<SimulatedLedger>,
    pub(super) site: Site,
    /// The backend that it was not given.
    lacks: Option<usize>,
}

impl Replica {
    /// Compares the rows with each mount that it has; what was told, unless something fails.
    pub(super) async fn compare(&self, mode: Mode) -> Option<Vec<Difference>> {
        let mut told = Vec::new();
        for mount in (0..MOUNTS).filter(|mount| self.lacks != Some(*mount)) {
            let mount = MountBackend::new(mount, self.site.clone()).ok()?;
            let mut tell = |difference: &Difference| told.push(difference.clone());
            self.life.compare(&mount, mode, &mut tell).await.ok()?;
        }
        Some(told)
    }
}

/// All processes: the latest one of each replica, and those of a clone of the database.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) world: Shared,
    pub(super) executor: Executor,
    replicas: Arc<Mutex<Vec<Option<Replica>>>>,
    clones: Arc<Mutex<Vec<Replica>>>,
}

/// A clone of a database deletes, takes over and pushes out nothing.
struct Closed;

impl Gate for Closed {
    fn may_delete(&self, _at: &BackendId) -> bool {
        false
    }

    fn may_adopt(&self, _at: &BackendId) -> bool {
        false
    }

    fn may_push_out(&self, _at: &BackendId) -> bool {
        false
    }
}

impl Cluster {
    pub(super) fn new(world: Shared, executor: Executor) -> Self {
        Self { world, executor, replicas: Arc::default(), clones: Arc::default() }
    }

    fn replicas(&self) -> MutexGuard<'_, Vec<Option<Replica>>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clones(&self) -> MutexGuard<'_, Vec<Replica>> {
        self.clones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops all processes, which hold the cluster.
    pub(super) fn clear(&self) {
        let (replicas, clones) = (std::mem::take(&mut *self.replicas()), std::mem::take(&mut *self.clones()));
        drop((replicas, clones));
    }

    /// One that is alive.
    pub(super) fn any(&self) -> Option<Replica> {
        let replicas = self.replicas();
        let mut world = self.world.lock();
        let alive: Vec<_> = replicas.iter().flatten().filter(|replica| world.is_alive(replica.site.owner)).collect();
        let chosen = world.chance.below(alive.len());
        alive.get(chosen).map(|replica| (*replica).clone())
    }

    /// The latest process of this replica.
    pub(super) fn at(&self, replica: usize) -> Option<Replica> {
        self.replicas().get(replica).cloned().flatten()
    }

    /// The clone of the database, where there is one.
    pub(super) fn a_clone(&self) -> Option<Replica> {
        self.clones().last().cloned()
    }

    /// Starts the first process of each replica.
    pub(super) fn start(&self, replicas: usize) {
        for replica in 0..replicas {
            self.replicas().push(None);
            self.start_another(replica);
        }
    }

    /// Starts the next process of a replica.
    fn start_another(&self, replica: usize) {
        let memory = self.world.lock().ledger.clone();
        match self.process(replica, memory, true) {
            Ok(started) => self.replicas()[replica] = Some(started),
            Err(error) => self.world.lock().violate("a process starts", |_| error.to_string()),
        }
    }

    /// Clones the database as it is, and starts a process on the clone and on the same mounts.
    pub(super) fn clone_the_database(&self) {
        let memory = self.world.lock().ledger.copy();
        self.world.lock().tell(|_| "the database is cloned".to_owned());
        if let Ok(clone) = self.process(usize::MAX, memory, false) {
            let is_open = self.world.lock().fault == Some(Fault::NoGate);
            let life = if is_open { clone.life } else { clone.life.with_gate(Closed) };
            self.clones().push(Replica { life, ..clone });
        }
    }

    /// The clone rotates, as the database does that it is a copy of.
    pub(super) fn rotate_in_the_clone(&self, key: CredentialKey, overlap: Duration) {
        let Some(Replica { life, site, .. }) = self.a_clone() else { return };
        {
            let mut world = self.world.lock();
            world.tell(|_| format!("the clone rotates {key}"));
            world.counts.rotated_by_clones += 1;
        }
        site.spawn(Box::pin(async move { drop(life.rotate(&key, overlap, ()).await) }));
    }

    /// Stops the processes of all replicas, and says how many replicas there are.
    pub(super) fn stop_all(&self) -> usize {
        let clones: Vec<_> = self.clones().iter().map(|clone| clone.site.owner).collect();
        let processes = self.world.lock().processes;
        for owner in (1..=processes).map(Owner).filter(|owner| !clones.contains(owner)) {
            self.world.lock().dead.insert(owner);
            self.executor.kill(owner);
        }
        self.replicas().len()
    }

    /// Starts those anew that were not given all backends.
    pub(super) fn give_all_backends(&self) {
        let setting = self.world.lock().setting;
        self.world.lock().setting = Setting { lacking: 0, blind: None, ..setting };
        let lacking: Vec<_> = self.replicas().iter().flatten().filter(|it| it.lacks.is_some()).cloned().collect();
        for Replica { site, .. } in lacking {
            // One that is dead is followed by another in any case.
            if self.world.lock().dead.insert(site.owner) {
                self.executor.kill(site.owner);
                self.start_another(site.replica);
            }
        }
    }

    /// Starts a process of each replica.
    pub(super) fn start_again(&self, replicas: usize) {
        (0..replicas).for_each(|replica| self.start_another(replica));
    }

    fn process(&self, replica: usize, memory: MemoryLedger, may_die: bool) -> Result<Replica> {
        let (owner, setting, primary, lacks, clock, fault, is_small) = {
            let mut guard = self.world.lock();
            let world = &mut *guard;
            let Setting { primary, second, others, lacking, blind, .. } = world.setting;
            let is_another = world.chance.happens(others);
            let primary = if is_another { second } else { primary };
            let lacks = (may_die && world.chance.happens(lacking)).then(|| world.chance.below(MOUNTS + 1));
            let lacks = if blind == Some(replica) { Some(0) } else { lacks.filter(|lacks| *lacks != primary) };
            world.processes += 1;
            world.tell(|_| {
                format!("replica {replica} starts with backend {primary} for new secrets, and without {lacks:?}")
            });
            let (clock, is_small) = (Arc::clone(&world.clock), world.small.is_some());
            (Owner(world.processes), world.setting, primary, lacks, clock, world.fault, is_small)
        };
        let cluster = self.clone();
        let site = Site {
            world: self.world.clone(),
            executor: self.executor.clone(),
            owner,
            replica,
            next: may_die.then(|| Arc::new(move || cluster.start_another(replica)) as Arc<dyn Fn() + Send + Sync>),
        };
        let mut backends: Vec<SharedBackend> = Vec::new();
        for mount in 0..MOUNTS {
            backends.push(Arc::new(MountBackend::new(mount, site.clone())?));
        }
        backends.push(Arc::new(DigestBackend::new(site.clone())?));
        let mut store = SecretStore::builder(Arc::clone(&backends[primary])).clock(clock);
        for (number, backend) in backends.into_iter().enumerate() {
            if number != primary && lacks != Some(number) {
                store = store.accepts(backend);
            }
        }
        if setting.has_selectors {
            store = store.selector_keys(MacKeys::parse(&format!("k1:{}", "0123456789abcdef".repeat(4)))?);
        }
        let ledger = SimulatedLedger { memory, site: site.clone() };
        let tasks = site.clone();
        let observer = site.clone();
        let observe = move |event: &Event| {
            if matches!(event, Event::Forgotten(..) | Event::NotForgotten(..)) {
                observer.notes_itself(Small::forgets);
            }
        };
        let stages = site.clone();
        let life = Lifecycle::new(store.build()?, ledger, move |task| tasks.spawn(task))
            .with_observer(observe)
            .with_upgrades(UpgradePolicy::new().pause(Duration::ZERO))
            .with_stages(move |stage| stages.reaches(stage));
        // The small world has none: what is noted in memory would be a part of each of its states.
        let life = if is_small { life } else { life.with_usage() };
        let life = life.with_flaw(fault.and_then(Fault::in_the_library));
        // A clone has none, or one that is closed.
        let life = if may_die { life.with_gate(Identity(self.world.clone())) } else { life };
        Ok(Replica { life, site, lacks })
    }
}
