//! The end of a process at any of its calls to the database or to Vault.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agentidp_secrets::lifecycle::{CommitError, Entry, Known, Note, Row};
use agentidp_secrets::{
    BackendInfo, ClientId, ClientSecret, CredentialKey, Held, Layer, Pointer, Recall, Result as StoreResult,
    SecretBackend, SharedBackend, StoredSecret, Verdict,
};
use agentidp_server::app::App;
use agentidp_server::domain::idempotency::Claim;
use agentidp_server::domain::{Agent, AgentStatus, AuditEvent, Credential, CredentialStatus, Page, Paged, Timestamp};
use agentidp_server::repo::{
    AgentFilter, AgentRepo, ChangeRepo, ChangeTx, Claimed, CreateAgent, CredentialRepo, IdempotencyRepo, RepoError,
    Result,
};
use async_trait::async_trait;
use tokio::sync::Notify;
use uuid::Uuid;

/// Where a process dies: at the call with this number from now, before it reached the other side or after it took effect
/// there. Between two calls nothing happens that outlives the process, so these are all the places there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) at: usize,
    pub(super) after: bool,
}

/// What a process is bound to. A dead one does nothing any more: its calls never end.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    death: Mutex<Option<Death>>,
    dead: AtomicBool,
    under_way: AtomicUsize,
    changed: Notify,
}

impl Fate {
    /// Puts the fate between an app and its database. Vault is put behind [`layer`](Layer::layer).
    pub(super) fn bind(&self, app: &mut App) {
        let agents = Mortal { inner: Arc::clone(&app.repos.agents), fate: self.clone() };
        let credentials = Mortal { inner: Arc::clone(&app.repos.credentials), fate: self.clone() };
        let idempotency = Mortal { inner: Arc::clone(&app.repos.idempotency), fate: self.clone() };
        let changes = Mortal { inner: Arc::clone(&app.repos.changes), fate: self.clone() };
        app.repos.agents = Arc::new(agents);
        app.repos.credentials = Arc::new(credentials);
        app.repos.idempotency = Arc::new(idempotency);
        app.repos.changes = Arc::new(changes);
    }

    pub(super) fn set(&self, death: Option<Death>) {
        *self.0.death.lock().unwrap() = death;
    }

    /// Ends when the process does.
    pub(super) async fn death(&self) {
        while !self.0.dead.load(Ordering::SeqCst) {
            self.0.changed.notified().await;
        }
    }

    /// Waits until the process has nothing under way, background work included. What a dead one had begun takes effect yet.
    pub(super) async fn rest(&self) {
        loop {
            // A task that was just spawned makes its first call meanwhile.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            if self.0.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            self.0.changed.notified().await;
        }
    }

    /// A call.
    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        match self.try_call(call).await {
            Some(answer) => answer,
            None => self.die().await,
        }
    }

    /// A call; nothing where the process dies by it, or is dead.
    async fn try_call<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        if self.0.dead.load(Ordering::SeqCst) {
            return None;
        }
        let due = self.due();
        if due.is_some_and(|death| !death.after) {
            return None;
        }
        let under_way = UnderWay::begin(&self.0);
        let answer = call.await;
        drop(under_way);
        if due.is_some() || self.0.dead.load(Ordering::SeqCst) {
            return None;
        }
        Some(answer)
    }

    /// Whether this call is the last one.
    fn due(&self) -> Option<Death> {
        let mut death = self.0.death.lock().unwrap();
        match death.as_mut() {
            Some(due) if due.at == 0 => death.take(),
            Some(later) => {
                later.at -= 1;
                None
            }
            None => None,
        }
    }

    async fn die<T>(&self) -> T {
        self.0.dead.store(true, Ordering::SeqCst);
        self.0.changed.notify_one();
        pending().await
    }
}

/// Also over when the caller loses interest, as one does that asked several records and has its answer.
struct UnderWay<'a>(&'a State);

