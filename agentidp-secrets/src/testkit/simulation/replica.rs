//! A process of the service under test.

use std::sync::Arc;

use super::backend::MountBackend;
use super::digests::DigestBackend;
use super::executor::Owner;
use super::ledger::SimulatedLedger;
use super::site::Site;
use super::world::MOUNTS;
use crate::backend::SharedBackend;
use crate::error::Result;
use crate::keys::MacKeys;
use crate::lifecycle::Lifecycle;
use crate::store::SecretStore;

#[derive(Clone)]
pub(super) struct Replica {
    pub(super) life: Lifecycle<SimulatedLedger>,
    pub(super) site: Site,
}

/// What all processes of a schedule are set to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// The backend for new secrets: a mount, or above them digests.
    pub(super) primary: usize,
    /// How many processes of a thousand are set to another one.
    pub(super) others: u32,
    pub(super) has_selectors: bool,
    /// How fast operations follow each other: at once, or with time for leases and overlaps to end.
    pub(super) pace: usize,
}

impl Site {
    /// Starts the next process of the replica.
    pub(super) fn start_another(&self) {
        let next = {
            let mut world = self.world.lock();
            world.processes += 1;
            Owner(world.processes)
        };
        let site = Self { owner: next, ..self.clone() };
        match site.start() {
            Ok(replica) => self.world.lock().replicas[self.replica] = Some(replica),
            Err(error) => self.world.lock().violate("a process starts", |_| error.to_string()),
        }
    }

    fn start(&self) -> Result<Replica> {
        let (primary, has_selectors, memory, clock) = {
            let mut world = self.world.lock();
            let Setting { primary, others, has_selectors, .. } = world.setting;
            let is_another = world.chance.happens(others);
            let primary = if is_another { world.chance.below(MOUNTS + 1) } else { primary };
            (primary, has_selectors, world.ledger.clone(), Arc::clone(&world.clock))
        };
        let mut backends: Vec<SharedBackend> = Vec::new();
        for mount in 0..MOUNTS {
            backends.push(Arc::new(MountBackend::new(mount, self.clone())?));
        }
        backends.push(Arc::new(DigestBackend::new(self.clone())?));
        let mut store = SecretStore::builder(backends.remove(primary)).clock(clock);
        for backend in backends {
            store = store.accepts(backend);
        }
        if has_selectors {
            store = store.selector_keys(MacKeys::parse(&format!("k1:{}", "0123456789abcdef".repeat(4)))?);
        }
        self.tell(|| format!("starts with backend {primary} for new secrets"));
        let ledger = SimulatedLedger { memory, site: self.clone() };
        let (executor, owner) = (self.executor.clone(), self.owner);
        let life = Lifecycle::new(store.build()?, ledger, move |task| executor.spawn(owner, task));
        let flaw = self.world.lock().fault.and_then(super::Fault::in_the_library);
        Ok(Replica { life: life.with_flaw(flaw), site: self.clone() })
    }
}
