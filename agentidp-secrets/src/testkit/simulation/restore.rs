//! A database or a mount that is put back to an earlier moment, and what its operator does then.
//!
//! Before that the servers are stopped, and what was under way has ended. From then on the database is not itself any more: until
//! the operator admits it, nothing may be deleted, pushed out or taken over.

use std::time::Duration;

use super::backend::MountBackend;
use super::backup::Backup;
use super::kv::Change;
use super::replica::{Cluster, Replica};
use super::seen::{Epoch, MOUNTS, Seen};
use super::world::World;
use crate::credential::CredentialKey;
use crate::lifecycle::compare::{Difference, Mode, Settlement};

/// How long both secrets count where the operator has it so.
const OVERLAP: Duration = Duration::from_secs(600);

/// What is put back.
#[derive(Clone, Copy, Debug)]
enum Side {
    Database,
    Mount(usize),
}

impl Cluster {
    /// Backs everything up, or puts one side back to what was backed up.
    pub(super) fn back_up_or_restore(&self) {
        let backup = {
            let mut guard = self.world.lock();
            let world = &mut *guard;
            let number = world.chance.below(world.backups.len());
            match world.backups.get(number).cloned() {
                Some(backup) if world.chance.happens(500) => backup,
                _ => return world.back_up(),
            }
        };
        let replicas = self.stop_all();
        {
            let mut world = self.world.lock();
            let side = world.chance.below(MOUNTS + 1).checked_sub(1).map_or(Side::Database, Side::Mount);
            world.restore(backup, side);
        }
        self.start_again(replicas);
    }

    /// Has each difference settled in one of the ways, and admits the database.
    pub(super) async fn reunite(&self) {
        let Some(replica) = self.any() else { return };
        let mut found = Vec::new();
        for mount in 0..MOUNTS {
            let Ok(inventory) = MountBackend::new(mount, replica.site.clone()) else { return };
            let mut told = Vec::new();
            let mut tell = |difference: &Difference| told.push(difference.clone());
            let compared = replica.life.compare(&inventory, Mode::DryRun, &mut tell).await;
            if let Err(failure) = compared {
                self.world.lock().violate(NAMED, |_| failure.to_string());
            }
            found.push((inventory, told));
        }
        let named: Vec<_> = found.iter().flat_map(|(_, told)| told).filter_map(Difference::key).collect();
        self.world.lock().look_at_what_was_named(&named);
        for (inventory, told) in &found {
            for difference in told {
                self.settle(&replica, inventory, difference).await;
            }
        }
        self.world.lock().admit();
        // Of credentials that have ended the mount may have something again.
        replica.compare(Mode::Repair).await;
    }
}

impl Cluster {
    async fn settle(&self, replica: &Replica, inventory: &MountBackend, difference: &Difference) {
        let settlement = {
            let mut world = self.world.lock();
            world.is_being_settled = true;
            let ways = [Settlement::Row, Settlement::Latest, Settlement::Both(OVERLAP)];
            world.chance.pick(&ways).unwrap_or(Settlement::Row)
        };
        let settled = replica.life.settle(inventory, difference, settlement, ()).await;
        let mut world = self.world.lock();
        world.tell(|_| format!("{difference}: {settlement:?}: {settled:?}"));
        world.is_being_settled = false;
    }
}

const NAMED: &str = "after a restore the row's version counts, or is named by the comparison";

impl World {
    fn back_up(&mut self) {
        self.tell(|_| "everything is backed up".to_owned());
        let meanings = self.oracle.seen.iter().map(|(key, seen)| (key.clone(), seen.meaning.clone())).collect();
        let suspended = self.oracle.epochs.last().map(|last| last.suspended.clone()).unwrap_or_default();
        self.backups.push(Backup { ledger: self.ledger.copy(), mounts: self.mounts.clone(), meanings, suspended });
    }

    fn restore(&mut self, backup: Backup, side: Side) {
        self.tell(|_| format!("put back to an earlier moment: {side:?}"));
        self.counts.restores += 1;
        self.is_itself = false;
        let Backup { ledger, mounts, meanings, suspended } = backup;
        let meanings = match side {
            Side::Database => {
                self.ledger = ledger.copy();
                // Nobody logs in just now, so nobody is judged by this moment.
                self.enter(Epoch { suspended, ..Epoch::default() });
                meanings
            }
            Side::Mount(mount) => {
                self.mounts[mount].clone_from(&mounts[mount]);
                self.oracle.seen.iter().map(|(key, seen)| (key.clone(), seen.meaning.clone())).collect()
            }
        };
        for key in self.oracle.keys.clone() {
            let state = self.ledger.entry(&key).state;
            let now = state.active().map(|row| self.meaning_of(row)).unwrap_or_default();
            // What the row vouches for, although it is not there.
            let was = meanings.get(&key).filter(|_| state.active().is_some()).cloned().unwrap_or_default();
            let is_short =
                now.current.is_none() && was.current.is_some() || now.previous.is_none() && was.previous.is_some();
            let before = self.oracle.seen.get(&key);
            let is_lost = is_short || before.is_some_and(|seen| seen.is_lost);
            let is_other = now.is_another(&was) || before.is_some_and(|seen| seen.is_other);
            self.oracle.seen.insert(key, Seen { state, meaning: now.or(was), is_over: false, is_lost, is_other });
        }
        self.oracle.lines = self.ledger.log().len();
        self.check();
    }

    /// What the comparison has named and nobody could mend stays lost until it is rotated.
    fn admit(&mut self) {
        self.tell(|_| "the database is admitted".to_owned());
        self.is_itself = true;
        for key in self.oracle.keys.clone() {
            let is_gone = self.is_gone(&key);
            if let Some(seen) = self.oracle.seen.get_mut(&key) {
                seen.is_lost |= is_gone;
            }
        }
    }

    /// While this database is not itself nothing is deleted or pushed out.
    pub(super) fn refuse_to_forget(&mut self, key: &CredentialKey, change: &Change) {
        if !self.is_itself && matches!(change, Change::Delete | Change::Write { secret: None, .. }) {
            self.violate("nothing is deleted where the ledger is not the one that wrote it", |_| key.to_string());
        }
    }

    /// Whether the version is missing that the row vouches for.
    fn is_gone(&self, key: &CredentialKey) -> bool {
        self.ledger.entry(key).state.active().is_some_and(|row| self.meaning_of(row).current.is_none())
    }

    fn look_at_what_was_named(&mut self, named: &[CredentialKey]) {
        for key in self.oracle.keys.clone() {
            if self.is_gone(&key) && !named.contains(&key) {
                self.violate(NAMED, |world| format!("{key}: {}", world.describe(&key)));
            }
        }
    }
}
