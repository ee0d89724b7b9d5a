//! What this database did not write it never deletes: a place of a new credential that holds a secret already.

use std::sync::Arc;
use std::time::Duration;

use super::{Closed, Dies, Refuses, Site, clock, over, site};
use crate::backend::{Held, SecretBackend as _, SharedBackend};
use crate::backends::Memory;
use crate::error::{ErrorKind, Operation};
use crate::lifecycle::{Failure, Lifecycle, MemoryError, Shown};
use crate::secret::ClientSecret;
use crate::stack;
use crate::store::SecretStore;
use crate::testkit::{Fault, FaultLayer};

/// Of a backend that can fail, and the faults.
fn faulty() -> (Site, FaultLayer) {
    let faults = FaultLayer::new();
    let site = over(&clock(), |memory| SecretStore::builder(stack(memory, &[&faults])));
    (site, faults)
}

/// Days of the background, in which the backend is healthy.
async fn drained(site: &Site) {
    for _ in 0..8 {
        site.life.round().await;
        site.clock.advance(Duration::from_secs(24 * 3600));
    }
    assert_eq!(site.note(), None);
}

async fn holds(site: &Site, secret: &ClientSecret) -> bool {
    let held = site.memory.inspect(&site.key, None).await.unwrap();
    held.secret().is_some_and(|held| held.ct_eq(secret))
}

/// The secret that another life of the database has issued under the id.
async fn of_another_life(site: &Site) -> ClientSecret {
    let other = over(&site.clock, |_| SecretStore::builder(Arc::clone(&site.memory)));
    other.life.issue(&site.key, ()).await.unwrap().secret
}

#[tokio::test]
async fn an_id_that_is_given_out_again_keeps_its_first_secret() {
    let site = site();
    let theirs = of_another_life(&site).await;
    let Err(Failure::Backend(refused)) = site.life.issue(&site.key, ()).await else { panic!("the place is occupied") };
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("choose another credential id"), "{refused}");
    assert_eq!(site.note(), None, "nothing is owed");
    drained(&site).await;
    assert!(holds(&site, &theirs).await);
}

#[tokio::test]
async fn what_another_wrote_stays_though_nobody_could_look_or_hear() {
    for fault in [Fault::LoseAnswer, Fault::Fail(ErrorKind::Unavailable), Fault::Fail(ErrorKind::Conflict)] {
        let (site, faults) = faulty();
        let theirs = of_another_life(&site).await;
        faults.once(Operation::Store, fault);
        faults.once(Operation::Pin, Fault::Fail(ErrorKind::Unavailable));
        assert!(matches!(site.life.issue(&site.key, ()).await, Err(Failure::Backend(_))));
        drained(&site).await;
        assert!(holds(&site, &theirs).await, "{fault:?}");
    }
}

#[tokio::test]
async fn what_an_issue_left_is_deleted() {
    let (site, faults) = faulty();
    faults.once(Operation::Store, Fault::LoseAnswer);
    assert!(matches!(site.life.issue(&site.key, ()).await, Err(Failure::Backend(_))));
    assert!(!site.forgotten().await, "it was written");
    drained(&site).await;
    assert!(site.forgotten().await);

    assert!(site.life.issue(&site.key, Dies).await.is_err());
    assert!(!site.forgotten().await, "it was written");
    drained(&site).await;
    assert!(site.forgotten().await);
}

#[tokio::test]
async fn a_first_write_that_arrives_after_its_deletion_is_deleted_and_anothers_is_not() {
    let (site, faults) = faulty();
    faults.once(Operation::Store, Fault::Fail(ErrorKind::Unavailable));
    assert!(matches!(site.life.issue(&site.key, ()).await, Err(Failure::Backend(_))));
    assert_eq!(site.life.round().await.forgotten, 1);
    assert!(site.note().is_some(), "it is looked for again");
    assert!(matches!(site.life.issue(&site.key, ()).await, Err(Failure::Exists)), "and the id is not used meanwhile");
    let place = site.memory.place(&site.key).unwrap();
    assert!(matches!(site.life.take_over(&site.key, &place, ()).await, Err(Failure::Exists)));
    let theirs = of_another_life(&site).await;
    drained(&site).await;
    assert!(holds(&site, &theirs).await);
}

#[tokio::test]
async fn what_was_refused_while_the_gate_was_closed_is_deleted_later() {
    let site = site();
    let closed = Lifecycle::new(site.life.store().clone(), site.ledger.clone(), |task| drop(tokio::spawn(task)));
    assert!(matches!(closed.with_gate(Closed).issue(&site.key, Refuses).await, Err(Failure::Ledger(_))));
    assert!(matches!(site.memory.inspect(&site.key, None).await.unwrap(), Held::Version { .. }));
    drained(&site).await;
    assert!(site.forgotten().await);
}

#[tokio::test]
async fn a_copy_pushes_out_nothing_that_its_original_may_vouch_for() {
    let memory: SharedBackend = Arc::new(Memory::keeping(3));
    let site = over(&clock(), |_| SecretStore::builder(Arc::clone(&memory)));
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let store = site.life.store().clone();
    let copy = Lifecycle::new(store, site.ledger.copy(), |task| drop(tokio::spawn(task))).with_gate(Closed);
    let refused = |rotated: Result<Shown, Failure<MemoryError>>| match rotated {
        Err(Failure::Backend(error)) => error.kind() == ErrorKind::Conflict && error.to_string().contains("admit"),
        _ => false,
    };
    copy.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    for overlap in [Duration::ZERO, Duration::from_secs(60)] {
        assert!(refused(copy.rotate(&site.key, overlap, ()).await), "the room for one more is the original's");
    }
    assert!(site.works(&first.secret).await);

    let second = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(site.works(&second.secret).await, "the original goes on");
}
