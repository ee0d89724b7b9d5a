//! Tests of the store over two scripted backends: the payload of a record says what happens to it.

mod any;
mod ending;
mod foreign;
mod forming;
mod selecting;
mod timing;
mod upgrading;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Barrier;

use super::*;
use crate::backend::{Custody, SecretBackend, Verdict};
use crate::backends::{DigestBackend, Digester, Memory};
use crate::clock::{Clock, ManualClock};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, VerifyError};
use crate::keys::MacKeys;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;
use crate::testkit::MockSecretBackend;

const GRACE: Duration = Duration::from_secs(60);

/// A digest backend and a remote one in one store.
pub(super) struct Fixture {
    pub(super) store: SecretStore,
    pub(super) clock: Arc<ManualClock>,
    digests: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Fixture {
    pub(super) async fn digest_primary() -> Self {
        Self::prepared(1, |digest, remote| SecretStore::builder(digest).accepts(remote)).await
    }

    pub(super) async fn with_remote_lanes(lanes: usize) -> Self {
        Self::prepared(lanes, |digest, remote| SecretStore::builder(digest).accepts(remote)).await
    }

    pub(super) async fn remote_primary() -> Self {
        Self::prepared(1, |digest, remote| SecretStore::builder(remote).accepts(digest)).await
    }

    /// With selector keys.
    pub(super) async fn selecting(keys: MacKeys) -> Self {
        Self::prepared(1, |digest, remote| SecretStore::builder(digest).accepts(remote).selector_keys(keys)).await
    }

    async fn prepared(lanes: usize, build: impl FnOnce(DigestBackend<Scripted>, Remote) -> SecretStoreBuilder) -> Self {
        let (digests, asked) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let digest = scripted(&digests);
        let info = BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend).with_lanes(lanes).with_pin_mark("sk_live_");
        let remote = Remote { info, asked: Arc::clone(&asked), pair: Barrier::new(2) };
        let store = build(digest, remote).clock(Arc::clone(&clock) as Arc<dyn Clock>).build().unwrap();
        store.prepare().await.unwrap();
        Self { store, clock, digests, asked }
    }

    /// How many digests have been computed.
    pub(super) fn digests(&self) -> usize {
        self.digests.load(Ordering::SeqCst)
    }

    /// How often the remote backend was asked.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn previous(&self, stored: StoredSecret) -> Previous {
        Previous { stored, selector: None, valid_until: self.clock.now() + GRACE }
    }

    pub(super) async fn verify(
        &self,
        secrets: impl Into<CredentialSecrets>,
        candidate: &str,
    ) -> Result<Verified, Option<ErrorKind>> {
        self.store.verify(&key(), &secrets.into(), &candidate.into()).await.map_err(|error| match error {
            VerifyError::Mismatch => None,
            VerifyError::Backend(error) => {
                assert_eq!(error.operation(), Some(Operation::Verify));
                assert!(error.backend().is_some());
                Some(error.kind())
            }
        })
    }
}

pub(super) fn key() -> CredentialKey {
    CredentialKey::parse("client", "credential").unwrap()
}

/// A record of the digest backend: of a secret, `old:` and a secret, or `corrupt`.
pub(super) fn digest(payload: &str) -> StoredSecret {
    StoredSecret::new(BackendId::BCRYPT, payload)
}

/// A record of the remote backend: of a secret, `warm:` and a secret, `down` with or without more, `gone`, `hangs` or `meets
/// another`. It names one version of its secret for ever when it has `sk_live_` in it.
pub(super) fn remote(payload: &str) -> StoredSecret {
    StoredSecret::new(BackendId::VAULT_KV2, payload)
}

/// Counts what it computes.
fn scripted(computed: &Arc<AtomicUsize>) -> DigestBackend<Scripted> {
    DigestBackend::new(Scripted {
        info: BackendInfo::new(BackendId::BCRYPT, Custody::Record).with_max_secret_len(72),
        computed: Arc::clone(computed),
    })
}

#[derive(Debug)]
struct Scripted {
    info: BackendInfo,
    computed: Arc<AtomicUsize>,
}

