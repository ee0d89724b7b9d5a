//! Comparisons over the ledger and the backend that keep everything in memory.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::{Comparison, Difference, DifferenceKind as Kind, MOST_PLACES, Mode, Removal, Settlement};
use crate::backend::{Held, SecretBackend as _};
use crate::backends::Memory;
use crate::clock::{Clock, ManualClock};
use crate::credential::CredentialKey;
use crate::lifecycle::tests::Closed;
use crate::lifecycle::{
    Change, Decision, Entry, Event, Lifecycle, MemoryError, MemoryLedger, MemoryTx, Row, Shown, State,
};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::store::SecretStore;

const HOUR: Duration = Duration::from_secs(3600);

/// A database, and the backend that it shares with others.
#[derive(Clone)]
struct Site {
    life: Lifecycle<MemoryLedger>,
    ledger: MemoryLedger,
    memory: Arc<Memory>,
    clock: Arc<ManualClock>,
}

/// The caller's part of a change, which fails.
struct Refuses;

#[async_trait]
impl Change<MemoryLedger> for Refuses {
    async fn after(&self, _tx: &mut MemoryTx, _row: &Row) -> Result<(), MemoryError> {
        Err(MemoryError::new("refused"))
    }
}

fn key(credential: &str) -> CredentialKey {
    CredentialKey::parse("client", credential).unwrap()
}

impl Site {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + HOUR));
        let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        Self::over(ledger, Arc::new(Memory::new()), clock)
    }

    fn over(ledger: MemoryLedger, memory: Arc<Memory>, clock: Arc<ManualClock>) -> Self {
        let store = SecretStore::builder(Arc::clone(&memory)).clock(Arc::<ManualClock>::clone(&clock)).build().unwrap();
        let life = Lifecycle::new(store, ledger.clone(), |task| drop(tokio::spawn(task)));
        Self { life, ledger, memory, clock }
    }

    /// The database as it is now, restored from a backup later: its gate is closed.
    fn backup(&self) -> Self {
        let Self { life, ledger, memory, clock } =
            Self::over(self.ledger.copy(), Arc::clone(&self.memory), Arc::clone(&self.clock));
        Self { life: life.with_gate(Closed), ledger, memory, clock }
    }

    async fn issue(&self, credential: &str) -> Shown {
        self.life.issue(&key(credential), ()).await.unwrap()
    }

    async fn rotate(&self, credential: &str) -> Shown {
        self.life.rotate(&key(credential), Duration::ZERO, ()).await.unwrap()
    }

    async fn works(&self, secret: &ClientSecret) -> bool {
        let client = key("c").client_id().clone();
        matches!(self.life.authenticate(&client, secret).await, Ok(Decision::Proved(_)))
    }

    async fn compare(&self, mode: Mode) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut tell = |difference: &Difference| found.push(difference.clone());
        let Comparison { found: counts, unlisted } = self.life.compare(&self.memory, mode, &mut tell).await.unwrap();
        assert_eq!((counts.total(), unlisted.is_none()), (found.len() as u64, true));
        found
    }

    /// Kinds and credentials.
    async fn told(&self, mode: Mode) -> Vec<(Kind, String)> {
        let found = self.compare(mode).await.into_iter();
        found.map(|difference| (difference.kind, difference.credential_id)).collect()
    }

    async fn settle(&self, difference: &Difference, settlement: Settlement) -> bool {
        self.life.settle(&self.memory, difference, settlement, ()).await.unwrap()
    }

    async fn holds(&self, credential: &str) -> bool {
        matches!(self.memory.inspect(&key(credential), None).await.unwrap(), Held::Version { .. })
    }
}

#[tokio::test]
async fn where_nothing_differs_nothing_is_told() {
    let site = Site::new();
    for credential in ["a", "b", "c"] {
        site.issue(credential).await;
    }
    site.rotate("b").await;
    site.life.rotate(&key("c"), HOUR, ()).await.unwrap();
    site.life.end(&key("a"), ()).await.unwrap();
    for mode in [Mode::DryRun, Mode::Repair] {
        assert_eq!(site.told(mode).await, []);
    }
}

