//! Something that happens just before a credential's commit, or just after its rows were read.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use agentidp_server::app::App;
use agentidp_server::domain::{AuditEvent, Credential, CredentialStatus, Page, Paged, Timestamp};
use agentidp_server::repo::{
    AsOf, Authentication, ClientRows, CredentialRepo, Freshness, InsertCredential, RepoError, Result, Revoke,
};
use async_trait::async_trait;
use uuid::Uuid;

type Happening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What happens just before a commit.
pub(crate) enum Before {
    /// The database is gone: the commit does not take place.
    Outage,
    /// Somebody else does this.
    Run(Happening),
    /// Somebody else has changed the row, and then the database is gone.
    LossAndOutage,
}

/// A credential repository whose next `insert` and `rotate` calls meet what is scripted.
#[derive(Clone)]
pub(crate) struct Interposed {
    inner: Arc<dyn CredentialRepo>,
    script: Arc<Mutex<VecDeque<Before>>>,
    upgrades: Arc<Mutex<VecDeque<Before>>>,
    after_a_read: Arc<Mutex<Option<Happening>>>,
    after_a_find: Arc<Mutex<Option<Happening>>>,
    outage: Arc<Mutex<bool>>,
}

impl Interposed {
    /// Puts itself into `app`.
    pub(crate) fn into_app(app: &mut App) -> Self {
        let this = Self {
            inner: Arc::clone(&app.repos.credentials),
            script: Arc::default(),
            upgrades: Arc::default(),
            after_a_read: Arc::default(),
            after_a_find: Arc::default(),
            outage: Arc::default(),
        };
        app.repos.credentials = Arc::new(this.clone());
        this
    }

    pub(crate) fn next(&self, before: Before) {
        self.script.lock().unwrap().push_back(before);
    }

    /// The same of `upgrade` calls, which have a script of their own.
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

    /// Once, right after the next sequence has read its row.
    pub(crate) fn after_a_find(&self, happens: impl Future<Output = ()> + Send + 'static) {
        *self.after_a_find.lock().unwrap() = Some(Box::pin(happens));
    }

    pub(crate) fn end_outage(&self) {
        *self.outage.lock().unwrap() = false;
    }

    /// Whether the commit may take place.
    async fn before(&self, script: &Mutex<VecDeque<Before>>) -> Result<bool> {
        let next = script.lock().unwrap().pop_front();
        match next {
            None => Ok(true),
            Some(Before::Outage) => Err(gone()),
            Some(Before::Run(run)) => {
                run.await;
                Ok(true)
            }
            Some(Before::LossAndOutage) => {
                *self.outage.lock().unwrap() = true;
                Ok(false)
            }
        }
    }
}

fn gone() -> RepoError {
    RepoError::Unavailable { during: "a scripted outage", source: "gone".into() }
}

#[async_trait]
impl CredentialRepo for Interposed {
    async fn find(&self, client_id: Uuid, credential_id: Uuid) -> Result<Option<Credential>> {
        if *self.outage.lock().unwrap() {
            return Err(gone());
        }
        let found = self.inner.find(client_id, credential_id).await;
        let happens = self.after_a_find.lock().unwrap().take();
        if let Some(happens) = happens {
            happens.await;
        }
        found
    }

    async fn list(&self, client_id: Uuid, status: Option<CredentialStatus>, page: Page) -> Result<Paged<Credential>> {
        self.inner.list(client_id, status, page).await
    }

    async fn authenticate(&self, client_id: Uuid, now: Timestamp) -> Result<Option<Arc<Authentication>>> {
        self.inner.authenticate(client_id, now).await
    }

    async fn rows(&self, client_id: Uuid, now: Timestamp, freshness: Freshness) -> Result<ClientRows> {
        let found = self.inner.rows(client_id, now, freshness).await;
        let happens = self.after_a_read.lock().unwrap().take();
        if let Some(happens) = happens {
            happens.await;
        }
        found
    }

    fn is_current(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.inner.is_current(client_id, as_of)
    }

    fn is_changed(&self, client_id: Uuid, as_of: AsOf) -> bool {
        self.inner.is_changed(client_id, as_of)
    }

    async fn insert(&self, credential: &Credential, event: &AuditEvent) -> Result<InsertCredential> {
        self.before(&self.script).await?;
        self.inner.insert(credential, event).await
    }

    async fn rotate(&self, before: &Credential, after: &Credential, event: &AuditEvent) -> Result<bool> {
        if self.before(&self.script).await? { self.inner.rotate(before, after, event).await } else { Ok(false) }
    }

    async fn upgrade(&self, before: &Credential, after: &Credential) -> Result<bool> {
        if self.before(&self.upgrades).await? { self.inner.upgrade(before, after).await } else { Ok(false) }
    }

    async fn revoke(&self, client_id: Uuid, credential_id: Uuid, now: Timestamp, event: &AuditEvent) -> Result<Revoke> {
        self.inner.revoke(client_id, credential_id, now, event).await
    }
}