impl Digester for Scripted {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn digest(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<String> {
        self.computed.fetch_add(1, Ordering::SeqCst);
        Ok(secret.expose_secret().to_owned())
    }

    fn verify(&self, _key: &CredentialKey, digest: &str, candidate: &ClientSecret) -> Result<Verdict> {
        if digest == "corrupt" {
            return Err(Error::new(ErrorKind::Malformed, "corrupt"));
        }
        self.computed.fetch_add(1, Ordering::SeqCst);
        let (secret, verdict) = match digest.strip_prefix("old:") {
            Some(secret) => (secret, Verdict::MatchOutdated),
            None => (digest, Verdict::Match),
        };
        Ok(if secret == candidate.expose_secret() { verdict } else { Verdict::Mismatch })
    }
}

#[derive(Debug)]
struct Remote {
    info: BackendInfo,
    asked: Arc<AtomicUsize>,
    pair: Barrier,
}

#[async_trait]
impl SecretBackend for Remote {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn store(&self, _key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        Ok(remote(secret.expose_secret()))
    }

    async fn verify(&self, _key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match stored.payload() {
            record if record.starts_with("down") => Err(Error::new(ErrorKind::Unavailable, "down")),
            "gone" => Err(Error::new(ErrorKind::NotFound, "gone")),
            "hangs" => std::future::pending().await,
            "meets another" => {
                self.pair.wait().await;
                Ok(Verdict::Match)
            }
            secret if secret == candidate.expose_secret() => Ok(Verdict::Match),
            _ => Ok(Verdict::Mismatch),
        }
    }

    fn recall(&self, _key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        let remembered = stored.payload().strip_prefix("warm:")?;
        Some(if remembered == candidate.expose_secret() { Verdict::Match } else { Verdict::Mismatch })
    }

    async fn rotate(
        &self,
        _key: &CredentialKey,
        current: &StoredSecret,
        secret: &ClientSecret,
    ) -> Result<StoredSecret> {
        assert_eq!(current.backend(), &self.info.id);
        Ok(remote(secret.expose_secret()))
    }

    async fn revoke(&self, _key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if stored.payload() == "down" { Err(Error::new(ErrorKind::Unavailable, "down")) } else { Ok(()) }
    }

    async fn probe(&self) -> Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(Error::new(ErrorKind::Denied, "denied"))
    }
}

#[tokio::test]
async fn a_record_verifies_on_the_backend_that_wrote_it() {
    let fixture = Fixture::digest_primary().await;
    let current = |outdated| Ok(Verified { generation: Generation::Current, outdated, stale: false, selector: None });
    assert_eq!(fixture.verify(digest("a"), "a").await, current(false));
    assert_eq!(fixture.verify(digest("old:a"), "a").await, current(true));
    assert_eq!(fixture.verify(remote("a"), "a").await, current(true));
    assert_eq!(fixture.verify(remote("a"), "b").await, Err(None));
    assert_eq!(fixture.verify(digest("a"), "b").await, Err(None));
}

#[tokio::test]
async fn wrong_is_not_broken() {
    let fixture = Fixture::digest_primary().await;
    assert_eq!(fixture.verify(remote("down"), "a").await, Err(Some(ErrorKind::Unavailable)));
    assert_eq!(fixture.verify(remote("gone"), "a").await, Err(Some(ErrorKind::NotFound)));
    assert_eq!(fixture.verify(digest("corrupt"), "a").await, Err(Some(ErrorKind::Malformed)));
    let unknown = StoredSecret::new(BackendId::parse("keyring").unwrap(), "a");
    assert_eq!(fixture.verify(unknown.clone(), "a").await, Err(Some(ErrorKind::UnknownBackend)));
    let error = fixture.store.rotate(&key(), &unknown.clone().into(), Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownBackend, "no silent move away from what cannot be revoked");
    let error = fixture.store.revoke(&key(), &unknown.into()).await.unwrap_err();
    assert!(error.to_string().contains("`keyring`"), "{error}");
}

