//! The sequences over the ledger and the backend that keep everything in memory.

mod another;
mod cut;
mod idle;
mod instances;
mod overlaps;
mod repairs;
mod skewed;
mod unreadable;
mod unused;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::*;
use crate::backend::{Held, SecretBackend, SharedBackend};
use crate::backends::{KeyedDigest, Memory};
use crate::clock::ManualClock;
use crate::credential::{ClientId, CredentialKey};
use crate::format::SecretFormat;
use crate::keys::MacKeys;
use crate::record::{BackendId, StoredSecret};

pub(super) struct Site {
    pub(super) life: Lifecycle<MemoryLedger>,
    ledger: MemoryLedger,
    pub(super) memory: SharedBackend,
    pub(super) clock: Arc<ManualClock>,
    pub(super) key: CredentialKey,
}

/// A database that was cloned or restored, as far as it knows.
pub(super) struct Closed;

impl Gate for Closed {
    fn may_delete(&self, _at: &BackendId) -> bool {
        false
    }

    fn may_adopt(&self, _at: &BackendId) -> bool {
        false
    }

    fn may_push_out(&self, _at: &BackendId) -> bool {
        false
    }
}

/// An hour after the epoch: times before it can be told apart from none.
pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(3600)))
}

pub(super) fn site() -> Site {
    over(&clock(), SecretStore::builder)
}

pub(super) fn over(
    clock: &Arc<ManualClock>,
    store: impl FnOnce(SharedBackend) -> crate::store::SecretStoreBuilder,
) -> Site {
    let memory: SharedBackend = Arc::new(Memory::new());
    let ledger = MemoryLedger::with_clock(Arc::clone(clock) as Arc<dyn crate::clock::Clock>);
    let store = store(Arc::clone(&memory)).clock(Arc::<ManualClock>::clone(clock)).build().unwrap();
    let life = Lifecycle::new(store, ledger.clone(), |task| drop(tokio::spawn(task)));
    let key = CredentialKey::parse("agent-7", "credential-1").unwrap();
    Site { life, ledger, memory, clock: Arc::clone(clock), key }
}

pub(super) fn quick() -> KeyedDigest {
    KeyedDigest::new(MacKeys::parse(&format!("k1:{}", "0123456789abcdef".repeat(4))).unwrap())
}

impl Site {
    pub(super) async fn works(&self, secret: &ClientSecret) -> bool {
        match self.life.authenticate(self.key.client_id(), secret).await.unwrap() {
            Decision::Proved(proof) => {
                matches!(self.life.still_counts(proof, secret).await.unwrap(), Decision::Proved(_))
            }
            Decision::NotActive | Decision::Mismatch { .. } => false,
        }
    }

    pub(super) async fn versions(&self) -> u64 {
        self.memory.inspect(&self.key, None).await.unwrap().version()
    }

    pub(super) fn note(&self) -> Option<Note> {
        self.ledger.entry(&self.key).note
    }

    pub(super) async fn forgotten(&self) -> bool {
        matches!(self.memory.inspect(&self.key, None).await.unwrap(), Held::Nothing)
    }
}

#[tokio::test]
async fn a_secret_works_from_its_issue_to_its_end() {
    let site = site();
    let first = site.life.issue(&site.key, ()).await.unwrap();
    assert!(site.works(&first.secret).await && site.note().is_none());
    let second = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(!site.works(&first.secret).await && site.works(&second.secret).await);
    site.life.end(&site.key, ()).await.unwrap();
    assert!(!site.works(&second.secret).await && site.forgotten().await);
    assert!(matches!(site.life.end(&site.key, ()).await, Err(Failure::Ended)));
    assert!(matches!(site.life.rotate(&site.key, Duration::ZERO, ()).await, Err(Failure::Ended)));
    assert!(matches!(site.life.issue(&site.key, ()).await, Err(Failure::Exists)));
}

