//! When secrets were last used: what was written of it is never forgotten, nor counted for another secret, and no overlap ends before its
//! previous secret was idle.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::executor::Owner;
use super::ledger::SimulatedLedger;
use super::operations::Audit;
use super::replica::Replica;
use super::seen::{Idle, Kind, Rotated, Used};
use super::world::World;
use crate::credential::CredentialKey;
use crate::lifecycle::{MemoryError, MemoryTx, Usage, UsageLedger, Use};
use crate::secret::ClientSecret;

#[async_trait]
impl UsageLedger for SimulatedLedger {
    async fn note_uses(&self, uses: &[Use]) -> Result<(), MemoryError> {
        self.call("note uses").await?;
        self.memory.note_uses(uses).await?;
        self.call("uses noted").await
    }

    async fn rotate_usage(&self, tx: &mut MemoryTx, key: &CredentialKey, now: SystemTime) -> Result<(), MemoryError> {
        self.call("rotate usage").await?;
        self.memory.rotate_usage(tx, key, now).await
    }

    async fn usages(&self, keys: &[CredentialKey]) -> Result<Vec<Usage>, MemoryError> {
        self.call("usages").await?;
        let usages = self.memory.usages(keys).await?;
        let task = self.site.executor.current();
        let mut world = self.site.world.lock();
        for (key, usage) in keys.iter().zip(&usages) {
            world.look_at_usage(key, usage);
            if let (Some(task), Some(idle)) = (task, world.idle(key)) {
                world.oracle.idle.insert((task, key.clone()), idle);
            }
        }
        Ok(usages)
    }
}

/// Writes what a process has noted.
pub(super) fn write(replica: Replica) {
    let Replica { life, site, .. } = replica;
    site.clone().spawn(Box::pin(async move {
        let noted = site.world.lock().oracle.used.len();
        if life.write_uses().await > 0 {
            let mut world = site.world.lock();
            let written = world.oracle.used.iter_mut().take(noted).filter(|used| used.by == site.owner);
            written.for_each(|used| used.is_written = true);
            world.counts.uses_written += 1;
        }
    }));
}

/// Ends the overlaps whose previous secret is idle for so long.
pub(super) fn end_idle_overlaps(replica: Replica, idle: Duration) {
    let Replica { life, site, .. } = replica;
    site.clone().spawn(Box::pin(async move {
        let begun = std::sync::Mutex::new(Vec::new());
        let change = |key: &CredentialKey| {
            let operation = site.world.lock().begin(key, Kind::EndIdle(idle));
            begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(operation);
            Audit { site: site.clone(), operation }
        };
        let ended = life.end_idle_overlaps(idle, change).await;
        let begun = begun.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(ended) = ended {
            site.world.lock().swept(&begun, ended);
        }
    }));
}

impl World {
    /// A secret was proved, between these moments: whether its client is let in or not, that is noted.
    pub(super) fn was_used(&mut self, by: Owner, key: &CredentialKey, secret: &ClientSecret, began: SystemTime) {
        let (key, secret, ended) = (key.clone(), secret.clone(), self.now());
        self.oracle.used.push(Used { by, key, secret, began, ended, is_written: false });
    }

    /// Whether the secret was proved, as far as this life of the database knows.
    pub(super) fn has_proved(&self, key: &CredentialKey, secret: &ClientSecret) -> bool {
        let knows = self.counts.restores == 0 && !self.setting.may_clone;
        knows && self.oracle.used.iter().any(|used| used.key == *key && used.secret.ct_eq(secret))
    }

    pub(super) fn was_rotated(&mut self, key: &CredentialKey, began: SystemTime) {
        let (key, committed) = (key.clone(), self.now());
        self.oracle.rotated.push(Rotated { key, began, committed });
    }

    /// The latest use of a secret that was written and surely counts for it. One during a rotation may count for either secret, with
    /// those before it that its process had not written yet: of them only the latest is kept.
    fn last_written(&self, key: &CredentialKey, secret: &ClientSecret) -> Option<SystemTime> {
        let is_unsure = |used: &Used| {
            let mut rotated = self.oracle.rotated.iter().filter(|rotated| rotated.key == *key);
            rotated.any(|rotated| rotated.began <= used.ended && used.began <= rotated.committed)
        };
        let used = self.oracle.used.iter().filter(|used| used.is_written && used.key == *key);
        let used: Vec<_> = used.filter(|used| used.secret.ct_eq(secret)).collect();
        let (unsure, sure): (Vec<_>, Vec<_>) = used.into_iter().partition(|used| is_unsure(used));
        let is_hidden = |used: &Used| unsure.iter().any(|later| later.by == used.by && later.ended >= used.began);
        sure.into_iter().filter(|used| !is_hidden(used)).map(|used| used.began).max()
    }

    /// Whether the times of uses and rotations have an order.
    fn has_one_time(&self) -> bool {
        self.counts.jumps == 0 && self.counts.restores == 0 && self.fault != Some(super::Fault::ClocksOfReplicas)
    }

    fn look_at_usage(&mut self, key: &CredentialKey, usage: &Usage) {
        let Some(meaning) = self.oracle.meaning(key).cloned().filter(|_| self.has_one_time()) else { return };
        let previous = meaning.previous.map(|(previous, _)| previous);
        let told = [(meaning.current, usage.last_used_at), (previous, usage.previous_last_used_at)];
        for (secret, told) in told {
            let Some(secret) = secret else { continue };
            let written = self.last_written(key, &secret);
            if told < written {
                self.violate("a use that was written is known of its secret", |world| {
                    format!("{key} {}: {told:?}, and not {written:?}", world.alias(Some(&secret)))
                });
            }
        }
    }

    /// Since when the previous secret is idle, by what is written now.
    fn idle(&self, key: &CredentialKey) -> Option<Idle> {
        let (previous, _) = self.oracle.meaning(key)?.previous.clone()?;
        let rotated = self.oracle.rotated.iter().rev().find(|rotated| rotated.key == *key)?.began;
        let since = self.last_written(key, &previous).map_or(rotated, |used| used.max(rotated));
        Some(Idle { previous, since })
    }

    /// Whether an overlap may end that was idle by what its end has read.
    pub(super) fn is_idle(&self, operation: usize, previous: Option<&ClientSecret>, idle: Duration) -> bool {
        let found = self.operations.get(operation).and_then(|operation| operation.idle.as_ref());
        let Some((found, previous)) = found.zip(previous) else { return !self.has_one_time() };
        !self.has_one_time() || found.previous.ct_eq(previous) && found.since + idle <= self.now()
    }

    /// So many overlaps were ended, says the sweep.
    fn swept(&mut self, begun: &[usize], ended: u64) {
        let mut committed = 0;
        for number in begun {
            let Some(operation) = self.operations.get_mut(*number) else { continue };
            committed += u64::from(operation.committed);
            operation.has_failed = operation.committed == 0;
        }
        self.counts.overlaps_ended += ended;
        if committed != ended {
            self.violate("each acknowledged change is in the audit once", |_| {
                format!("a sweep has ended {ended} overlaps, and {committed} are there")
            });
        }
    }
}