#[tokio::test]
async fn each_kind_is_told_the_same_each_time() {
    let site = Site::new();
    for credential in ["gone", "behind", "blanked", "version", "previous", "sound"] {
        site.issue(credential).await;
    }
    site.memory.forget(&key("gone")).await.unwrap();
    site.memory.overwrite(&key("behind"), 1, Some(&"by hand".into())).await.unwrap();
    site.memory.overwrite(&key("blanked"), 1, None).await.unwrap();
    for latest in 1..11 {
        site.memory.overwrite(&key("version"), latest, Some(&"by hand".into())).await.unwrap();
    }
    site.life.rotate(&key("previous"), HOUR, ()).await.unwrap();
    for latest in 2..11 {
        site.memory.overwrite(&key("previous"), latest, Some(&"by hand".into())).await.unwrap();
    }
    site.memory.store(&key("orphan"), &"another's".into()).await.unwrap();
    site.ledger.put(Row::new(key("damaged"), None, None));
    let text = StoredSecret::parse("?damaged?").unwrap();
    site.ledger.put(Row::new(key("damaged-text"), Some(text.into()), None));
    let elsewhere = StoredSecret::parse("{memory}other/c?version=1").unwrap();
    site.ledger.put(Row::new(key("elsewhere"), Some(elsewhere.into()), None));
    let expected = [
        (Kind::VersionBehind, "behind"),
        (Kind::VersionUnfinished, "blanked"),
        (Kind::RowUnreadable, "damaged"),
        (Kind::RowUnreadable, "damaged-text"),
        (Kind::Elsewhere, "elsewhere"),
        (Kind::RowWithoutPath, "gone"),
        (Kind::VersionBehind, "previous"),
        (Kind::VersionMissing, "version"),
        (Kind::PathWithoutRow, "orphan"),
    ];
    let expected = expected.map(|(kind, credential)| (kind, credential.to_owned()));
    let before = site.ledger.keys();
    for mode in [Mode::DryRun, Mode::Repair, Mode::Repair, Mode::DryRun] {
        assert_eq!(site.told(mode).await, expected, "{mode:?}");
        assert!(site.ledger.keys() == before && site.holds("orphan").await);
        site.clock.advance(HOUR * 25);
    }
}

#[tokio::test]
async fn a_previous_secret_that_is_gone_is_told_until_its_overlap_ends() {
    let site = Site::new();
    let first = site.issue("c").await;
    let second = site.life.rotate(&key("c"), HOUR, ()).await.unwrap();
    // Restored from before the first secret: the place has the second version only.
    let row = site.ledger.entry(&key("c")).state.active().cloned().unwrap();
    let mut secrets = row.secrets.clone().unwrap();
    secrets.previous.as_mut().unwrap().stored = StoredSecret::parse("{memory}client/c?version=9").unwrap();
    site.ledger.put(Row { secrets: Some(secrets), ..row });
    assert_eq!(site.told(Mode::Repair).await, [(Kind::PreviousMissing, "c".to_owned())]);
    assert!(site.works(&second.secret).await && !site.works(&first.secret).await);
    site.clock.advance(HOUR);
    assert_eq!(site.told(Mode::Repair).await, []);
}

#[tokio::test]
async fn what_a_lost_commit_left_is_of_nobody_and_only_its_own_database_knows() {
    let site = Site::new();
    site.issue("c").await;
    let backup = site.backup();
    site.life.rotate(&key("c"), Duration::ZERO, Refuses).await.unwrap_err();
    assert_eq!(site.told(Mode::Repair).await, [(Kind::VersionUnfinished, "c".to_owned())]);
    assert_eq!(backup.told(Mode::Repair).await, [(Kind::VersionBehind, "c".to_owned())], "it may have been committed");
    let with_note = site.backup();
    assert_eq!(with_note.told(Mode::Repair).await, [(Kind::VersionBehind, "c".to_owned())], "since the note, too");
    site.rotate("c").await;
    assert_eq!(site.told(Mode::Repair).await, []);
}

#[tokio::test]
async fn a_place_of_an_ended_credential_is_deleted_again_by_the_database_that_may() {
    let site = Site::new();
    site.issue("c").await;
    site.life.end(&key("c"), ()).await.unwrap();
    for _ in 0..3 {
        site.clock.advance(HOUR * 25);
        site.life.round().await;
    }
    assert_eq!(site.ledger.entry(&key("c")), Entry { state: State::Ended, note: None });
    // A backend that was restored from a backup.
    site.memory.store(&key("c"), &"from a backup".into()).await.unwrap();
    for restored in [site.backup(), site.clone()] {
        assert_eq!(restored.told(Mode::DryRun).await, [(Kind::PathOfEnded, "c".to_owned())]);
        assert!(site.holds("c").await);
    }
    assert_eq!(site.backup().told(Mode::Repair).await, [(Kind::PathOfEnded, "c".to_owned())]);
    assert!(site.holds("c").await, "a closed gate");
    assert_eq!(site.told(Mode::Repair).await, []);
    assert!(!site.holds("c").await);
}

#[tokio::test]
async fn places_without_a_row_are_removed_by_their_number_and_each_is_looked_at_again() {
    let site = Site::new();
    let shown = site.issue("sound").await;
    for orphan in ["one", "two"] {
        site.memory.store(&key(orphan), &"another's".into()).await.unwrap();
    }
    let remove = async |site: &Site, how_many| site.life.remove_places(&site.memory, how_many).await.unwrap();
    assert!(matches!(remove(&site, 1).await, Removal::Refused(2)));
    assert!(matches!(remove(&site, 3).await, Removal::Refused(2)));
    assert!(matches!(remove(&site.backup(), 2).await, Removal::Removed(0)), "a closed gate");
    assert!(site.holds("one").await && site.holds("two").await);
    assert!(matches!(remove(&site, 2).await, Removal::Removed(2)));
    assert!(!site.holds("one").await && !site.holds("two").await && site.works(&shown.secret).await);
    for number in 0..=MOST_PLACES {
        site.memory.store(&key(&format!("many-{number}")), &"another's".into()).await.unwrap();
    }
    assert!(matches!(remove(&site, MOST_PLACES + 1).await, Removal::Refused(101)));
    assert!(site.holds("many-0").await);
}

