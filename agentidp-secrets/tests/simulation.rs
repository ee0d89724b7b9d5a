//! The protocol under every fault that a seed can make, and the proof that its refuted forms are found.
//!
//! `SIMULATION_SCHEDULES` sets how many schedules are run, `SIMULATION_SEED` the first one; `SIMULATION_HISTORY=1` prints how each
//! refuted form is found.
#![cfg(feature = "testkit")]

use agentidp_secrets::testkit::simulation::{Counts, Explored, Fault, Flaw, Scene, Violation, run};

/// Of the sound protocol.
const SCHEDULES: u64 = 20_000;

/// Of each refuted form at the most.
const BUDGET: u64 = 12_000;

fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a setting of the test suite")]
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn the_protocol_holds_under_every_schedule() {
    let (first, schedules) = (setting("SIMULATION_SEED").unwrap_or(1), setting("SIMULATION_SCHEDULES"));
    let mut total = Counts::default();
    for seed in first..first + schedules.unwrap_or(SCHEDULES) {
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
    assert!(total.crashes > 0 && total.late > 0 && total.pauses > 0 && total.unknown_commits > 0 && total.jumps > 0);
    assert!(total.comparisons > 0);
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 1..50 {
        assert_eq!(run(seed, None, false).unwrap(), run(seed, None, true).unwrap());
    }
}

/// With `SIMULATION_SCHEDULES` also a login beside an end or a login, which takes minutes.
#[test]
fn the_small_world_is_whole() {
    let is_long_run = setting("SIMULATION_SCHEDULES").is_some();
    let mut total = Explored::default();
    for scene in Scene::all().into_iter().filter(|scene| is_long_run || !scene.takes_minutes()) {
        let explored = scene.explore(None).unwrap_or_else(|violation| panic!("{scene:?}: {violation}"));
        total += explored;
    }
    println!("{total:?}");
    assert!(total.scenes >= 28 && total.states > 50_000, "{total:?}");
}

/// The first seed that shows the fault, and the rule that it breaks.
fn found(fault: Fault) -> Option<(u64, Violation)> {
    (1..=BUDGET).find_map(|seed| Some((seed, run(seed, Some(fault), false).err()?)))
}

#[test]
fn each_refuted_form_of_the_protocol_is_found() {
    let library = [
        Flaw::WritesOnTop,
        Flaw::DeletesLeftPlaces,
        Flaw::WaitsForDeletions,
        Flaw::DeletesLostUpgrades,
        Flaw::PinsNothing,
        Flaw::ComparesOlderForms,
        Flaw::ComparesCurrentRecords,
        Flaw::AdoptsWhatIsThere,
        Flaw::NotesOneDigest,
        Flaw::RedeemsNothing,
        Flaw::DeletesOnce,
        Flaw::DeletesUnknownPlaces,
    ];
    let mut missed = Vec::new();
    for fault in
        library.map(Fault::Library).into_iter().chain([Fault::NoSecondLook, Fault::NoGate, Fault::ClocksOfReplicas])
    {
        match found(fault) {
            Some((seed, violation)) => {
                println!("{fault:?}: seed {seed}, {}", violation.rule);
                if setting("SIMULATION_HISTORY") == Some(1) {
                    println!("{}", run(seed, Some(fault), true).unwrap_err());
                }
            }
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found in {BUDGET} schedules: {missed:?}");
}
