//! A server in this process: requests go to its handler without a socket, time stands still until it is moved.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use agentidp_secrets::backends::{Bcrypt, VaultKv2};
use agentidp_secrets::folder::FolderGate;
use agentidp_secrets::layers::FairSemaphore;
use agentidp_secrets::testkit::FaultLayer;
use agentidp_secrets::{Clock, ManualClock, SecretStore, VerifyError, stack};
use agentidp_server::app::{App, Settings, VaultPlace};
use agentidp_server::dependencies::Dependencies;
use agentidp_server::domain::{Credential, Page, Scopes};
use agentidp_server::horizon::Horizon;
use agentidp_server::keys::{KeyAlgorithm, SigningKey};
use agentidp_server::metrics::Metrics;
use agentidp_server::rate_limit::RateLimiter;
use agentidp_server::repo;
use agentidp_server::repo::{AuditMode, LIST_CONNECTIONS, Repos};
use agentidp_server::tokens::{Issuer, OPERATOR, TokenProfile, Tokens};
use agentidp_server::workers;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::rows;
use crate::support;
use crate::support::bao::Mount;

/// A server over a fresh database: a SQLite file unless PostgreSQL is asked for.
pub(crate) struct Site {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<ManualClock>,
    /// An operator's token with all scopes.
    pub(crate) operator: String,
    /// Of the database.
    pub(crate) url: String,
    _data: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Site {
    /// In bcrypt mode.
    pub(crate) async fn bcrypt() -> Self {
        Self::build(|_| {}).await
    }

    /// In Vault mode on `mount`, with faults on order.
    pub(crate) async fn vault(mount: &Mount, faults: &FaultLayer) -> Self {
        Self::build(|app| use_vault(app, mount, faults)).await
    }

    /// In bcrypt mode but for what `change` does.
    pub(crate) async fn build(change: impl FnOnce(&mut App)) -> Self {
        let data = TempDir::new().unwrap();
        let url = format!("sqlite:{}", data.path().join("agentidp.sqlite").display());
        Self::build_on(&url, data, change).await
    }

    /// As [`build`](Self::build), on a fresh PostgreSQL database.
    pub(crate) async fn build_on_postgres(change: impl FnOnce(&mut App)) -> Self {
        let url = support::postgres().fresh_database().await;
        Self::build_on(&url, TempDir::new().unwrap(), change).await
    }

    /// As [`build`](Self::build), on this database: another server, where there is one already.
    pub(crate) async fn build_at(url: &str, change: impl FnOnce(&mut App)) -> Self {
        Self::build_on(url, TempDir::new().unwrap(), change).await
    }

    async fn build_on(url: &str, data: TempDir, change: impl FnOnce(&mut App)) -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let clock = Arc::new(ManualClock::at(start));
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let metrics = Metrics::new();
        let repos = repo::open_observed(url, Arc::clone(&shared), Arc::new(metrics.clone())).await.unwrap();
        repos.database.migrate().await.unwrap();
        let repos = repos.with_group_commit(AuditMode::Sync, Arc::new(metrics.clone()));
        let mut app = an_app(repos, &clock, metrics);
        change(&mut app);
        Self::of(app, clock, data, url.to_owned())
    }

    /// Another process on this database, with the connections of `repos`, that begins where the clock of this one is.
    pub(crate) fn again(&self, repos: Repos, change: impl FnOnce(&mut App)) -> Self {
        let mut app = an_app(repos, &self.clock, Metrics::new());
        change(&mut app);
        Self::of(app, Arc::clone(&self.clock), TempDir::new().unwrap(), self.url.clone())
    }

    fn of(app: App, clock: Arc<ManualClock>, data: TempDir, url: String) -> Self {
        let operator = app.tokens.issue_now(OPERATOR, Scopes::ALL, Duration::from_secs(86_400), true).unwrap().token;
        Self { app: Arc::new(app), clock, operator, url, _data: data }
    }

    /// Lets a millisecond go by: what happens at the same time has no order.
    pub(crate) fn tick(&self) {
        self.clock.advance(Duration::from_millis(1));
    }