#[tokio::test]
async fn a_secret_of_a_form_of_ones_own_lives_as_any_and_others_read_no_row() {
    let format = SecretFormat::builder("acme_").digits(22).checksum().naming_the_credential().build().unwrap();
    let site = over(&clock(), |memory| SecretStore::builder(memory).formats(format.clone()));
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let second = site.life.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    for secret in [&first.secret, &second.secret] {
        assert!(site.works(secret).await);
        assert_eq!(format.credential_id(secret).as_ref(), Some(site.key.credential_id()));
    }
    let decision = site.life.authenticate(site.key.client_id(), &ClientSecret::generate().unwrap()).await.unwrap();
    assert!(matches!(decision, Decision::Mismatch { known: false }), "the client was not looked for: {decision:?}");
    let wrong = format.generate(site.key.credential_id()).unwrap();
    let decision = site.life.authenticate(site.key.client_id(), &wrong).await.unwrap();
    assert!(matches!(decision, Decision::Mismatch { known: true }), "{decision:?}");
}

#[test]
#[should_panic(expected = "call its `with_…` methods right after `Lifecycle::new`")]
fn a_gate_that_comes_after_a_clone_is_not_dropped_in_silence() {
    let life = site().life;
    let _worker = life.clone();
    let _ = life.with_gate(Closed);
}

#[tokio::test]
async fn a_deletion_is_repeated_three_times_and_then_forgotten() {
    let site = site();
    site.life.issue(&site.key, ()).await.unwrap();
    site.life.end(&site.key, ()).await.unwrap();
    for wait in [90, 3600, 24 * 3600] {
        assert_eq!(site.life.round().await.due, 0);
        site.clock.advance(Duration::from_secs(wait));
        assert_eq!(site.life.round().await.forgotten, 1, "after {wait} s");
    }
    assert_eq!(site.note(), None);
}

#[tokio::test]
async fn what_a_failed_commit_left_is_taken_over() {
    let site = site();
    let first = site.life.issue(&site.key, ()).await.unwrap();
    for _ in 0..12 {
        let refused = site.life.rotate(&site.key, Duration::ZERO, Refuses).await;
        assert!(matches!(refused, Err(Failure::Ledger(_))));
        assert!(site.works(&first.secret).await);
    }
    assert_eq!(site.versions().await, 2, "the one that was never shown is adopted each time");
    let second = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert_eq!(site.versions().await, 2);
    assert!(site.works(&second.secret).await && !site.works(&first.secret).await);
}

#[tokio::test]
async fn an_id_whose_issue_failed_is_not_used_again() {
    for site in [site(), over(&clock(), |memory| SecretStore::builder(quick()).accepts(memory))] {
        let elsewhere = over(&site.clock, SecretStore::builder);
        let first =
            Lifecycle::new(elsewhere.life.store().clone(), site.ledger.clone(), |task| drop(tokio::spawn(task)));
        assert!(matches!(first.issue(&site.key, Refuses).await, Err(Failure::Ledger(_))));
        // A deletion may still be under way.
        assert!(matches!(site.life.issue(&site.key, ()).await, Err(Failure::Exists)));
        assert_eq!(site.ledger.entry(&site.key).state, State::Absent);
    }
}

#[tokio::test]
async fn a_rotation_that_finds_no_room_leaves_nothing_in_the_note() {
    let site = over(&clock(), |_| SecretStore::builder(Memory::keeping(2)));
    site.life.issue(&site.key, ()).await.unwrap();
    site.life.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(site.life.rotate(&site.key, Duration::ZERO, ()).await, Err(Failure::Backend(_))));
        assert_eq!(site.note(), None);
    }
}

#[tokio::test]
async fn an_issue_that_is_refused_leaves_nothing() {
    let site = site();
    assert!(matches!(site.life.issue(&site.key, Refuses).await, Err(Failure::Ledger(_))));
    assert!(site.forgotten().await);
    assert_eq!(site.ledger.entry(&site.key).state, State::Absent);
}