impl<'a> UnderWay<'a> {
    fn begin(state: &'a State) -> Self {
        state.under_way.fetch_add(1, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

impl Layer for Fate {
    fn layer(&self, inner: SharedBackend) -> SharedBackend {
        Arc::new(Mortal { inner, fate: self.clone() })
    }
}

#[derive(Debug)]
struct Mortal<T> {
    inner: T,
    fate: Fate,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SecretBackend for Mortal<SharedBackend> {
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
        self.fate.call(self.inner.store(key, secret)).await
    }

    async fn verify(
        &self,
        key: &CredentialKey,
        stored: &StoredSecret,
        candidate: &ClientSecret,
    ) -> StoreResult<Verdict> {
        self.fate.call(self.inner.verify(key, stored, candidate)).await
    }

    fn recall(&self, key: &CredentialKey, stored: &StoredSecret, candidate: &ClientSecret) -> Option<Verdict> {
        self.inner.recall(key, stored, candidate)
    }

    fn recall_for<'a>(&'a self, client: &'a ClientId, candidate: &'a ClientSecret) -> Box<dyn Recall + 'a> {
        self.inner.recall_for(client, candidate)
    }

    async fn pin(&self, key: &CredentialKey, stored: &StoredSecret) -> StoreResult<StoredSecret> {
        self.fate.call(self.inner.pin(key, stored)).await
    }

    async fn inspect(&self, key: &CredentialKey, version: Option<u64>) -> StoreResult<Held> {
        self.fate.call(self.inner.inspect(key, version)).await
    }

    async fn overwrite(
        &self,
        key: &CredentialKey,
        latest: u64,
        secret: Option<&ClientSecret>,
    ) -> StoreResult<StoredSecret> {
        self.fate.call(self.inner.overwrite(key, latest, secret)).await
    }

    async fn reveal(&self, key: &CredentialKey, stored: &StoredSecret) -> StoreResult<Option<ClientSecret>> {
        self.fate.call(self.inner.reveal(key, stored)).await
    }

    async fn rotate(
        &self,
        key: &CredentialKey,
        current: &StoredSecret,
        secret: &ClientSecret,
    ) -> StoreResult<StoredSecret> {
        self.fate.call(self.inner.rotate(key, current, secret)).await
    }

    async fn revoke(&self, key: &CredentialKey, stored: &StoredSecret) -> StoreResult<()> {
        self.fate.call(self.inner.revoke(key, stored)).await
    }

    async fn forget(&self, key: &CredentialKey) -> StoreResult<()> {
        self.fate.call(self.inner.forget(key)).await
    }

    async fn probe(&self) -> StoreResult<()> {
        self.fate.call(self.inner.probe()).await
    }
}

#[async_trait]
impl AgentRepo for Mortal<Arc<dyn AgentRepo>> {
    async fn create(&self, agent: &Agent, limit: Option<u64>, event: &AuditEvent) -> Result<CreateAgent> {
        self.fate.call(self.inner.create(agent, limit, event)).await
    }

    async fn find(&self, agent_id: Uuid) -> Result<Option<Agent>> {
        self.fate.call(self.inner.find(agent_id)).await
    }

    async fn list(&self, filter: &AgentFilter, page: Page) -> Result<Paged<Agent>> {
        self.fate.call(self.inner.list(filter, page)).await
    }
}

#[async_trait]
impl CredentialRepo for Mortal<Arc<dyn CredentialRepo>> {
    async fn find(&self, client_id: Uuid, credential_id: Uuid) -> Result<Option<Credential>> {
        self.fate.call(self.inner.find(client_id, credential_id)).await
    }

    async fn list(&self, client_id: Uuid, status: Option<CredentialStatus>, page: Page) -> Result<Paged<Credential>> {
        self.fate.call(self.inner.list(client_id, status, page)).await
    }

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Known>>> {
        self.fate.call(self.inner.authenticate(client_id, now)).await
    }
}

#[async_trait]
impl IdempotencyRepo for Mortal<Arc<dyn IdempotencyRepo>> {
    async fn claim(&self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
        self.fate.call(self.inner.claim(claim, now)).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        self.fate.call(self.inner.release(claim)).await
    }

