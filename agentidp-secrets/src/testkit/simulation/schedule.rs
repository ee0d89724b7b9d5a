//! One schedule: what callers do, and when.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::operations::Audit;
use super::replica::{Cluster, Replica};
use super::seen::{Kind, MOUNTS, Setting};
use super::world::{Shared, World};
use super::{end, kv, login, moves, rates, usage};
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::lifecycle::compare::Mode;

/// Long after the last request that is carried out late.
pub(super) const EVERYTHING_HAS_ARRIVED: Duration = Duration::from_secs(3 * 3600);

/// Drives one schedule to its end.
pub(super) async fn drive(cluster: Cluster) {
    let world = cluster.world.clone();
    if let Err(error) = begin(&world).map(|replicas| cluster.start(replicas)) {
        world.lock().violate("a schedule begins", |_| error.to_string());
        return;
    }
    let steps = {
        let mut world = world.lock();
        6 + world.chance.below(20)
    };
    for _ in 0..steps {
        if world.lock().is_violated() {
            return;
        }
        let wait = act(&cluster);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
    world.lock().calm_down();
    cluster.give_all_backends();
    sleep(EVERYTHING_HAS_ARRIVED).await;
    end::settle(&cluster).await;
}

/// Two or three replicas, one to three credentials, some of which an older system has made.
fn begin(world: &Shared) -> Result<usize> {
    {
        let mut world = world.lock();
        let (primary, second) = (world.chance.below(MOUNTS + 1), world.chance.below(MOUNTS + 1));
        let others = world.chance.one_of(&[0, 0, 300, 500]);
        let lacking = world.chance.one_of(&[0, 0, 0, 300]);
        let (has_selectors, pace) = (world.chance.happens(300), world.chance.below(3));
        let may_clone = world.chance.happens(150);
        let sweeps = world.chance.happens(150);
        let pace = if sweeps { 2 } else { pace };
        let retries = world.chance.happens(300);
        world.setting = Setting {
            primary,
            second,
            others: u32::try_from(others).unwrap_or(0),
            lacking: u32::try_from(lacking).unwrap_or(0),
            cannot_compare: world.chance.happens(500),
            blind: None,
            has_selectors,
            pace,
            may_clone,
            sweeps,
            retries,
        };
        let is_one_client = world.chance.happens(700);
        for number in 0..world.chance.pick(&[1, 1, 2, 3]).unwrap_or(1) {
            let client = if is_one_client { "client".to_owned() } else { format!("client-{number}") };
            let key = CredentialKey::parse(&client, &format!("c{number}"))?;
            world.oracle.keys.push(key.clone());
            world.import(&key)?;
        }
        world.accept();
        world.tell(|world| {
            format!(
                "{:?}, versions kept {:?}, {:?}",
                world.setting,
                world.mounts.each_ref().map(kv::Kv::versions_kept),
                world.rates
            )
        });
        Ok(2 + world.chance.below(2))
    }
}

impl World {
    /// Nothing goes wrong from now on.
    fn calm_down(&mut self) {
        self.tell(|_| "from here on nothing goes wrong".to_owned());
        self.rates = rates::Rates::calm();
        self.setting.others = 0;
    }

    /// A caller chooses a fresh id for each credential. One that does not is told so while its deletion may be under way.
    fn fresh(&mut self, key: CredentialKey) -> CredentialKey {
        let is_used = self.operations.iter().any(|operation| operation.key == key);
        let is_careless = self.ledger.entry(&key).note.is_some() && self.chance.happens(300);
        if !is_used || is_careless {
            return key;
        }
        let Ok(fresh) = CredentialKey::parse(key.client_id().as_str(), &format!("c{}", self.oracle.keys.len())) else {
            return key;
        };
        self.oracle.keys.push(fresh.clone());
        fresh
    }

    fn a_key(&mut self) -> Option<CredentialKey> {
        let number = self.chance.below(self.oracle.keys.len());
        self.oracle.keys.get(number).cloned()
    }
}

/// Begins the next thing on some replica; says how long until the one after it.
fn act(cluster: &Cluster) -> Duration {
    let is_restored = {
        let mut world = cluster.world.lock();
        let rate = world.rates.restore;
        world.chance.happens(rate)
    };
    if is_restored {
        cluster.back_up_or_restore();
    }
    let replica = cluster.any();
    let mut guard = cluster.world.lock();
    let world = &mut *guard;
    let waits: &[u64] = match world.setting.pace {
        0 => &[0, 0, 0, 0, 1, 20, 300],
        1 => &[0, 0, 20, 300, 6_000, 35_000],
        _ => &[0, 0, 0, 5, 200, 3_000, 40_000, 200_000, 700_000],
    };
    let wait = Duration::from_millis(world.chance.one_of(waits));
    let (Some(replica), Some(key)) = (replica, world.a_key()) else { return wait };
    let overlaps: &[u64] = if world.setting.sweeps { &[3600, 40_000] } else { &[0, 0, 1, 60, 3600, 40_000] };
    let overlap = Duration::from_secs(world.chance.one_of(overlaps));
    let is_absent = *world.oracle_state(&key) == crate::lifecycle::State::Absent;
    let key = if is_absent { world.fresh(key) } else { key };
    let is_sweep = world.setting.sweeps && world.chance.happens(400);
    let drawn = if is_sweep { 21 + world.chance.below(4) } else { world.chance.below(26) };
    let kind = match drawn {
        0..=7 if is_absent => Some(Kind::Issue),
        0..=5 if world.setting.retries && world.chance.happens(500) => Some(Kind::Retry),
        0..=5 => Some(Kind::Rotate(overlap)),
        6 => Some(Kind::EndPrevious),
        7 => Some(Kind::End),
        8..=11 => {
            let is_by_clone = world.chance.happens(300);
            drop(guard);
            let replica = cluster.a_clone().filter(|_| is_by_clone).unwrap_or(replica);
            let site = replica.site.clone();
            site.spawn(Box::pin(async move {
                replica.life.round().await;
            }));
            return wait;
        }
        20 => {
            drop(guard);
            moves::begin(replica);
            return wait;
        }
        21 | 22 => {
            drop(guard);
            usage::write(replica);
            return wait;
        }
        23 | 24 => {
            let idle = Duration::from_secs(world.chance.one_of(&[60, 600, 600]));
            drop(guard);
            usage::end_idle_overlaps(replica, idle);
            return wait;
        }
        15 => {
            let is_by_clone = world.chance.happens(300);
            world.counts.comparisons += 1;
            drop(guard);
            let replica = cluster.a_clone().filter(|_| is_by_clone).unwrap_or(replica);
            let site = replica.site.clone();
            site.spawn(Box::pin(async move { drop(replica.compare(Mode::Repair).await) }));
            return wait;
        }
        14 => {
            world.jump();
            None
        }
        13 if world.setting.may_clone => {
            drop(guard);
            cluster.clone_the_database();
            return wait;
        }
        12 => {
            world.suspend(key.client_id());
            None
        }
        _ => None,
    };
    // Where the database may be put back to a record that means the latest version, a clone could change what it means.
    let clones_rotate = world.setting.may_clone && world.rates.restore == 0;
    let rotates_a_clone = clones_rotate && matches!(kind, Some(Kind::Rotate(_))) && world.chance.happens(300);
    match kind {
        Some(_) if rotates_a_clone => {
            drop(guard);
            cluster.rotate_in_the_clone(key, overlap);
        }
        Some(kind) => {
            let number = world.begin(&key, kind);
            world.tell(|_| format!("replica {} is asked: operation {number}, {kind:?} of {key}", replica.site.replica));
            drop(guard);
            ask(replica, key, kind, number);
        }
        None => {
            drop(guard);
            login::begin(&replica, &key);
        }
    }
    wait
}

/// Runs an operation as a handler of the replica does, whose caller may hang up.
pub(super) fn ask(replica: Replica, key: CredentialKey, kind: Kind, number: usize) {
    let Replica { life, site, .. } = replica;
    site.clone().spawn(Box::pin(async move {
        let audit = Audit { site: site.clone(), operation: number };
        let sequence = async {
            match kind {
                Kind::Issue => life.issue(&key, audit).await.map(Some),
                Kind::Rotate(overlap) => life.rotate(&key, overlap, audit).await.map(Some),
                Kind::Retry => life.replace_unused(&key, audit).await.map(Some),
                Kind::EndPrevious | Kind::EndIdle(_) => life.end_previous(&key, audit).await.map(|()| None),
                Kind::End => life.end(&key, audit).await.map(|()| None),
            }
        };
        let patience = site.world.lock().patience();
        match timeout(patience, sequence).await {
            Ok(answer) => site.world.lock().answered(number, answer),
            Err(_) => site.tell(|| format!("loses the caller of operation {number}")),
        }
    }));
}

impl World {
    fn patience(&mut self) -> Duration {
        let rate = self.rates.hang_up;
        let is_short = self.chance.happens(rate);
        if is_short {
            Duration::from_millis(self.chance.one_of(&[0, 1, 300, 6_000]))
        } else {
            Duration::from_secs(1 << 32)
        }
    }

    fn jump(&mut self) {
        let rate = self.rates.jump;
        if rate > 0 {
            let by = i64::try_from(self.chance.one_of(&[40, 700, 4_000, 90_000])).unwrap_or(0);
            let by = if self.chance.happens(300) { -by } else { by };
            // What was over by then has been over, however early it is now.
            self.end_overlaps();
            self.clock.jump(by);
            self.counts.jumps += 1;
            self.tell(|_| format!("the clock jumps by {by} s"));
            self.check();
        }
    }
}
