//! Databases of the releases before: what they wrote counts after the upgrade, and their servers may run beside today's on it.
//!
//! Two states: e3aad2c (migration 0015), which knows purge jobs, and eeb7202 (migration 0019), which notes open writes, debts and
//! whose a folder in Vault is.

mod beside;
mod connection;
mod filled;
mod forms;
mod jobs;
mod noting;
mod old_server;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::backends::{Bcrypt, VaultKv2};
use agentidp_secrets::{CredentialKey, MacKeys, SecretBackend, SecretStore};
use agentidp_server::domain::{SecretColumns, Timestamp};
use sqlx::migrate::Migrator;
use tempfile::TempDir;
use uuid::Uuid;

use self::connection::Connection;
use self::filled::Client;
use self::old_server::{Row, literal};
use crate::ledger::{Server, add_ledger};
use crate::site::Site;
use crate::support;
use crate::support::bao::Mount;
use crate::wired::restart_with_vault;

/// The newest migration of e3aad2c.
const JOBS: i64 = 15;

/// The newest migration of eeb7202.
const NOTES: i64 = 19;

const KEYS: (&str, &str) = ("MAC_KEYS", "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92");

const UPGRADE: (&str, &str) = ("UPGRADE_ON_VERIFY", "true");

/// Longer than an old intent, a claim and the margin after it last together.
const LONG_ENOUGH: Duration = Duration::from_secs(1200);

macro_rules! on_both {
    ($newest:ident; $($check:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::$check(crate::upgrade_from_before::Before::sqlite(crate::upgrade_from_before::$newest).await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::$check(crate::upgrade_from_before::Before::postgres(crate::upgrade_from_before::$newest).await).await;
            })+
        }
    };
}

use on_both;

/// A database as a release before left it, and the mount in Vault that belongs to it.
struct Before {
    newest: i64,
    url: String,
    mount: Mount,
    _folder: Option<TempDir>,
}

impl Before {
    async fn sqlite(newest: i64) -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("agentidp.sqlite").display());
        Self::of(newest, url, Some(folder)).await
    }

    async fn postgres(newest: i64) -> Self {
        Self::of(newest, support::postgres().fresh_database().await, None).await
    }

    async fn of(newest: i64, url: String, folder: Option<TempDir>) -> Self {
        let before = Self { newest, url, mount: support::bao().fresh_mount(2).await, _folder: folder };
        let migrations = migrations(if before.is_postgres() { "postgres" } else { "sqlite" }).await;
        before.connect().await.migrate(&migrations, newest).await;
        before
    }

    fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres:")
    }

    async fn connect(&self) -> Connection {
        Connection::to(&self.url).await
    }

    /// Runs one statement past the server; gives how many rows it touched.
    async fn sql(&self, statement: impl Into<String>) -> u64 {
        self.connect().await.run(statement).await
    }

    /// A column of text.
    async fn texts(&self, query: &str) -> Vec<String> {
        self.connect().await.texts(query).await
    }

    /// Today's server on it, put together from settings.
    async fn start(&self, settings: &[(&str, &str)]) -> Server {
        let mut site = Site::build_at(&self.url, |_| {}).await;
        restart_with_vault(&mut site, support::bao(), &self.mount, &[settings, &[KEYS]].concat()).await;
        let app = Arc::get_mut(&mut site.app).unwrap();
        app.vault_client = app.vault_token.as_ref().map(|token| token.client().clone());
        add_ledger(app, &self.mount);
        Server::of(site)
    }

    /// An agent, as the releases before register it.
    async fn agent(&self) -> Uuid {
        let (agent, at) = (Uuid::new_v4(), began());
        let capabilities = if self.is_postgres() { "{resume:read}" } else { r#"["resume:read"]"# };
        self.sql(format!(
            "INSERT INTO agents (agent_id, email, agent_type, version, capabilities, owner, deployment_env, status, \
             created_at, updated_at) VALUES ('{agent}', '{agent}@agents.example', 'screener', '1.4.0', '{capabilities}', \
             'Recruiting', 'production', 'active', '{at}', '{at}')"
        ))
        .await;
        agent
    }

    /// What Vault's part of the releases before does with its own policy.
    fn vault(&self) -> SecretStore {
        let vault = VaultKv2::builder(support::bao().address(), self.mount.policy_token.as_str());
        SecretStore::builder(vault.mount(&self.mount.name).build().unwrap()).build().unwrap()
    }

    /// The documented path.
    fn path(&self, row: &Row) -> String {
        format!("{}/data/agentidp/agents/{}/credentials/{}", self.mount.name, row.client_id, row.credential_id)
    }

    async fn in_vault(&self, row: &Row) -> bool {
        support::bao().metadata_exists(&self.path(row)).await
    }
}

async fn migrations(database: &str) -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("agentidp-server/migrations").join(database);
    Migrator::new(folder.as_path()).await.unwrap()
}

/// Where the clocks of sites begin.
fn began() -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn key(row: &Row) -> CredentialKey {
    CredentialKey::parse(&row.client_id.to_string(), &row.credential_id.to_string()).unwrap()
}

fn mac_keys() -> MacKeys {
    MacKeys::parse(KEYS.1).unwrap()
}

fn bcrypt() -> impl SecretBackend {
    Bcrypt::builder().minimum_cost_for_tests().build().unwrap()
}

/// A fresh secret and the columns for it.
async fn issue(store: &SecretStore, row: &Row) -> (String, SecretColumns) {
    let issued = store.issue(&key(row)).await.unwrap();
    let columns = SecretColumns::new(&issued.stored, issued.selector).unwrap();
    (issued.secret.expose_secret().to_owned(), columns)
}

fn digests(backend: impl SecretBackend) -> SecretStore {
    SecretStore::builder(backend).build().unwrap()
}