    async fn prune(&self, now: Timestamp) -> Result<u64> {
        self.fate.call(self.inner.prune(now)).await
    }
}

#[async_trait]
impl ChangeRepo for Mortal<Arc<dyn ChangeRepo>> {
    async fn begin(&self) -> Result<Box<dyn ChangeTx>> {
        let inner = self.fate.call(self.inner.begin()).await?;
        Ok(Box::new(MortalTx { inner: Some(inner), fate: self.fate.clone() }))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<(Uuid, Uuid)>> {
        self.fate.call(self.inner.due(now, limit)).await
    }

    async fn pending(&self) -> Result<u64> {
        self.fate.call(self.inner.pending()).await
    }

    async fn used(&self, row: &Row) -> Result<bool> {
        self.fate.call(self.inner.used(row)).await
    }
}

/// A transaction, which ends with its process.
struct MortalTx {
    inner: Option<Box<dyn ChangeTx>>,
    fate: Fate,
}

/// A call within a transaction.
macro_rules! call {
    ($this:ident, $tx:ident => $call:expr) => {{
        let Some(mut $tx) = $this.inner.take() else { return pending().await };
        match $this.fate.try_call($call).await {
            Some(answer) => {
                $this.inner = Some($tx);
                answer
            }
            None => {
                drop($tx);
                $this.fate.die().await
            }
        }
    }};
}

#[async_trait]
impl ChangeTx for MortalTx {
    async fn commit(mut self: Box<Self>) -> std::result::Result<(), CommitError<RepoError>> {
        let Some(inner) = self.inner.take() else { return pending().await };
        self.fate.call(inner.commit()).await
    }

    async fn lock_agent(&mut self, agent_id: Uuid) -> Result<Option<(AgentStatus, Timestamp)>> {
        call!(self, tx => tx.lock_agent(agent_id))
    }

    async fn lock(&mut self, client_id: Uuid, credential_id: Uuid) -> Result<Entry> {
        call!(self, tx => tx.lock(client_id, credential_id))
    }

    async fn insert(&mut self, row: &Row, created_at: Timestamp) -> Result<()> {
        call!(self, tx => tx.insert(row, created_at))
    }

    async fn replace(&mut self, row: &Row) -> Result<()> {
        call!(self, tx => tx.replace(row))
    }

    async fn end(&mut self, client_id: Uuid, credential_id: Uuid, now: Timestamp) -> Result<()> {
        call!(self, tx => tx.end(client_id, credential_id, now))
    }

    async fn note(&mut self, client_id: Uuid, credential_id: Uuid, note: &Note, now: Timestamp) -> Result<()> {
        call!(self, tx => tx.note(client_id, credential_id, note, now))
    }

    async fn finish(
        &mut self,
        client_id: Uuid,
        credential_id: Uuid,
        expires_at: Option<Timestamp>,
        awaits_use: bool,
    ) -> Result<Credential> {
        call!(self, tx => tx.finish(client_id, credential_id, expires_at, awaits_use))
    }

    async fn rotate_usage(&mut self, credential_id: Uuid, now: std::time::SystemTime) -> Result<()> {
        call!(self, tx => tx.rotate_usage(credential_id, now))
    }

    async fn update_agent(&mut self, agent: &Agent) -> Result<()> {
        call!(self, tx => tx.update_agent(agent))
    }

    async fn active_credentials(&mut self, agent_id: Uuid) -> Result<Vec<Uuid>> {
        call!(self, tx => tx.active_credentials(agent_id))
    }

    async fn append(&mut self, event: &AuditEvent) -> Result<()> {
        call!(self, tx => tx.append(event))
    }

    async fn carry_out(&mut self, claim: &Claim, row: &Credential) -> Result<bool> {
        call!(self, tx => tx.carry_out(claim, row))
    }

    async fn carry_out_anew(&mut self, claim: &Claim, before: &Credential, after: &Credential) -> Result<bool> {
        call!(self, tx => tx.carry_out_anew(claim, before, after))
    }
}