#[tokio::test]
async fn after_the_database_was_restored_the_later_secret_counts_or_the_rows_or_both() {
    for settlement in [Settlement::Row, Settlement::Latest, Settlement::Both(HOUR)] {
        let site = Site::new();
        let old = site.issue("c").await;
        let restored = site.backup();
        let new = site.rotate("c").await;
        let found = restored.compare(Mode::Repair).await;
        let [behind] = &found[..] else { panic!("{found:?}") };
        assert_eq!((behind.kind, behind.pinned, behind.latest), (Kind::VersionBehind, Some(1), Some(2)));
        assert!(restored.works(&old.secret).await && !restored.works(&new.secret).await);
        assert!(restored.settle(behind, settlement).await);
        assert!(!restored.settle(behind, settlement).await, "once");
        let counts = (restored.works(&old.secret).await, restored.works(&new.secret).await);
        let (row, latest) = (settlement != Settlement::Latest, settlement != Settlement::Row);
        assert_eq!(counts, (row, latest), "{settlement:?}");
        assert_eq!(restored.told(Mode::Repair).await, [], "{settlement:?}");
        restored.clock.advance(HOUR);
        assert_eq!(restored.works(&old.secret).await, settlement == Settlement::Row);
        let next = restored.rotate("c").await;
        assert!(restored.works(&next.secret).await && !restored.works(&new.secret).await);
    }
}

#[tokio::test]
async fn the_callers_part_of_a_settlement_is_in_its_transaction() {
    for settlement in [Settlement::Row, Settlement::Latest, Settlement::Both(HOUR)] {
        let site = Site::new();
        let old = site.issue("c").await;
        let restored = site.backup();
        let new = site.rotate("c").await;
        let behind = restored.compare(Mode::DryRun).await.remove(0);
        let refused = restored.life.settle(&restored.memory, &behind, settlement, Refuses).await;
        assert!(refused.is_err(), "{settlement:?}");
        assert!(restored.works(&old.secret).await && !restored.works(&new.secret).await, "{settlement:?}");
    }
}

#[tokio::test]
async fn after_the_backend_was_restored_what_it_has_counts_or_nothing_does() {
    let site = Site::new();
    let old = site.issue("c").await;
    let new = site.rotate("c").await;
    site.memory.forget(&key("c")).await.unwrap();
    site.memory.store(&key("c"), &old.secret).await.unwrap();
    let found = site.compare(Mode::Repair).await;
    let [missing] = &found[..] else { panic!("{found:?}") };
    assert_eq!((missing.kind, missing.pinned, missing.latest), (Kind::VersionMissing, Some(2), Some(1)));
    assert!(!site.settle(missing, Settlement::Row).await, "it is lost");
    assert!(!site.works(&old.secret).await && !site.works(&new.secret).await);
    assert!(site.settle(missing, Settlement::Latest).await);
    assert!(site.works(&old.secret).await && !site.works(&new.secret).await);
    assert_eq!(site.told(Mode::Repair).await, []);
}

#[tokio::test]
async fn a_settlement_that_is_overtaken_does_nothing() {
    let site = Site::new();
    site.issue("c").await;
    let restored = site.backup();
    site.rotate("c").await;
    let behind = restored.compare(Mode::DryRun).await.remove(0);
    site.rotate("c").await;
    for settlement in [Settlement::Row, Settlement::Latest, Settlement::Both(HOUR)] {
        assert!(!restored.settle(&behind, settlement).await, "the place has another version: {settlement:?}");
    }
    let behind = restored.compare(Mode::DryRun).await.remove(0);
    let shown = restored.rotate("c").await;
    for settlement in [Settlement::Row, Settlement::Latest, Settlement::Both(HOUR)] {
        assert!(!restored.settle(&behind, settlement).await, "the row is another one: {settlement:?}");
    }
    assert!(restored.works(&shown.secret).await);
}

#[tokio::test(start_paused = true)]
async fn the_background_compares_and_tells() {
    let site = Site::new();
    site.memory.store(&key("orphan"), &"another's".into()).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let store = SecretStore::builder(Arc::clone(&site.memory)).build().unwrap();
    let life = Lifecycle::new(store, site.ledger.clone(), |task| drop(tokio::spawn(task)))
        .with_comparison(Arc::clone(&site.memory), HOUR)
        .with_observer(move |event: &Event| log.lock().unwrap().push(event.to_string()));
    life.work(tokio::time::sleep(HOUR + Duration::from_secs(1))).await;
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "at once, and an hour later: {told:?}");
    assert!(told[0].contains("path_without_row: credential orphan of client client"), "{told:?}");
}
