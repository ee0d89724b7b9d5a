//! Something that happens at one point of a login's way: each wait of it can be chosen.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use agentidp_secrets::lifecycle::{AsOf, ClientRows, Freshness, Known};
use agentidp_secrets::{
    BackendInfo, ClientSecret, CredentialKey, Layer, Pointer, Result as StoreResult, SecretBackend, SharedBackend,
    StoredSecret, Verdict,
};
use agentidp_server::domain::{AuditEvent, Credential, CredentialStatus, Page, Paged, Timestamp};
use agentidp_server::repo::{AuditFilter, AuditRepo, Bearer, CredentialRepo, RepoError, Repos, Result, TokenRepo};
use async_trait::async_trait;
use uuid::Uuid;

type Happening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A wait on a login's way, in the order of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    BeforeRows,
    AfterRows,
    BeforeVerify,
    AfterVerify,
    BeforeAudit,
    BeforeAuditCommit,
    AfterAuditCommit,
    AfterAudit,
    BeforeLook,
    /// The last look has read its rows, and has not returned them.
    InLook,
}

/// What happens at which point, once.
#[derive(Clone, Default)]
pub(crate) struct Barrier(Arc<State>);

#[derive(Default)]
struct State {
    next: Mutex<Option<(Point, Happening)>>,
    outage: AtomicBool,
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl Barrier {
    /// Once, at the next login that comes to this point, which waits for it.
    pub(crate) fn at(&self, point: Point, happens: impl Future<Output = ()> + Send + 'static) {
        *self.0.next.lock().unwrap() = Some((point, Box::pin(happens)));
    }

    /// Whether what was to happen has begun.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.next.lock().unwrap().is_none()
    }

    /// From now on rows cannot be read, or can again.
    pub(crate) fn outage(&self, outage: bool) {
        self.0.outage.store(outage, Ordering::SeqCst);
    }

    async fn reach(&self, point: Point) {
        let happens = self.0.next.lock().unwrap().take_if(|(at, _)| *at == point);
        if let Some((_, happens)) = happens {
            happens.await;
        }
    }

    /// Below the group commit.
    pub(crate) fn in_the_commit(&self, repos: Repos) -> Repos {
        Repos { audit: Arc::new(Guarded { inner: repos.audit, barrier: self.clone() }), ..repos }
    }

    /// Above all else.
    pub(crate) fn around(&self, repos: Repos) -> Repos {
        Repos {
            credentials: Arc::new(Guarded { inner: repos.credentials, barrier: self.clone() }),
            tokens: Arc::new(Guarded { inner: repos.tokens, barrier: self.clone() }),
            ..repos
        }
    }
}

impl Layer for Barrier {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Guarded { inner, barrier: self.clone() })
    }
}

#[derive(Debug)]
struct Guarded<T> {
    inner: T,
    barrier: Barrier,
}

#[async_trait]
impl SecretBackend for Guarded<SharedBackend> {
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

    async fn store(&self, key: &CredentialKey, secret: &ClientSecret) -> StoreResult<StoredSecret> {
        self.inner.store(key, secret).await
    }

    async fn verify(
        &self,
        key: &CredentialKey,
        stored: &StoredSecret,
        candidate: &ClientSecret,
    ) -> StoreResult<Verdict> {
        self.barrier.reach(Point::BeforeVerify).await;
        let verdict = self.inner.verify(key, stored, candidate).await;
        self.barrier.reach(Point::AfterVerify).await;
        verdict
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, stored, candidate)
    }

    async fn rotate(
        &self,
        key: &CredentialKey,
        current: &StoredSecret,
        secret: &ClientSecret,
    ) -> StoreResult<StoredSecret> {
        self.inner.rotate(key, current, secret).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> StoreResult<()> {
        self.inner.revoke(key, stored).await
    }

    async fn probe(&self) -> StoreResult<()> {
        self.inner.probe().await
    }
}

#[async_trait]
impl CredentialRepo for Guarded<Arc<dyn CredentialRepo>> {
    async fn rows(&self, client_id: Uuid, now: Timestamp, freshness: Freshness) -> Result<ClientRows> {
        let look = matches!(freshness, Freshness::Latest);
        self.barrier.reach(if look { Point::BeforeLook } else { Point::BeforeRows }).await;
        if self.barrier.0.outage.load(Ordering::SeqCst) {
            return Err(RepoError::Unavailable { during: "a scripted outage", source: "gone".into() });
        }
        let rows = self.inner.rows(client_id, now, freshness).await;
        self.barrier.reach(if look { Point::InLook } else { Point::AfterRows }).await;
        rows
    }

    fn is_current(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.inner.is_current(client_id, as_of)
    }

    fn is_changed(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.inner.is_changed(client_id, as_of)
    }

    async fn find(&self, client_id: Uuid, credential_id: Uuid) -> Result<Option<Credential>> {
        self.inner.find(client_id, credential_id).await
    }

    async fn list(&self, client_id: Uuid, status: Option<CredentialStatus>, page: Page) -> Result<Paged<Credential>> {
        self.inner.list(client_id, status, page).await
    }

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Known>>> {
        self.inner.authenticate(client_id, now).await
    }
}

#[async_trait]
impl TokenRepo for Guarded<Arc<dyn TokenRepo>> {
    async fn issued(&self, client_id: Uuid, monthly_limit: Option<u64>, event: &AuditEvent) -> Result<bool> {
        self.barrier.reach(Point::BeforeAudit).await;
        let issued = self.inner.issued(client_id, monthly_limit, event).await;
        self.barrier.reach(Point::AfterAudit).await;
        issued
    }

    async fn bearer(&self, token_id: Uuid, agent_id: Option<Uuid>, credential_id: Option<Uuid>) -> Result<Bearer> {
        self.inner.bearer(token_id, agent_id, credential_id).await
    }

    async fn revoke(&self, token_id: Uuid, expires_at: Timestamp, event: &AuditEvent) -> Result<()> {
        self.inner.revoke(token_id, expires_at, event).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64> {
        self.inner.prune(now).await
    }
}

#[async_trait]
impl AuditRepo for Guarded<Arc<dyn AuditRepo>> {
    async fn append(&self, event: &AuditEvent) -> Result<()> {
        self.inner.append(event).await
    }

    async fn append_all(&self, events: &[AuditEvent]) -> Result<()> {
        self.barrier.reach(Point::BeforeAuditCommit).await;
        let appended = self.inner.append_all(events).await;
        self.barrier.reach(Point::AfterAuditCommit).await;
        appended
    }

    async fn pretend(&self) -> Result<()> {
        self.inner.pretend().await
    }

    async fn find(&self, event_id: Uuid, not_before: Timestamp) -> Result<Option<AuditEvent>> {
        self.inner.find(event_id, not_before).await
    }

    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditEvent>> {
        self.inner.list(filter, page).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64> {
        self.inner.prune(before).await
    }
}