#[tokio::test]
async fn the_callers_writes_are_committed_with_the_change() {
    let site = site();
    site.life.issue(&site.key, Logs("issued")).await.unwrap();
    site.life.rotate(&site.key, Duration::from_secs(60), Logs("rotated")).await.unwrap();
    site.life.end_previous(&site.key, Logs("overlap ended")).await.unwrap();
    site.life.end(&site.key, Logs("ended")).await.unwrap();
    assert_eq!(site.ledger.log(), ["issued", "rotated", "overlap ended", "ended"]);
}

#[tokio::test]
async fn a_login_moves_a_digest_to_the_backend_and_a_rotation_moves_it_back() {
    let (clock, quick) = (clock(), Arc::new(quick()));
    let digests: SharedBackend = quick;
    let site = over(&clock, |memory| SecretStore::builder(memory).accepts(Arc::clone(&digests)));
    let secret = ClientSecret::generate().unwrap();
    let stored = digests.store(&site.key, &secret).await.unwrap();
    site.ledger.put(Row::new(site.key.clone(), Some(stored.into()), None));
    assert!(site.works(&secret).await);
    until(async || site.versions().await == 1 && site.note().is_none()).await;
    assert!(site.works(&secret).await);
    let backend = |site: &Site| {
        let State::Active(row) = site.ledger.entry(&site.key).state else { panic!("it is active") };
        row.secrets.unwrap().current.backend().clone()
    };
    assert_eq!(backend(&site), BackendId::MEMORY);

    let back = SecretStore::builder(digests)
        .accepts(Arc::clone(&site.memory))
        .clock(Arc::<ManualClock>::clone(&clock))
        .build()
        .unwrap();
    let back = Lifecycle::new(back, site.ledger.clone(), |task| drop(tokio::spawn(task)));
    let overlap = Duration::from_secs(60);
    let rotated = back.rotate(&site.key, overlap, ()).await.unwrap();
    assert_eq!(backend(&site), BackendId::KEYED_DIGEST);
    for secret in [&secret, &rotated.secret] {
        assert!(matches!(back.authenticate(site.key.client_id(), secret).await.unwrap(), Decision::Proved(_)));
    }
    assert_eq!(back.round().await.due, 0, "the previous secret counts");
    clock.advance(overlap);
    assert_eq!(back.round().await.forgotten, 1);
    assert!(site.memory.inspect(&site.key, None).await.unwrap().secret().is_none(), "a blank version lies over it");
}

#[tokio::test]
async fn a_suspended_client_and_an_unknown_one_are_told_apart_for_the_audit_only() {
    let site = site();
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let wrong = ClientSecret::generate().unwrap();
    let client = site.key.client_id().clone();
    let decide = async |client: &ClientId, secret: &ClientSecret| site.life.authenticate(client, secret).await.unwrap();
    assert!(matches!(decide(&client, &wrong).await, Decision::Mismatch { known: true }));
    let nobody = ClientId::parse("nobody").unwrap();
    assert!(matches!(decide(&nobody, &wrong).await, Decision::Mismatch { known: false }));
    let Decision::Proved(proof) = decide(&client, &first.secret).await else { panic!("the secret is right") };
    site.ledger.suspend(&client, true);
    assert!(matches!(site.life.still_counts(proof, &first.secret).await.unwrap(), Decision::NotActive));
    assert!(matches!(decide(&client, &wrong).await, Decision::Mismatch { known: true }));
}

#[tokio::test]
async fn a_damaged_row_is_no_mismatch_and_a_rotation_mends_it() {
    let site = site();
    site.ledger.put(Row::new(site.key.clone(), None, None));
    let wrong = ClientSecret::generate().unwrap();
    assert!(matches!(site.life.authenticate(site.key.client_id(), &wrong).await, Err(Failure::Backend(_))));
    let first = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(site.works(&first.secret).await);
}

