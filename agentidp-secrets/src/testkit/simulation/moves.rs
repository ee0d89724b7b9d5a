//! All secrets move to a replica's primary backend, without their clients.

use tokio::time::sleep;

use super::clock::LEASE;
use super::replica::{Cluster, Replica};
use super::world::mount_of;
use crate::credential::CredentialKey;
use crate::lifecycle::{Failure, MemoryError, MoveOutcome, Moved};

/// Moves them, several at once, as far as it comes.
pub(super) fn begin(replica: Replica) {
    let site = replica.site.clone();
    let at_once = {
        let mut world = site.world.lock();
        world.tell(|_| format!("replica {} moves all", replica.site.replica));
        1 + world.chance.below(3)
    };
    site.spawn(Box::pin(async move { drop(run(&replica, at_once).await) }));
}

/// What became of each.
async fn run(replica: &Replica, at_once: usize) -> Result<Vec<Moved>, Failure<MemoryError>> {
    let (mut all, mut told) = (replica.life.move_all().at_once(at_once), Vec::new());
    while let Some(moved) = all.next().await? {
        replica.site.world.lock().counts.moves += u64::from(matches!(moved.outcome, MoveOutcome::Moved));
        told.push(moved);
    }
    Ok(told)
}

/// When nothing goes wrong, each secret that can be read is moved.
pub(super) async fn finish(cluster: &Cluster) {
    let Some(replica) = cluster.any() else { return };
    let mut outcome = run(&replica, 2).await;
    // A lease from before the clock jumped back may seem to be alive.
    let has_jumped = cluster.world.lock().counts.jumps > 0;
    if has_jumped && outcome.iter().flatten().any(|moved| matches!(moved.outcome, MoveOutcome::ChangedMeanwhile)) {
        sleep(LEASE).await;
        outcome = run(&replica, 2).await;
    }
    let primary = replica.life.store().primary().id.clone();
    let mut world = replica.site.world.lock();
    let left = |key: &&CredentialKey| {
        let state = world.ledger.entry(key).state;
        let secrets = state.active().and_then(|row| row.secrets.as_ref());
        secrets.is_some_and(|secrets| mount_of(&secrets.current).is_some() && *secrets.current.backend() != primary)
    };
    let left: Vec<_> = world.oracle.keys.iter().filter(left).map(|key| world.describe(key)).collect();
    if outcome.is_err() || !left.is_empty() {
        let tell = |moved: &Moved| format!("{}: {:?}", moved.reported.row.key, moved.outcome);
        let told = outcome
            .map_or_else(|failure| failure.to_string(), |told| told.iter().map(tell).collect::<Vec<_>>().join(", "));
        world.violate("nothing stays stuck", |_| format!("all were to move to {primary}: {told}; {left:?}"));
    }
}
