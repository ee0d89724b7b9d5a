//! Repairs that a process left, and rotations that a backend holds up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Site, clock, over, quick};
use crate::backend::{Held, SecretBackend as _, SharedBackend};
use crate::backends::{Instance, Memory};
use crate::clock::{Clock as _, ManualClock};
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation};
use crate::lifecycle::digest::SecretDigest;
use crate::lifecycle::note::{DebtKind, OpenWrite, OpenWriteKind};
use crate::lifecycle::revision::Revision;
use crate::lifecycle::rows::Row;
use crate::lifecycle::{Decision, Event, Failure, Lifecycle, MemoryLedger};
use crate::secret::ClientSecret;
use crate::stack;
use crate::store::{SecretStore, SecretStoreBuilder};
use crate::testkit::{Fault, FaultLayer};

const HOUR: Duration = Duration::from_secs(3600);

fn life(site: &Site, store: SecretStoreBuilder) -> Lifecycle<MemoryLedger> {
    let store = store.clock(Arc::<ManualClock>::clone(&site.clock)).build().unwrap();
    Lifecycle::new(store, site.ledger.clone(), |task| drop(tokio::spawn(task)))
}

/// The process died while it wrote this current secret anew, which the row pins as version `base`.
async fn leave_repair(site: &Site, key: &CredentialKey, base: u64, current: &ClientSecret) {
    let digest = SecretDigest::of_current(current, site.life.store().formats()).unwrap().unwrap();
    let (place, attempt) = (site.memory.place(key).unwrap(), Revision::fresh().unwrap());
    let leave = site.life.edit(key, |_, note, now| {
        let (kind, place, digests) = (OpenWriteKind::Repair, place.clone(), vec![digest.clone()]);
        note.open = Some(OpenWrite { kind, place, base, attempt, digests, lease_until: now });
    });
    leave.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_cannot_pin_the_old_record_writes_nothing_and_holds_nobody_up() {
    let (site, faults, new) = (over(&clock(), SecretStore::builder), FaultLayer::new(), Arc::new(Memory::new()));
    site.life.issue(&site.key, ()).await.unwrap();
    // A record that means "the latest".
    site.ledger.put(Row::new(site.key.clone(), site.memory.place(&site.key).map(Into::into), None));
    let eu = Instance::new("eu", Arc::clone(&new)).unwrap();
    let moved = life(&site, SecretStore::builder(eu).accepts(stack(Arc::clone(&site.memory), &[&faults])));
    faults.always(Operation::Pin, Fault::Fail(ErrorKind::Unavailable));
    for _ in 0..3 {
        assert!(moved.rotate(&site.key, HOUR, ()).await.is_err());
        assert!(!site.note().is_some_and(|note| note.is_being_written(site.clock.now())), "its lease is over");
        assert!(matches!(new.inspect(&site.key, None).await.unwrap(), Held::Nothing));
    }
    // Without an overlap none is pinned.
    moved.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    faults.heal();
    assert!(moved.rotate(&site.key, Duration::MAX, ()).await.is_err(), "the end of time");
    assert!(!site.note().is_some_and(|note| note.is_being_written(site.clock.now())));
}

#[tokio::test]
async fn a_repair_of_a_place_that_the_credential_has_left_is_dropped() {
    let memory: SharedBackend = Arc::new(Memory::keeping(3));
    let site = over(&clock(), |_| SecretStore::builder(Arc::clone(&memory)));
    let site = Site { memory: Arc::clone(&memory), ..site };
    site.life.issue(&site.key, ()).await.unwrap();
    let second = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    leave_repair(&site, &site.key, 2, &second.secret).await;
    let digests = life(&site, SecretStore::builder(quick()).accepts(memory));
    let third = digests.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    let state = site.ledger.entry(&site.key).state;
    for _ in 0..3 {
        digests.round().await;
        site.clock.advance(HOUR);
    }
    assert_eq!(site.ledger.entry(&site.key).state, state, "no older secret takes the place of the digest");
    assert_eq!(state.active().unwrap().revision, third.row.revision);
    assert_eq!(digests.round().await.due, 0);
}

/// The repair has pushed out the version that the row pins: the old secret is known by the repair alone.
#[tokio::test(start_paused = true)]
async fn a_secret_that_counts_on_through_a_rotation_is_not_left_to_an_unfinished_repair() {
    for digests in [true, false] {
        let memory: SharedBackend = Arc::new(Memory::keeping(2));
        let site = over(&clock(), |_| SecretStore::builder(Arc::clone(&memory)));
        let (site, faults) = (Site { memory: Arc::clone(&memory), ..site }, FaultLayer::new());
        let first = site.life.issue(&site.key, ()).await.unwrap();
        leave_repair(&site, &site.key, 1, &first.secret).await;
        memory.overwrite(&site.key, 1, Some(&"never committed".into())).await.unwrap();
        memory.overwrite(&site.key, 2, Some(&first.secret)).await.unwrap();
        let primary: SharedBackend =
            if digests { Arc::new(quick()) } else { Arc::new(Instance::new("eu", Arc::new(Memory::new())).unwrap()) };
        let moved = life(&site, SecretStore::builder(primary).accepts(stack(memory, &[&faults])));

        faults.always(Operation::Pin, Fault::Fail(ErrorKind::Unavailable));
        let refused = moved.rotate(&site.key, HOUR, ()).await;
        assert!(matches!(refused, Err(Failure::Backend(error)) if error.kind() == ErrorKind::Unavailable));
        faults.heal();
        let second = moved.rotate(&site.key, HOUR, ()).await.unwrap();
        for secret in [&first.secret, &second.secret] {
            let decision = moved.authenticate(site.key.client_id(), secret).await.unwrap();
            assert!(matches!(decision, Decision::Proved(_)), "digests: {digests}");
        }
    }
}

/// What it was about to write may still arrive, and push out the version that the row pins.
#[tokio::test]
async fn a_repair_that_the_backend_refuses_is_kept_in_mind() {
    let (site, faults) = (over(&clock(), SecretStore::builder), FaultLayer::new());
    let first = site.life.issue(&site.key, ()).await.unwrap();
    leave_repair(&site, &site.key, 1, &first.secret).await;
    let life = life(&site, SecretStore::builder(stack(Arc::clone(&site.memory), &[&faults])));
    faults.always(Operation::Pin, Fault::Fail(ErrorKind::Denied));
    assert_eq!(life.round().await.failed, 1);
    assert!(site.note().is_some_and(|note| note.repairs().is_some()));
}

#[tokio::test]
async fn a_repair_whose_backend_fails_waits_longer_each_time_and_holds_no_debt_up() {
    let (site, faults) = (over(&clock(), SecretStore::builder), FaultLayer::new());
    let first = site.life.issue(&site.key, ()).await.unwrap();
    leave_repair(&site, &site.key, 1, &first.secret).await;
    let eu = Instance::new("eu", Arc::new(Memory::new())).unwrap();
    let left = eu.place(&site.key).unwrap();
    site.life.edit(&site.key, |_, note, now| note.owe(left.clone(), DebtKind::Blank, now)).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let life = life(&site, SecretStore::builder(stack(Arc::clone(&site.memory), &[&faults])).accepts(eu))
        .with_observer(move |event: &Event| log.lock().unwrap().push(event.clone()));
    faults.always(Operation::Pin, Fault::Fail(ErrorKind::Unavailable));
    let round = life.round().await;
    assert_eq!((round.due, round.forgotten, round.failed), (1, 1, 1), "the debt is paid all the same");
    for wait in [5, 10, 20] {
        assert_eq!(life.round().await.due, 0, "it waits");
        site.clock.advance(Duration::from_secs(wait));
        assert_eq!(life.round().await.failed, 1);
    }
    let told = told.lock().unwrap().clone();
    let waits: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            Event::NotRepaired(_, error, wait) => Some((error.kind(), wait.as_secs())),
            Event::LedgerFailed(why) => panic!("{why}"),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [5, 10, 20, 40].map(|wait| (ErrorKind::Unavailable, wait)));

    faults.heal();
    site.clock.advance(Duration::from_secs(40));
    assert_eq!(life.round().await.failed, 0);
    assert_eq!(life.round().await.due, 0);
    assert!(site.works(&first.secret).await);
    let second = life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(site.works(&second.secret).await);
}

#[tokio::test]
async fn repairs_that_fail_take_nobodys_turn() {
    let (site, faults) = (over(&clock(), SecretStore::builder), FaultLayer::new());
    for number in 0..40 {
        let key = CredentialKey::parse("agent-8", &format!("credential-{number}")).unwrap();
        let shown = site.life.issue(&key, ()).await.unwrap();
        leave_repair(&site, &key, 1, &shown.secret).await;
    }
    site.clock.advance(Duration::from_secs(1));
    let eu = Instance::new("eu", Arc::new(Memory::new())).unwrap();
    let last = CredentialKey::parse("agent-9", "credential").unwrap();
    site.life.issue(&last, ()).await.unwrap();
    let left = eu.place(&last).unwrap();
    site.life.edit(&last, |_, note, now| note.owe(left.clone(), DebtKind::Blank, now)).await.unwrap();
    let life = life(&site, SecretStore::builder(stack(Arc::clone(&site.memory), &[&faults])).accepts(eu));
    faults.always(Operation::Pin, Fault::Fail(ErrorKind::Unavailable));
    let mut forgotten = 0;
    for _ in 0..3 {
        forgotten += life.round().await.forgotten;
    }
    assert_eq!(forgotten, 1);
}