#[tokio::test]
async fn a_secret_is_revealed_while_its_revision_lasts() {
    let site = site();
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let revision = first.row.revision;
    let again = site.life.reveal(&site.key, revision).await.unwrap().unwrap();
    assert!(again.secret.ct_eq(&first.secret));
    site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(site.life.reveal(&site.key, revision).await.unwrap().is_none());
}

#[cfg(feature = "sealed")]
#[tokio::test]
async fn a_sealed_secret_is_revealed_from_its_row() {
    let keys = MacKeys::parse(&format!("k1:{}", "0f".repeat(31) + "00")).unwrap();
    let store = SecretStore::builder(crate::backends::Sealed::new(keys)).build().unwrap();
    let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)));
    let key = CredentialKey::parse("client", "credential").unwrap();
    let first = life.issue(&key, ()).await.unwrap();
    let again = life.reveal(&key, first.row.revision).await.unwrap().unwrap();
    assert!(again.secret.ct_eq(&first.secret));
    let second = life.rotate(&key, Duration::from_secs(60), ()).await.unwrap();
    assert!(life.reveal(&key, first.row.revision).await.unwrap().is_none());
    let again = life.reveal(&key, second.row.revision).await.unwrap().unwrap();
    assert!(again.secret.ct_eq(&second.secret));
}

#[tokio::test]
async fn a_sequence_runs_to_its_end_when_its_caller_hangs_up() {
    let site = site();
    site.life.issue(&site.key, ()).await.unwrap();
    {
        let rotation = site.life.rotate(&site.key, Duration::ZERO, Logs("rotated"));
        futures_util::future::select(std::pin::pin!(rotation), std::pin::pin!(tokio::task::yield_now())).await;
    }
    until(async || site.ledger.log() == ["rotated"]).await;
    assert_eq!(site.note(), None);
}

#[test]
fn nothing_shows_a_secret_or_a_place() {
    let place = StoredSecret::new(BackendId::MEMORY, "canary");
    let secret = ClientSecret::generate().unwrap();
    let row = Row::new(CredentialKey::parse("a", "b").unwrap(), Some(place.clone().into()), None);
    let open = OpenWrite {
        kind: OpenWriteKind::Rotate,
        place: place.clone(),
        base: 1,
        attempt: Revision::from_bytes([1; 16]),
        digests: vec![SecretDigest::parse("canary")],
        lease_until: SystemTime::UNIX_EPOCH,
    };
    let mut note = Note { open: Some(open), debts: Vec::new() };
    note.owe(place, DebtKind::Delete, SystemTime::UNIX_EPOCH);
    let shown = Shown { secret: secret.clone(), row: row.clone() };
    let known = Known::new(true, vec![row]);
    let text = format!("{note:?} {note:#?} {shown:?} {known:?}");
    assert!(!text.contains("canary") && !text.contains(secret.expose_secret()), "{text}");
    assert_eq!(Note::parse(&note.to_text()).unwrap(), note);
}

/// Waits for what another task does.
async fn until(mut happened: impl AsyncFnMut() -> bool) {
    while !happened().await {
        tokio::task::yield_now().await;
    }
}

/// The process dies where it would commit.
pub(super) struct Dies;

#[async_trait]
impl Change<MemoryLedger> for Dies {
    async fn after(&self, _tx: &mut MemoryTx, _row: &Row) -> Result<(), MemoryError> {
        panic!("the process dies")
    }
}

pub(super) struct Refuses;

#[async_trait]
impl Change<MemoryLedger> for Refuses {
    async fn after(&self, _tx: &mut MemoryTx, _row: &Row) -> Result<(), MemoryError> {
        Err(MemoryError::new("refused"))
    }
}

struct Logs(&'static str);

#[async_trait]
impl Change<MemoryLedger> for Logs {
    async fn after(&self, tx: &mut MemoryTx, _row: &Row) -> Result<(), MemoryError> {
        tx.log(self.0);
        Ok(())
    }
}
