//! Faults on order.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::{BackendInfo, Each, Held, Pointer, Recall, SecretBackend, SharedBackend, Verdict};
use crate::credential::{ClientId, CredentialKey};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::layer::Layer;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call waits this long, then goes through. With tokio's paused clock it takes no time.
    Delay(Duration),
    /// The call never reaches the backend and fails with this kind.
    Fail(ErrorKind),
    /// The call never reaches the backend and never ends.
    Hang,
    /// The call takes effect, and its answer is lost: the caller sees `Unavailable`.
    LoseAnswer,
}

/// Lets calls fail as scripted; without a script it changes nothing.
///
/// Clones share their script, so a test keeps one and hands the other to [`stack`](crate::stack).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use agentidp_secrets::testkit::broken::BrokenBackend;
/// use agentidp_secrets::testkit::{Fault, FaultLayer};
/// use agentidp_secrets::{Custody, ErrorKind, Operation, SecretBackend, stack};
///
/// let faults = FaultLayer::new();
/// let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults]);
/// faults.once(Operation::Probe, Fault::Fail(ErrorKind::Unavailable));
/// assert!(backend.probe().await.is_err());
/// assert!(backend.probe().await.is_ok());
/// assert_eq!(faults.calls(Operation::Probe), 2);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct FaultLayer {
    scripts: Arc<Mutex<HashMap<Operation, Script>>>,
}

#[derive(Debug, Default)]
struct Script {
    once: VecDeque<Fault>,
    always: Option<Fault>,
    calls: usize,
}

impl FaultLayer {
    /// Without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Plays `fault` on the next call of `operation` for which none is scripted yet.
    pub fn once(&self, operation: Operation, fault: Fault) {
        self.scripts().entry(operation).or_default().once.push_back(fault);
    }

    /// Plays `fault` on every call of `operation` that [`once`](Self::once) says nothing about, until
    /// [`heal`](Self::heal).
    pub fn always(&self, operation: Operation, fault: Fault) {
        self.scripts().entry(operation).or_default().always = Some(fault);
    }

    /// Plays `fault` on every call of every operation, until [`heal`](Self::heal).
    pub fn on_everything(&self, fault: Fault) {
        use Operation::{Pin, Probe, Revoke, Rotate, Store, Verify};
        for operation in [Pin, Probe, Revoke, Rotate, Store, Verify] {
            self.always(operation, fault);
        }
    }

    /// Drops every fault still scripted.
    pub fn heal(&self) {
        for script in self.scripts().values_mut() {
            script.once.clear();
            script.always = None;
        }
    }

    /// How many calls of `operation` came this far, the failed ones included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> usize {
        self.scripts().get(&operation).map_or(0, |script| script.calls)
    }

    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut scripts = self.scripts();
        let script = scripts.entry(operation).or_default();
        script.calls += 1;
        script.once.pop_front().or(script.always)
    }

    fn scripts(&self) -> MutexGuard<'_, HashMap<Operation, Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layer for FaultLayer {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Faulty { inner, faults: self.clone() })
    }
}

#[derive(Debug)]
struct Faulty {
    inner: SharedBackend,
    faults: FaultLayer,
}

impl Faulty {
    async fn play<T: Send>(&self, operation: Operation, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fail = |kind| {
            Err(Error::new(kind, "a scripted fault").with_operation(operation).with_backend(self.info().id.clone()))
        };
        match self.faults.next(operation) {
            None => call.await,
            Some(Fault::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                call.await
            }
            Some(Fault::Fail(kind)) => fail(kind),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::LoseAnswer) => {
                let _lost = call.await;
                fail(ErrorKind::Unavailable)
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Faulty {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    fn place(&self, key: &CredentialKey) -> Option<StoredSecret> {
        self.inner.place(key)
    }

    fn points_to(&self, stored: &StoredSecret) -> Option<Pointer> {
        self.inner.points_to(stored)
    }

    fn recognises(&self, text: &str) -> bool {
        self.inner.recognises(text)
    }

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> Result<StoredSecret> {
        self.play(Operation::Store, self.inner.store(key, secret)).await
    }

    async fn verify(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Result<Verdict> {
        self.play(Operation::Verify, self.inner.verify(key, stored, candidate)).await
    }

    /// Nothing, so that every verification meets its fault.
    fn recall(&self, _: &CredentialKey, _: &StoredSecret, _: &ClientSecret) -> Option<Verdict> {
        None
    }

    fn recall_for<'a>(&'a self, _client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        Box::new(Each { backend: self, candidate })
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<StoredSecret> {
        self.play(Operation::Pin, self.inner.pin(key, stored)).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> Result<Held> {
        self.play(Operation::Pin, self.inner.inspect(key, version)).await
    }

    async fn overwrite(&self, key: &CredentialKey, latest: u64, secret: Option<&ClientSecret>) -> Result<StoredSecret> {
        self.play(Operation::Rotate, self.inner.overwrite(key, latest, secret)).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<Option<ClientSecret>> {
        self.play(Operation::Reveal, self.inner.reveal(key, stored)).await
    }

    async fn rotate(&self, key: &CredentialKey, current: &StoredSecret, secret: &ClientSecret) -> Result<StoredSecret> {
        self.play(Operation::Rotate, self.inner.rotate(key, current, secret)).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> Result<()> {
        self.play(Operation::Revoke, self.inner.revoke(key, stored)).await
    }

    async fn forget(&self, key: &CredentialKey) -> Result<()> {
        self.play(Operation::Revoke, self.inner.forget(key)).await
    }

    async fn probe(&self) -> Result<()> {
        self.play(Operation::Probe, self.inner.probe()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Custody;
    use crate::layer::stack;
    use crate::testkit::broken::BrokenBackend;
    use crate::testkit::fresh_key;

    #[tokio::test]
    async fn a_lost_answer_has_taken_effect() {
        let faults = FaultLayer::new();
        let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults]);
        let (key, secret) = (fresh_key(), ClientSecret::from("secret"));
        faults.once(Operation::Store, Fault::LoseAnswer);
        assert_eq!(backend.store(&key, &secret).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(backend.store(&key, &secret).await.unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn faults_come_in_order_and_end_with_healing() {
        let faults = FaultLayer::new();
        let backend = stack(BrokenBackend::sound(Custody::Backend), &[&faults]);
        faults.on_everything(Fault::Fail(ErrorKind::Denied));
        faults.once(Operation::Probe, Fault::Fail(ErrorKind::Throttled));
        assert_eq!(backend.probe().await.unwrap_err().kind(), ErrorKind::Throttled);
        assert_eq!(backend.probe().await.unwrap_err().kind(), ErrorKind::Denied);
        faults.heal();
        backend.probe().await.unwrap();
    }
}
