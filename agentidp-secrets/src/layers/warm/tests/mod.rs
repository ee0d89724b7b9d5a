//! What is decided without the backend, what is not, and what is never brought back.

mod deciding;
mod forgetting;
mod interleavings;
mod keeping_the_contract;
mod lifetimes;
mod many;
mod recalling;
mod telling_apart;
mod while_cold;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::backend::{BackendInfo, Custody, SecretBackend, Verdict};
use crate::clock::ManualClock;
use crate::credential::CredentialKey;
use crate::layer::stack;
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::testkit::broken::BrokenBackend;
use crate::testkit::{BackendHarness, MockSecretBackend, assert_redacted};

const CUSTODIES: [Custody; 2] = [Custody::Record, Custody::Backend];

/// A layer around a backend that counts what it is asked, and gives its answers when it is let.
struct Fixture {
    clock: Arc<ManualClock>,
    layer: WarmLayer,
    inner: Arc<Counting>,
    warm: SharedBackend,
    key: CredentialKey,
    secret: ClientSecret,
    stored: StoredSecret,
}

impl Fixture {
    async fn of(custody: Custody) -> Self {
        Self::with(BrokenBackend::sound(custody), WarmLayer::builder()).await
    }

    async fn with(backend: impl SecretBackend, settings: WarmLayerBuilder) -> Self {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
        let layer = settings.clock(Arc::clone(&clock) as _).build().unwrap();
        let inner = Arc::new(Counting::around(backend));
        let warm = stack(Arc::clone(&inner), &[&layer]);
        let (key, secret) = (key("client", "credential"), ClientSecret::from("right"));
        let stored = inner.store(&key, &secret).await.unwrap();
        Self { clock, layer, inner, warm, key, secret, stored }
    }

    async fn verify(&self, candidate: &str) -> Result<Verdict, ErrorKind> {
        let candidate = ClientSecret::from(candidate);
        self.warm.verify(&self.key, &self.stored, &candidate).await.map_err(|error| error.kind())
    }

    fn asked(&self) -> usize {
        self.inner.asked.load(Ordering::SeqCst)
    }
}

/// Counts verifications; its answers are as of when it was asked, and wait for the gate.
#[derive(Debug)]
struct Counting {
    inner: SharedBackend,
    asked: AtomicUsize,
    gate: Semaphore,
    down: std::sync::atomic::AtomicBool,
    outdated: std::sync::atomic::AtomicBool,
}

impl Counting {
    const OPEN: usize = Semaphore::MAX_PERMITS >> 1;

    fn around(inner: impl SecretBackend) -> Self {
        let gate = Semaphore::new(Self::OPEN);
        Self { inner: Arc::new(inner), asked: AtomicUsize::new(0), gate, down: false.into(), outdated: false.into() }
    }

    fn close(&self) {
        self.gate.forget_permits(Self::OPEN);
    }

    fn open(&self) {
        self.gate.add_permits(Self::OPEN);
    }

    fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
}

#[async_trait]
impl SecretBackend for Counting {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.inner.store(key, secret).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = if self.down.load(Ordering::SeqCst) {
            Err(Error::new(ErrorKind::Unavailable, "down").with_source(std::io::Error::other("refused")))
        } else {
            self.inner.verify(key, stored, candidate).await
        };
        let _open = self.gate.acquire().await;
        match answer {
            Ok(Verdict::Match) if self.outdated.load(Ordering::SeqCst) => Ok(Verdict::MatchOutdated),
            answer => answer,
        }
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        let rotated = self.inner.rotate(key, current, secret).await;
        let _open = self.gate.acquire().await;
        rotated
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.inner.revoke(key, stored).await
    }

    async fn probe(&self) -> Result<()> {
        self.inner.probe().await
    }
}

fn key(client: &str, credential: &str) -> CredentialKey {
    CredentialKey::parse(client, credential).unwrap()
}
