//! Random lives of agents and credentials against a model, over the whole server: what is shown, what authenticates, what
//! Vault holds and what the audit trail tells, through restarts with other settings, outages, lost answers, and deaths of
//! the process between any two calls to its database or to Vault.
//!
//! `tests/secrets/model.rs` does the same with the library alone, where the caller's rows do not fail.

mod asking;
mod fate;
mod learning;
mod life;
mod vault;
mod world;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use self::fate::Death;
use self::life::{Act, Mode, Outage, Step};
use self::world::World;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..8_usize;
    // In minutes, so that expiries, the life of an intent and the pauses of purges are often just over, or just not.
    let minutes = || prop_oneof![Just(None), (1..12_u64).prop_map(Some)];
    let act = prop_oneof![
        4 => (0..world::AGENTS, minutes()).prop_map(|(agent, expires)| Act::Create(agent, expires)),
        2 => (0..world::AGENTS).prop_map(Act::CreateOnce),
        4 => (which.clone(), minutes()).prop_map(|(credential, expires)| Act::Rotate(credential, expires)),
        2 => which.clone().prop_map(Act::RotateOnce),
        3 => (0..4_usize).prop_map(Act::Again),
        2 => which.clone().prop_map(Act::Revoke),
        6 => (0..30_usize).prop_map(Act::Verify),
        1 => (0..world::AGENTS).prop_map(Act::Suspend),
        1 => (0..world::AGENTS).prop_map(Act::Reactivate),
        1 => (0..world::AGENTS).prop_map(Act::Decommission),
        1 => Just(Act::Purge),
    ];
    // What can be in each other's way. Of two rotations the expiry tells which was later.
    let agent = 0..world::AGENTS;
    let both = prop_oneof![
        (which.clone(), 1..12_u64)
            .prop_map(|(which, at)| (Act::Rotate(which, Some(at)), Act::Rotate(which, Some(at + 1)))),
        which.clone().prop_map(|which| (Act::Rotate(which, None), Act::Revoke(which))),
        which.clone().prop_map(|which| (Act::RotateOnce(which), Act::Revoke(which))),
        which.clone().prop_map(|which| (Act::RotateOnce(which), Act::Again(0))),
        (0..4_usize, 0..30_usize).prop_map(|(again, secret)| (Act::Again(again), Act::Verify(secret))),
        (which.clone(), 0..30_usize).prop_map(|(which, secret)| (Act::Rotate(which, None), Act::Verify(secret))),
        (which.clone(), 0..30_usize).prop_map(|(which, secret)| (Act::Revoke(which), Act::Verify(secret))),
        which.prop_map(|which| (Act::Rotate(which, None), Act::Purge)),
        agent.clone().prop_map(|agent| (Act::CreateOnce(agent), Act::Again(0))),
        agent.clone().prop_map(|agent| (Act::Create(agent, None), Act::Suspend(agent))),
        agent.prop_map(|agent| (Act::Create(agent, None), Act::Decommission(agent))),
    ];
    let death = (0..12_usize, any::<bool>()).prop_map(|(at, after)| Death { at, after });
    let mode = (any::<bool>(), any::<bool>(), any::<bool>());
    let mode = mode.prop_map(|(vault, upgrading, selecting)| Mode { vault, upgrading, selecting });
    let outage = prop_oneof![Just(Outage::None), Just(Outage::Down), Just(Outage::AnswersLost)];
    let step = prop_oneof![
        14 => act.prop_map(Step::Act),
        4 => both.prop_map(|(one, other)| Step::Both(one, other)),
        3 => death.prop_map(Step::DieLater),
        2 => (1..11_u64).prop_map(Step::Advance),
        1 => outage.prop_map(Step::Outage),
        1 => mode.prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..24)
}

/// More with `PROPTEST_CASES=20000`; the seeds of failures are kept beside this file and tried first from then on.
fn configuration() -> ProptestConfig {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/model/seeds.txt");
    let mut configuration = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        configuration.cases = CASES;
    }
    configuration.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(seeds)));
    configuration
}

/// Sequences of each of the two tests, which cost a quarter of a second each on a busy machine; `scripts/soak` runs more.
const CASES: u32 = 240;

fn live(steps: Vec<Step>, mode: Mode) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = async {
        let mut world = World::new(mode).await;
        for step in steps {
            world.take(step).await;
        }
        world.settle().await;
        world.check().await;
    };
    // What the dead hold must be in nobody's way: a sequence takes some milliseconds.
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(60), whole).await })
        .expect("nothing waits for ever");
}

proptest! {
    #![proptest_config(configuration())]

    #[test]
    fn nothing_is_lost_and_nothing_else_counts_with_vault(steps in steps(), upgrading: bool, selecting: bool) {
        live(steps, Mode { vault: true, upgrading, selecting });
    }

    #[test]
    fn nothing_is_lost_and_nothing_else_counts_from_digests_on(steps in steps(), selecting: bool) {
        live(steps, Mode { vault: false, upgrading: false, selecting });
    }
}