#[tokio::test]
async fn the_previous_record_counts_until_its_grace_ends() {
    let fixture = Fixture::digest_primary().await;
    let secrets =
        CredentialSecrets { current: digest("new"), selector: None, previous: Some(fixture.previous(digest("old"))) };
    let previous = Ok(Verified { generation: Generation::Previous, outdated: false, stale: false, selector: None });
    assert_eq!(fixture.verify(secrets.clone(), "old").await, previous);
    fixture.clock.advance(GRACE - Duration::from_nanos(1));
    assert_eq!(fixture.verify(secrets.clone(), "old").await, previous);
    fixture.clock.advance(Duration::from_nanos(1));
    assert_eq!(fixture.verify(secrets, "old").await, Err(None));
}

#[tokio::test]
async fn nothing_falls_through_an_outage() {
    let fixture = Fixture::digest_primary().await;
    let secrets =
        CredentialSecrets { current: remote("down"), selector: None, previous: Some(fixture.previous(digest("old"))) };
    assert_eq!(fixture.verify(secrets, "old").await, Err(Some(ErrorKind::Unavailable)));
}

#[tokio::test]
async fn what_is_gone_is_no_outage_and_hides_no_other_secret() {
    let fixture = Fixture::digest_primary().await;
    let with = |current: &StoredSecret, previous: &StoredSecret| CredentialSecrets {
        current: current.clone(),
        selector: None,
        previous: Some(fixture.previous(previous.clone())),
    };
    let (gone, down) = (remote("gone"), remote("down"));
    let generation = async |secrets: CredentialSecrets, candidate: &str| {
        let several = [(key(), secrets.clone()), (key(), digest("another").into())];
        let any = fixture.store.verify_any(&several, &candidate.into()).await.map(|any| any.verified.generation);
        let one = fixture.verify(secrets, candidate).await.map(|verified| verified.generation);
        let kind = |error| match error {
            VerifyError::Mismatch => None,
            VerifyError::Backend(error) => Some(error.kind()),
        };
        assert_eq!(one, any.map_err(kind));
        one
    };
    for (current, previous) in [(digest("a"), gone.clone()), (remote("a"), gone.clone())] {
        assert_eq!(generation(with(&current, &previous), "a").await, Ok(Generation::Current));
        assert_eq!(generation(with(&current, &previous), "wrong").await, Err(None), "a previous one that is gone");
    }
    for previous in [digest("b"), remote("b")] {
        assert_eq!(generation(with(&gone, &previous), "b").await, Ok(Generation::Previous));
        assert_eq!(
            generation(with(&gone, &previous), "wrong").await,
            Err(Some(ErrorKind::NotFound)),
            "it may be that one"
        );
    }
    assert_eq!(generation(with(&gone, &gone), "a").await, Err(Some(ErrorKind::NotFound)));
    assert_eq!(generation(with(&gone, &down), "a").await, Err(Some(ErrorKind::Unavailable)));
    assert_eq!(generation(with(&down, &gone), "a").await, Err(Some(ErrorKind::Unavailable)));
    assert_eq!(generation(with(&digest("a"), &down), "b").await, Err(Some(ErrorKind::Unavailable)));
}

#[tokio::test]
async fn every_way_to_fail_computes_one_digest() {
    for fixture in [Fixture::digest_primary().await, Fixture::remote_primary().await] {
        // The last three cannot be stored as a digest. Without one, a round trip to the remote backend would show.
        for candidate in ["wrong", &"a".repeat(72), &"a".repeat(73), "", "nul\0"] {
            let expired = CredentialSecrets {
                current: digest("a"),
                selector: None,
                previous: Some(Previous { stored: digest("b"), selector: None, valid_until: SystemTime::UNIX_EPOCH }),
            };
            for secrets in [digest("a").into(), remote("a").into(), expired] {
                let before = fixture.digests();
                assert_eq!(fixture.verify(secrets, candidate).await, Err(None));
                assert_eq!(fixture.digests() - before, 1);
            }
            let before = fixture.digests();
            fixture.store.verify_decoy(&candidate.into()).await.unwrap();
            assert_eq!(fixture.digests() - before, 1, "an unknown client");
        }
        let before = fixture.digests();
        assert!(fixture.verify(remote("a"), "a").await.is_ok());
        assert_eq!(fixture.digests() - before, 0, "a right secret elsewhere computes nothing");
    }
}

