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
    assert!(total.comparisons > 0 && total.restores > 0 && total.rotated_by_clones > 0);
    assert!(total.moves > 0 && total.uses_written > 0 && total.overlaps_ended > 0 && total.replaced > 0);
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 1..50 {
        assert_eq!(run(seed, None, false).unwrap(), run(seed, None, true).unwrap());
    }
}

#[test]
fn the_small_world_is_whole() {
    let mut total = Explored::default();
    for scene in Scene::all() {
        let explored = scene.explore(None).unwrap_or_else(|violation| panic!("{scene:?}: {violation}"));
        if setting("SIMULATION_HISTORY") == Some(1) {
            println!("{scene:?}: {explored:?}");
        }
        total += explored;
    }
    println!("{total:?}");
    assert!(total.scenes == 70 && total.states > 10_000, "{total:?}");
}

/// Two states that are taken for one hide what comes after the second.
#[test]
fn the_small_world_finds_refuted_forms_of_the_protocol() {
    let found = [
        Flaw::WritesOnTop,
        Flaw::PinsNothing,
        Flaw::ComparesOlderForms,
        Flaw::AdoptsWhatIsThere,
        Flaw::DeletesOnce,
        Flaw::ForgetsRepairs,
    ];
    for fault in found.map(Fault::Library).into_iter().chain([Fault::NoSecondLook, Fault::ClocksOfReplicas]) {
        let violation = Scene::all().into_iter().find_map(|scene| Some((scene, scene.explore(Some(fault)).err()?)));
        let (scene, violation) = violation.unwrap_or_else(|| panic!("{fault:?} is not found"));
        println!("{fault:?}: {scene:?}, {}", violation.rule);
    }
}

/// The first seed that shows the fault, and the rule that it breaks.
fn found(fault: Fault) -> Option<(u64, Violation)> {
    (1..=BUDGET).find_map(|seed| Some((seed, run(seed, Some(fault), false).err()?)))
}

/// Every one.
fn refuted() -> Vec<Fault> {
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
        Flaw::MovesOverRotations,
        Flaw::NotesOneTime,
        Flaw::EndsUsedOverlaps,
        Flaw::DeletesUnknownPlaces,
        Flaw::PushesOutInDoubt,
        Flaw::RetriesEndOverlaps,
        Flaw::ReplacesUsed,
        Flaw::ForgetsFirstUses,
    ];
    library
        .map(Fault::Library)
        .into_iter()
        .chain([Fault::NoSecondLook, Fault::NoGate, Fault::OpenAfterRestore, Fault::ClocksOfReplicas])
        .collect()
}

#[test]
fn each_refuted_form_of_the_protocol_is_found() {
    let mut missed = Vec::new();
    for fault in refuted() {
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
