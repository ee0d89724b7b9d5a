//! The schedules of the test suite.

#![cfg(feature = "testkit")]

use agentidp_secrets::testkit::simulation::{Counts, run};

const SCHEDULES: u64 = 20_000;

fn schedules() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a setting of the test suite")]
    let set = std::env::var("SIMULATION_SCHEDULES").ok().and_then(|text| text.parse().ok());
    set.unwrap_or(SCHEDULES)
}

fn first_seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a setting of the test suite")]
    let set = std::env::var("SIMULATION_SEED").ok().and_then(|text| text.parse().ok());
    set.unwrap_or(1)
}

#[test]
fn the_protocol_holds_under_every_schedule() {
    let mut total = Counts::default();
    for seed in first_seed()..first_seed() + schedules() {
        match run(seed, None, false) {
            Ok(counts) => total += counts,
            Err(violation) => {
                let again = run(seed, None, true).unwrap_err();
                assert_eq!((violation.rule, &violation.what), (again.rule, &again.what), "it repeats exactly");
                panic!("seed {seed}, after {total:?}:\n{again}");
            }
        }
    }
    println!("{total:?}");
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 1..50 {
        assert_eq!(run(seed, None, false).unwrap(), run(seed, None, true).unwrap());
    }
}
