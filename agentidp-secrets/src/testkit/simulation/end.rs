//! What must hold when nothing has gone wrong for a while.

use std::time::Duration;

use tokio::time::sleep;

use super::clock::LEASE;
use super::moves;
use super::operations::Audit;
use super::replica::{Cluster, Replica};
use super::seen::{Kind, MOUNTS};
use super::world::{World, mount_of};
use crate::credential::CredentialKey;
use crate::lifecycle::compare::{Difference, DifferenceKind, Mode};
use crate::lifecycle::{DebtKind, Decision, Failure, MemoryError, Shown, State};
use crate::secret::ClientSecret;

/// Rounds until everything is done that is due. 360 of them are the half hour that a claim may last which was made before the clock
/// jumped.
const ROUNDS: usize = 400;

/// Time between two rounds.
const PERIOD: Duration = Duration::from_secs(5);

const DRAINED: &str = "debts have drained";
const STUCK: &str = "nothing stays stuck";

pub(super) async fn settle(cluster: &Cluster) {
    {
        let mut world = cluster.world.lock();
        if world.under_way > 0 {
            world.violate(STUCK, |world| format!("{} are still under way", world.under_way));
        }
    }
    let has_restored = cluster.world.lock().counts.restores > 0;
    if has_restored {
        cluster.reunite().await;
    }
    drain(cluster).await;
    let overlaps = cluster.world.lock().longest_overlap();
    sleep(overlaps).await;
    drain(cluster).await;
    cluster.world.lock().look_at_places();
    let moves_all = {
        let mut world = cluster.world.lock();
        !has_restored && world.chance.happens(300)
    };
    if moves_all {
        moves::finish(cluster).await;
        drain(cluster).await;
        cluster.world.lock().look_at_places();
    }
    compare(cluster).await;
    let keys = cluster.world.lock().oracle.keys.clone();
    for key in &keys {
        if cluster.world.lock().oracle_state(key).active().is_some() {
            use_and_end(cluster, key).await;
        }
        if cluster.world.lock().is_violated() {
            return;
        }
    }
    if let Some(replica) = cluster.any().filter(|_| has_restored) {
        // At places that its row did not point to a credential may have been in another life.
        replica.compare(Mode::Repair).await;
    }
    drain(cluster).await;
    cluster.world.lock().look_at_places();
}

/// A comparison finds nothing that somebody has to mend: after whatever went wrong rows and mounts belong together.
async fn compare(cluster: &Cluster) {
    let Some(replica) = replica(cluster) else { return };
    let told = replica.compare(Mode::DryRun).await;
    let (has_restored, over, of_a_clone) = {
        let world = cluster.world.lock();
        let over = world.oracle.seen.iter().filter(|(_, seen)| seen.is_over).map(|(key, _)| key.clone());
        (world.counts.restores > 0, over.collect::<Vec<_>>(), world.written_by_a_clone.clone())
    };
    let is_wrong = |difference: &&Difference| {
        use DifferenceKind as Kind;
        let harmless = [Kind::VersionUnfinished, Kind::VersionBehind, Kind::PathNotPointedTo];
        let lost =
            [Kind::PathWithoutRow, Kind::RowWithoutPath, Kind::VersionMissing, Kind::PreviousMissing, Kind::Unreadable];
        // Over once; then the clock jumped back to before its end.
        let was_over =
            difference.kind == Kind::PreviousMissing && difference.key().is_some_and(|key| over.contains(&key));
        let is_of_a_clone =
            difference.kind == Kind::PathOfEnded && difference.key().is_some_and(|key| of_a_clone.contains(&key));
        !(is_of_a_clone
            || harmless.contains(&difference.kind)
            || has_restored && lost.contains(&difference.kind)
            || was_over)
    };
    let wrong: Vec<_> = told.iter().flatten().filter(is_wrong).map(ToString::to_string).collect();
    if told.is_none() || !wrong.is_empty() {
        cluster.world.lock().violate("a comparison finds nothing to mend", |_| format!("{wrong:?}"));
    }
}

fn replica(cluster: &Cluster) -> Option<Replica> {
    let replica = cluster.any();
    if replica.is_none() {
        cluster.world.lock().violate(STUCK, |_| "no replica has started again".to_owned());
    }
    replica
}

/// Does what is owed, each time when it is due, until nothing is.
async fn drain(cluster: &Cluster) {
    for _ in 0..ROUNDS {
        let Some(replica) = replica(cluster) else { return };
        replica.life.round().await;
        if let Some(clone) = cluster.a_clone() {
            clone.life.round().await;
        }
        let wait = cluster.world.lock().until_due();
        let Some(wait) = wait else { return };
        sleep(wait.max(PERIOD)).await;
    }
    cluster.world.lock().violate(DRAINED, |world| {
        let keys: Vec<_> = world.oracle.keys.iter().map(|key| format!("{key}: {}", world.describe(key))).collect();
        keys.join(" | ")
    });
}