#[tokio::test]
async fn a_refused_decoy_is_told_unless_the_answer_is_known_without() {
    for known in [Ok(Verdict::Mismatch), Err(ErrorKind::Throttled)] {
        let mut digests = MockSecretBackend::new();
        digests.expect_info().return_const(BackendInfo::new(BackendId::BCRYPT, Custody::Record));
        digests.expect_store().returning(|_, _| Ok(digest("decoy")));
        digests.expect_verify().returning(move |_, _, _| known.map_err(|kind| Error::new(kind, "")));
        let info = BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend);
        let other = Remote { info, asked: Arc::default(), pair: Barrier::new(2) };
        let store = SecretStore::builder(digests).accepts(other).build().unwrap();
        let unknown = store.verify_any(&[], &"a".into()).await.unwrap_err();
        assert_eq!(matches!(unknown, VerifyError::Backend(_)), known.is_err());
        assert_eq!(store.verify_decoy(&"a".into()).await.map_err(|error| error.kind()), known.map(drop));
        let decided = store.verify(&key(), &remote("b").into(), &"a".into()).await.unwrap_err();
        assert!(matches!(decided, VerifyError::Mismatch));
    }
}

#[tokio::test]
async fn without_a_digest_backend_the_decoy_asks_the_primary() {
    let asked = Arc::<AtomicUsize>::default();
    let info = BackendInfo::new(BackendId::VAULT_KV2, Custody::Backend);
    let store =
        SecretStore::builder(Remote { info, asked: Arc::clone(&asked), pair: Barrier::new(2) }).build().unwrap();
    store.prepare().await.unwrap();
    store.verify_decoy(&"a".into()).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn rotation_stays_on_the_primary_or_moves_there() {
    for fixture in [Fixture::digest_primary().await, Fixture::remote_primary().await] {
        for current in [digest("a"), remote("a")] {
            let rotated = fixture.store.rotate(&key(), &current.clone().into(), GRACE).await.unwrap();
            assert_eq!(rotated.stored.backend(), &fixture.store.primary().id);
            assert_eq!(rotated.previous, Some(fixture.previous(current)));
            let secrets = CredentialSecrets { current: rotated.stored, selector: None, previous: rotated.previous };
            let proof = fixture.store.verify(&key(), &secrets, &rotated.secret).await.unwrap();
            assert_eq!(
                proof,
                Verified { generation: Generation::Current, outdated: false, stale: false, selector: None }
            );
            assert_eq!(fixture.verify(secrets, "a").await.unwrap().generation, Generation::Previous);
        }
    }
}

#[tokio::test]
async fn no_grace_leaves_no_previous_record_and_an_endless_one_is_refused() {
    let fixture = Fixture::digest_primary().await;
    assert_eq!(fixture.store.rotate(&key(), &digest("a").into(), Duration::ZERO).await.unwrap().previous, None);
    let error = fixture.store.rotate(&key(), &digest("a").into(), Duration::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn both_records_are_revoked_even_when_one_fails() {
    let fixture = Fixture::digest_primary().await;
    let secrets =
        CredentialSecrets { current: remote("down"), selector: None, previous: Some(fixture.previous(remote("a"))) };
    let error = fixture.store.revoke(&key(), &secrets).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unavailable, Some(Operation::Revoke)));
    assert_eq!(fixture.asked(), 2);
    let unknown = fixture.previous(StoredSecret::new(BackendId::MEMORY, "a"));
    let both_fail = CredentialSecrets { current: remote("down"), selector: None, previous: Some(unknown) };
    let first = fixture.store.revoke(&key(), &both_fail).await.unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn probe_names_every_backend() {
    let fixture = Fixture::digest_primary().await;
    let answers = fixture.store.probe().await;
    let shown: Vec<_> =
        answers.iter().map(|(id, result)| (id.as_str(), result.as_ref().err().map(Error::kind))).collect();
    assert_eq!(shown, [("bcrypt", None), ("vault-kv2", Some(ErrorKind::Denied))]);
}

#[tokio::test]
async fn debug_shows_backends_and_no_secret() {
    let store = SecretStore::builder(Memory::new()).build().unwrap();
    let issued = store.issue(&key()).await.unwrap();
    let shown = format!("{store:?} {store:#?} {issued:?}");
    assert!(shown.contains("Memory"));
    assert!(!shown.contains(issued.secret.expose_secret()));
}
