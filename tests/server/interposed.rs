//! Something that happens just before a credential's commit, to its answer, or just after its rows were read.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use agentidp_secrets::lifecycle::{AsOf, ClientRows, CommitError, Entry, Freshness, Known, Note, Row};
use agentidp_server::app::App;
use agentidp_server::domain::idempotency::Claim;
use agentidp_server::domain::{Agent, AgentStatus, AuditEvent, Credential, CredentialStatus, Page, Paged, Timestamp};
use agentidp_server::repo::{ChangeRepo, ChangeTx, CredentialRepo, RepoError, Result};
use async_trait::async_trait;
use uuid::Uuid;

type Happening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What happens just before a commit, or to its answer.
pub(crate) enum Before {
    /// The database is gone: the commit does not take place, and nobody is told.
    Outage,
    /// Somebody else does this, and the transaction begins after it.
    Run(Happening),
    /// Nothing: the commit takes place. Its answer is lost.
    LostAnswer,
}

/// Repositories whose next commits of credentials meet what is scripted.
#[derive(Clone)]
pub(crate) struct Interposed {
    credentials: Arc<dyn CredentialRepo>,
    changes: Arc<dyn ChangeRepo>,
    /// Of commits with an event: a new credential, or a rotation.
    script: Arc<Mutex<VecDeque<Before>>>,
    /// Of those without: an upgrade, a pinned version.
    upgrades: Arc<Mutex<VecDeque<Before>>>,
    after_a_read: Arc<Mutex<Option<Happening>>>,
    after_an_open: Arc<Mutex<Option<Happening>>>,
    /// A write was opened, so the next transaction is its commit.
    is_open: Arc<AtomicBool>,
}

impl Interposed {
    /// Puts itself into `app`.
    pub(crate) fn into_app(app: &mut App) -> Self {
        let this = Self {
            credentials: Arc::clone(&app.repos.credentials),
            changes: Arc::clone(&app.repos.changes),
            script: Arc::default(),
            upgrades: Arc::default(),
            after_a_read: Arc::default(),
            after_an_open: Arc::default(),
            is_open: Arc::default(),
        };
        app.repos.credentials = Arc::new(this.clone());
        app.repos.changes = Arc::new(this.clone());
        this
    }

    pub(crate) fn next(&self, before: Before) {
        self.script.lock().unwrap().push_back(before);
    }

    /// The same of upgrades, which have a script of their own.
    pub(crate) fn next_upgrade(&self, before: Before) {
        self.upgrades.lock().unwrap().push_back(before);
    }

    pub(crate) fn run(&self, before: impl Future<Output = ()> + Send + 'static) {
        self.next(Before::Run(Box::pin(before)));
    }

    /// Once, between the next login's reading its rows and its going on.
    pub(crate) fn after_a_read(&self, happens: impl Future<Output = ()> + Send + 'static) {
        *self.after_a_read.lock().unwrap() = Some(Box::pin(happens));
    }

    /// Once, right after the next sequence has opened its write.
    pub(crate) fn after_an_open(&self, happens: impl Future<Output = ()> + Send + 'static) {
        *self.after_an_open.lock().unwrap() = Some(Box::pin(happens));
    }
}

fn gone() -> RepoError {
    RepoError::Unavailable { during: "a scripted outage", source: "gone".into() }
}

#[async_trait]
impl CredentialRepo for Interposed {
    async fn find(&self, client_id: Uuid, credential_id: Uuid) -> Result<Option<Credential>> {
        self.credentials.find(client_id, credential_id).await
    }

    async fn list(&self, client_id: Uuid, status: Option<CredentialStatus>, page: Page) -> Result<Paged<Credential>> {
        self.credentials.list(client_id, status, page).await
    }

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Known>>> {
        self.credentials.authenticate(client_id, now).await
    }

    async fn rows(&self, client_id: Uuid, now: Timestamp, freshness: Freshness) -> Result<ClientRows> {
        let found = self.credentials.rows(client_id, now, freshness).await;
        let happens = self.after_a_read.lock().unwrap().take();
        if let Some(happens) = happens {
            happens.await;
        }
        found
    }

    fn is_current(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.credentials.is_current(client_id, as_of)
    }

    fn is_changed(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.credentials.is_changed(client_id, as_of)
    }
}