/// The current secret works, can be rotated, and can be ended.
async fn use_and_end(cluster: &Cluster, key: &CredentialKey) {
    let current = cluster.world.lock().oracle.meaning(key).and_then(|meaning| meaning.current.clone());
    let Some(current) = current else { return };
    cluster.world.lock().lift(key);
    let (has_restored, is_there) = {
        let world = cluster.world.lock();
        let row = world.ledger.entry(key).state;
        let is_there = row.active().is_some_and(|row| world.meaning_of(row).current.is_some());
        (world.counts.restores > 0, is_there && !world.oracle.has_another_secret_of(key.client_id()))
    };
    if is_there {
        works(cluster, key, &current, true).await;
    }
    if has_restored {
        // There may be no room for another version beside those of another life.
        finish(cluster, key, Kind::End).await;
        return;
    }
    let Some(shown) = finish(cluster, key, Kind::Rotate(Duration::ZERO)).await else { return };
    let Some(shown) = shown else { return };
    works(cluster, key, &current, false).await;
    works(cluster, key, &shown.secret, true).await;
    if finish(cluster, key, Kind::End).await.is_some() {
        works(cluster, key, &shown.secret, false).await;
    }
}

async fn works(cluster: &Cluster, key: &CredentialKey, secret: &ClientSecret, expected: bool) {
    let Some(Replica { life, .. }) = replica(cluster) else { return };
    let decision = life.authenticate(key.client_id(), secret).await;
    let is_right = match &decision {
        Ok(Decision::Proved(_)) => expected,
        Ok(Decision::Mismatch { .. }) => !expected,
        Ok(Decision::NotActive) | Err(_) => false,
    };
    if !is_right {
        cluster.world.lock().violate(STUCK, |world| {
            let outcome = decision.map_or_else(|failure| failure.to_string(), |decision| format!("{decision:?}"));
            format!("{key} with {}: {outcome}; {}", world.alias(Some(secret)), world.describe(key))
        });
    }
}

/// An operation that has to succeed, if not at once, then when leases are over.
async fn finish(cluster: &Cluster, key: &CredentialKey, kind: Kind) -> Option<Option<Shown>> {
    let mut last = String::new();
    for _ in 0..4 {
        let Replica { life, site, .. } = replica(cluster)?;
        let number = cluster.world.lock().begin(key, kind);
        let audit = Audit { site, operation: number };
        let answer: Result<Option<Shown>, Failure<MemoryError>> = match kind {
            Kind::Rotate(overlap) => life.rotate(key, overlap, audit).await.map(Some),
            _ => life.end(key, audit).await.map(|()| None),
        };
        last = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
        cluster.world.lock().answered(number, answer.clone());
        if let Ok(shown) = answer {
            return Some(shown);
        }
        sleep(LEASE).await;
    }
    cluster.world.lock().violate(STUCK, |world| format!("{kind:?}: {last}; {}", world.describe(key)));
    None
}

impl World {
    /// How long until something is due; nothing when all is paid.
    fn until_due(&self) -> Option<Duration> {
        let notes = self.oracle.keys.iter().filter_map(|key| self.ledger.entry(key).note);
        let due = notes.filter_map(|note| note.due()).min()?;
        Some(due.duration_since(self.now()).unwrap_or_default())
    }

    /// How long until no previous secret counts any more.
    fn longest_overlap(&self) -> Duration {
        let meanings = self.oracle.keys.iter().filter_map(|key| self.oracle.meaning(key));
        let ends = meanings.filter_map(|meaning| meaning.previous.as_ref()).map(|(_, end)| *end);
        ends.max().and_then(|end| end.duration_since(self.now()).ok()).unwrap_or_default()
    }

    /// Lets the client of a key authenticate again.
    fn lift(&mut self, key: &CredentialKey) {
        if self.oracle.epochs.last().is_some_and(|epoch| epoch.suspended.contains(key.client_id())) {
            self.suspend(key.client_id());
        }
    }

    /// Nothing is held of a credential that does not count. Of one that counts nothing is left of a secret that counted at a
    /// place which it has left.
    fn look_at_places(&mut self) {
        for key in self.oracle.keys.clone() {
            let entry = self.ledger.entry(&key);
            let Some(row) = entry.state.active() else {
                let is_held = (0..MOUNTS).any(|mount| self.mounts[mount].places.contains_key(&key));
                // What another life of the database has issued is named, and never deleted without being asked to.
                let is_of_another =
                    self.counts.restores > 0 && entry.state == State::Absent || self.written_by_a_clone.contains(&key);
                if is_held && !is_of_another || entry.note.is_some() {
                    self.violate("nothing is held that nobody vouches for", |world| {
                        format!("{key}, held: {is_held}; {}", world.describe(&key))
                    });
                }
                continue;
            };
            let current = row.secrets.as_ref().and_then(|secrets| mount_of(&secrets.current));
            if self.counts.restores > 0 {
                continue;
            }
            for mount in (0..MOUNTS).filter(|mount| Some(*mount) != current) {
                let left = self.mounts[mount].places.get(&key).into_iter().flat_map(|place| place.secrets().cloned());
                let left: Vec<_> = left.filter(|secret| self.oracle.has_left(secret, mount)).collect();
                if let Some(secret) = left.first() {
                    self.violate("a place that a credential has left keeps none of its secrets", |world| {
                        format!("{key} at mount {mount}: {}; {}", world.alias(Some(secret)), world.describe(&key))
                    });
                }
            }
            if entry.note.iter().flat_map(|note| &note.debts).any(|debt| debt.kind != DebtKind::Rest) {
                self.violate(DRAINED, |world| world.describe(&key));
            }
        }
    }
}