    /// A token of an agent with all scopes.
    pub(crate) fn token(&self, agent_id: Uuid) -> String {
        let ttl = Duration::from_secs(86_400);
        self.app.tokens.issue_now(&agent_id.to_string(), Scopes::ALL, ttl, false).unwrap().token
    }

    /// One request with a raw body; `path` is below `/api/v1`.
    pub(crate) async fn send(&self, token: &str, method: &str, path: &str, body: impl Into<Bytes>) -> Reply {
        let body = body.into();
        let mut request = hyper::Request::builder().method(method).uri(format!("/api/v1{path}"));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.header(AUTHORIZATION, format!("Bearer {token}")).body(Full::new(body)).unwrap();
        self.handle(request).await
    }

    /// A POST with an `Idempotency-Key`.
    pub(crate) async fn keyed(&self, token: &str, key: &str, path: &str, body: &str) -> Reply {
        let mut request = hyper::Request::post(format!("/api/v1{path}")).header("Idempotency-Key", key);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        self.handle(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    /// One request of the operator; a `null` body is none.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(&self.operator, method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, Value::Null).await
    }

    /// Asks the database and Vault, as the background task of a server does.
    pub(crate) async fn ask_dependencies(&self) {
        workers::dependencies::database_round(&self.app).await;
        workers::dependencies::vault_round(&self.app).await;
    }

    /// What `/health` says.
    pub(crate) async fn get_health(&self) -> Value {
        self.ask_dependencies().await;
        self.handle(hyper::Request::get("/health").body(Full::new(Bytes::new())).unwrap()).await.json()
    }

    pub(crate) async fn handle(&self, request: hyper::Request<Full<Bytes>>) -> Reply {
        self.exchange(request).await
    }

    /// Registers an agent.
    pub(crate) async fn agent(&self, email: &str) -> Uuid {
        let reply = self.call("POST", "/agents", an_agent(email)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.id("agentId")
    }

    /// Generates a credential; gives its id and its secret.
    pub(crate) async fn credential(&self, agent_id: Uuid) -> (Uuid, String) {
        let reply = self.call("POST", &format!("/agents/{agent_id}/credentials"), Value::Null).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        (reply.id("credentialId"), reply.secret())
    }

    pub(crate) async fn rotate(&self, agent_id: Uuid, credential_id: Uuid) -> Reply {
        self.call("POST", &format!("/agents/{agent_id}/credentials/{credential_id}/rotate"), Value::Null).await
    }

    pub(crate) async fn revoke(&self, agent_id: Uuid, credential_id: Uuid) -> Reply {
        self.call("DELETE", &format!("/agents/{agent_id}/credentials/{credential_id}"), Value::Null).await
    }

    /// Whether an active credential of the agent has this secret.
    pub(crate) async fn accepts(&self, agent_id: Uuid, secret: &str) -> bool {
        let found = self.app.repos.credentials.authenticate(agent_id, self.app.now()).await.unwrap();
        let candidates = found.as_ref().map_or(&[][..], |found| found.candidates());
        match self.app.store.verify_any(candidates, &secret.into()).await {
            Ok(_) => true,
            Err(VerifyError::Mismatch) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// The credential's row.
    pub(crate) async fn row(&self, agent_id: Uuid, credential_id: Uuid) -> Credential {
        self.app.repos.credentials.find(agent_id, credential_id).await.unwrap().unwrap()
    }

    /// Opens the write that a commit of this row needs, if it needs one.
    pub(crate) async fn open_write(&self, credential: &Credential) {
        rows::open_write(&self.app.repos, credential, self.app.now()).await;
    }

    /// Writes a whole row, as somebody else does.
    pub(crate) async fn put(&self, row: &Credential) {
        rows::put(&self.app.repos, row).await;
    }

    /// Changes the app, ahead of its next request.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut App)) {
        let app = Arc::get_mut(&mut self.app).unwrap();
        change(app);
        app.life = OnceLock::new();
    }

    /// The agent's rows.
    pub(crate) async fn rows(&self, agent_id: Uuid) -> Vec<Credential> {
        self.app.repos.credentials.list(agent_id, None, Page::new(1, 100)).await.unwrap().data
    }

    /// The actions on the agent's trail, oldest first. Needs a [`tick`](Self::tick) between them.
    pub(crate) async fn actions(&self, agent_id: Uuid) -> Vec<String> {
        let trail = self.get(&format!("/audit?agentId={agent_id}")).await.json();
        trail["data"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|event| event["action"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Reply {
    /// Whether it says that the request had been carried out before.
    pub(crate) fn is_replay(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Status and code of an envelope.
    pub(crate) fn failure(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The failing fields of a validation failure.
    pub(crate) fn fields(&self) -> Vec<String> {
        assert_eq!(self.failure(), (400, "VALIDATION_ERROR".to_owned()), "{self:?}");
        self.json()["details"].as_object().unwrap().keys().cloned().collect()
    }

    pub(crate) fn id(&self, member: &str) -> Uuid {
        self.json()[member].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn secret(&self) -> String {
        self.json()["clientSecret"].as_str().unwrap().to_owned()
    }
}

/// In bcrypt mode.
fn an_app(repos: Repos, clock: &Arc<ManualClock>, metrics: Metrics) -> App {
    let shared = Arc::clone(clock) as Arc<dyn Clock>;
    App {
        settings: Settings::default(),
        store: SecretStore::builder(bcrypt()).clock(Arc::clone(&shared)).build().unwrap(),
        upgrades: false,
        life: OnceLock::new(),
        vault: None,
        vault_token: None,
        vault_client: None,
        gate: FolderGate::always_open(),
        ledger: None,
        repos,
        tokens: Tokens::new(SigningKey::from_pem(signing_key()).unwrap(), Vec::new(), None, Arc::clone(&shared)),
        limiter: RateLimiter::new(0, Arc::clone(&shared)),
        metrics,
        started: clock.instant(),
        dependencies: Dependencies::default(),
        stopping: CancellationToken::new(),
        clock: shared,
        ledger_clock: None,
        horizon: Horizon::default(),
        list_turns: FairSemaphore::new(LIST_CONNECTIONS as usize),
    }
}

/// Gives an app's tokens an issuer and a form.
pub(crate) fn use_issuer(app: &mut App, issuer: &str, profile: TokenProfile) {
    let key = SigningKey::from_pem(signing_key()).unwrap();
    app.tokens = Tokens::with_profile(key, Vec::new(), Some(Issuer::new(issuer)), profile, Arc::clone(&app.clock));
}

/// Turns an app to Vault mode, bcrypt accepted.
pub(crate) fn use_vault(app: &mut App, mount: &Mount, faults: &FaultLayer) {
    use_vault_keeping(app, mount, faults, 10);
}

/// The same of a server that believes its mount to keep so many versions.
pub(crate) fn use_vault_keeping(app: &mut App, mount: &Mount, faults: &FaultLayer, versions: u64) {
    let vault = VaultKv2::builder(support::bao().address(), mount.policy_token.as_str()).mount(&mount.name);
    let vault = vault.versions_kept(versions).build().unwrap();
    app.vault_client = Some(vault.clone());
    let store = SecretStore::builder(stack(vault, &[faults])).accepts(bcrypt());
    app.store = store.clock(Arc::clone(&app.clock)).build().unwrap();
    app.vault = Some(VaultPlace { mount: mount.name.clone(), prefix: "agentidp".to_owned() });
}

/// A body that registers an agent.
pub(crate) fn an_agent(email: &str) -> Value {
    json!({
        "email": email,
        "agentType": "screener",
        "version": "1.4.0",
        "capabilities": ["resume:read", "email:*"],
        "owner": "Recruiting",
        "deploymentEnv": "production",
    })
}

fn bcrypt() -> impl agentidp_secrets::SecretBackend {
    Bcrypt::builder().minimum_cost_for_tests().build().unwrap()
}

/// Generating a key takes a second without optimisation: one for all tests.
pub(crate) fn signing_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate_pem(KeyAlgorithm::Rs256).unwrap().to_string())
}
