//! One suite for both databases: each check gets a fresh SQLite file, and a fresh PostgreSQL database.

mod agents;
mod audit;
mod changes;
mod contract;
mod credentials;
mod database;
mod dead_connections;
mod drift;
mod retention;
mod tokens;

use std::net::Ipv4Addr;
use std::time::Duration;

use agentidp_server::domain::{
    Agent, AgentStatus, AgentType, AuditAction, AuditEvent, Credential, CredentialStatus, DeploymentEnv, Origin,
    Outcome, Page, SecretColumns, Timestamp,
};
use agentidp_server::repo::{self, AuditFilter, Repos};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{rows, support};

/// Makes a test of each check on each database.
macro_rules! on_both {
    ($($check:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::$check(crate::repo::Database::sqlite().await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::$check(crate::repo::Database::postgres().await).await;
            })+
        }
    };
}

use on_both;

/// A migrated database of one test's own.
struct Database {
    repos: Repos,
    url: String,
    _folder: Option<TempDir>,
}

impl Database {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("agentidp.db").display());
        Self::migrated(url, Some(folder)).await
    }

    async fn postgres() -> Self {
        Self::migrated(support::postgres().fresh_database().await, None).await
    }

    async fn migrated(url: String, folder: Option<TempDir>) -> Self {
        let repos = repo::open(&url).await.unwrap();
        repos.database.migrate().await.unwrap();
        Self { repos, url, _folder: folder }
    }

    /// Runs SQL past the repositories.
    async fn sql(&self, sql: &str) -> Result<(), sqlx::Error> {
        sql_at(&self.url, sql).await
    }

    /// An agent that is already registered.
    async fn agent(&self) -> Agent {
        let agent = agent();
        self.repos.agents.create(&agent, None, &event(AuditAction::AgentCreated, agent.agent_id)).await.unwrap();
        agent
    }

    /// A credential of `agent` that is already there.
    async fn credential(&self, agent: &Agent, secret: SecretColumns) -> Credential {
        let credential = credential(agent.agent_id, secret);
        rows::put(&self.repos, &credential).await;
        credential
    }

    /// Ends a credential.
    async fn end(&self, credential: &Credential, at: Timestamp) {
        let mut tx = self.repos.changes.begin().await.unwrap();
        tx.lock(credential.client_id, credential.credential_id).await.unwrap();
        tx.end(credential.client_id, credential.credential_id, at).await.unwrap();
        assert!(tx.commit().await.is_ok());
    }

    /// Writes an agent's columns.
    async fn replace(&self, agent: &Agent) {
        let mut tx = self.repos.changes.begin().await.unwrap();
        tx.lock_agent(agent.agent_id).await.unwrap();
        tx.update_agent(agent).await.unwrap();
        assert!(tx.commit().await.is_ok());
    }

    /// A job as a server of the release before the open writes schedules it.
    async fn old_job(&self, client: Uuid, credential: Uuid, path: &str, claimed_until: Option<Timestamp>) {
        let claimed = claimed_until.map_or("NULL".to_owned(), |until| format!("'{until}'"));
        let job = format!(
            "INSERT INTO purge_jobs (credential_id, client_id, vault_path, due_at, claimed_until) \
             VALUES ('{credential}', '{client}', '{path}', '{}', {claimed})",
            now()
        );
        self.sql(&job).await.unwrap();
    }

    async fn credential_now(&self, credential: &Credential) -> Credential {
        self.repos.credentials.find(credential.client_id, credential.credential_id).await.unwrap().unwrap()
    }

    /// Every event, newest first.
    async fn events(&self) -> Vec<AuditEvent> {
        self.repos.audit.list(&AuditFilter::default(), ALL).await.unwrap().data
    }

    /// An event whose id is taken: whatever is to be done with it cannot be.
    async fn event_that_fails(&self) -> AuditEvent {
        let event = event(AuditAction::AuthFailed, Uuid::new_v4());
        self.repos.audit.append(&event).await.unwrap();
        event
    }
}

const ALL: Page = Page::new(1, 200);

pub(crate) async fn sql_at(url: &str, sql: &str) -> Result<(), sqlx::Error> {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    if url.starts_with("sqlite:") {
        sql.execute(&mut SqliteConnection::connect(url).await?).await.map(drop)
    } else {
        sql.execute(&mut PgConnection::connect(url).await?).await.map(drop)
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2026-03-28T09:00:00.123Z").unwrap()
}

fn later(seconds: u64) -> Timestamp {
    now().plus(Duration::from_secs(seconds))
}

fn origin() -> Origin {
    Origin { ip_address: Ipv4Addr::LOCALHOST.into(), user_agent: "suite".to_owned() }
}

fn event(action: AuditAction, agent_id: Uuid) -> AuditEvent {
    AuditEvent::new(action, Outcome::Success, Some(agent_id), &origin(), json!({ "actor": "operator" }), now())
}

fn agent() -> Agent {
    let agent_id = Uuid::new_v4();
    Agent {
        agent_id,
        email: format!("{agent_id}@example.org"),
        agent_type: AgentType::Screener,
        version: "1.2.3-rc.1+build".to_owned(),
        capabilities: vec!["resume:read".to_owned(), "email:*".to_owned()],
        owner: "Tëam \"Ä\" {,}".to_owned(),
        deployment_env: DeploymentEnv::Staging,
        status: AgentStatus::Active,
        created_at: now(),
        updated_at: now(),
    }
}

/// `agent`, changed a second later.
fn changed(agent: &Agent, status: AgentStatus) -> Agent {
    Agent { status, updated_at: agent.updated_at.plus(Duration::from_secs(1)), ..agent.clone() }
}

fn credential(client_id: Uuid, secret: SecretColumns) -> Credential {
    Credential {
        credential_id: Uuid::new_v4(),
        client_id,
        status: CredentialStatus::Active,
        secret,
        created_at: now(),
        expires_at: None,
        revoked_at: None,
    }
}

fn digest(text: &str) -> SecretColumns {
    let columns = SecretColumns { secret_hash: Some(format!("$2b$10${text}")), ..SecretColumns::default() };
    columns.written_by(Uuid::new_v4())
}

fn vaulted(path: &str, version: i64) -> SecretColumns {
    let (vault_path, vault_version) = (Some(path.to_owned()), Some(version));
    SecretColumns { vault_path, vault_version, ..SecretColumns::default() }.written_by(Uuid::new_v4())
}