#[async_trait]
impl ChangeRepo for Interposed {
    async fn begin(&self) -> Result<Box<dyn ChangeTx>> {
        if self.is_open.swap(false, Ordering::SeqCst) {
            let next = self.script.lock().unwrap().pop_front();
            if let Some(Before::Run(happens)) = next {
                happens.await;
            }
        }
        let inner = self.changes.begin().await?;
        Ok(Box::new(Changing { inner, of: self.clone(), wrote: Wrote::default() }))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<(Uuid, Uuid)>> {
        self.changes.due(now, limit).await
    }

    async fn pending(&self) -> Result<u64> {
        self.changes.pending().await
    }

    async fn used(&self, row: &Row) -> Result<bool> {
        self.changes.used(row).await
    }
}

struct Changing {
    inner: Box<dyn ChangeTx>,
    of: Interposed,
    wrote: Wrote,
}

#[derive(Clone, Copy, Default)]
struct Wrote {
    row: bool,
    event: bool,
    open: bool,
}

impl Changing {
    /// What is scripted for a transaction that is about to write a row.
    fn scripted(&self) -> &Mutex<VecDeque<Before>> {
        if self.wrote.event { &self.of.script } else { &self.of.upgrades }
    }
}

#[async_trait]
impl ChangeTx for Changing {
    async fn commit(self: Box<Self>) -> std::result::Result<(), CommitError<RepoError>> {
        let next = if self.wrote.row { self.scripted().lock().unwrap().pop_front() } else { None };
        let happens =
            if self.wrote.open && !self.wrote.row { self.of.after_an_open.lock().unwrap().take() } else { None };
        match next {
            Some(Before::Outage) => return Err(CommitError::Unknown(gone())),
            Some(Before::LostAnswer) => {
                self.inner.commit().await?;
                return Err(CommitError::Unknown(gone()));
            }
            Some(Before::Run(_)) | None => self.inner.commit().await?,
        }
        if self.wrote.open && !self.wrote.row {
            let is_next = matches!(self.of.script.lock().unwrap().front(), Some(Before::Run(_)));
            self.of.is_open.store(is_next, Ordering::SeqCst);
        }
        if let Some(happens) = happens {
            happens.await;
        }
        Ok(())
    }

    async fn lock_agent(&mut self, agent_id: Uuid) -> Result<Option<(AgentStatus, Timestamp)>> {
        self.inner.lock_agent(agent_id).await
    }

    async fn lock(&mut self, client_id: Uuid, credential_id: Uuid) -> Result<Entry> {
        self.inner.lock(client_id, credential_id).await
    }

    async fn insert(&mut self, row: &Row, created_at: Timestamp) -> Result<()> {
        self.wrote.row = true;
        self.inner.insert(row, created_at).await
    }

    async fn replace(&mut self, row: &Row) -> Result<()> {
        self.wrote.row = true;
        self.inner.replace(row).await
    }

    async fn end(&mut self, client_id: Uuid, credential_id: Uuid, now: Timestamp) -> Result<()> {
        self.inner.end(client_id, credential_id, now).await
    }

    async fn note(&mut self, client_id: Uuid, credential_id: Uuid, note: &Note, now: Timestamp) -> Result<()> {
        self.wrote.open = note.open.as_ref().is_some_and(|open| Timestamp::from(open.lease_until) > now);
        self.inner.note(client_id, credential_id, note, now).await
    }

    async fn finish(
        &mut self,
        client_id: Uuid,
        credential_id: Uuid,
        expires_at: Option<Timestamp>,
        awaits_use: bool,
    ) -> Result<Credential> {
        self.inner.finish(client_id, credential_id, expires_at, awaits_use).await
    }

    async fn rotate_usage(&mut self, credential_id: Uuid, now: std::time::SystemTime) -> Result<()> {
        self.inner.rotate_usage(credential_id, now).await
    }

    async fn update_agent(&mut self, agent: &Agent) -> Result<()> {
        self.inner.update_agent(agent).await
    }

    async fn active_credentials(&mut self, agent_id: Uuid) -> Result<Vec<Uuid>> {
        self.inner.active_credentials(agent_id).await
    }

    async fn append(&mut self, event: &AuditEvent) -> Result<()> {
        self.wrote.event = true;
        self.inner.append(event).await
    }

    async fn carry_out(&mut self, claim: &Claim, row: &Credential) -> Result<bool> {
        self.inner.carry_out(claim, row).await
    }

    async fn carry_out_anew(&mut self, claim: &Claim, before: &Credential, after: &Credential) -> Result<bool> {
        self.inner.carry_out_anew(claim, before, after).await
    }
}
