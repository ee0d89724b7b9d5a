//! Whose a folder in Vault is: databases, copies and restored states on one folder, with a clock that the tests move.

mod advancing;
mod deployments;
mod restored;

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::folder::FolderState;
use agentidp_secrets::testkit::FaultLayer;
use agentidp_server::app::App;
use agentidp_server::ledger::{Ledger, Rows};
use agentidp_server::workers;
use agentidp_server::workers::reconcile::Reconciler;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::site::{Site, use_vault};
use crate::support;
use crate::support::bao::{Mount, least_privilege};

/// Time between two rounds of the workers here, which is that of the looks.
const STEP: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);

/// A mount whose token may list, as the two documented policies allow.
async fn listable_mount() -> Mount {
    let mount = support::bao().fresh_mount(2).await;
    let list = format!("path \"{}/metadata/agentidp/*\" {{ capabilities = [\"list\"] }}\n", mount.name);
    support::bao().write_policy(&mount.name, &(least_privilege(&mount.name) + &list)).await;
    mount
}

/// A server with its ledger on a mount.
pub(crate) struct Server {
    pub(crate) site: Site,
    reconciler: Reconciler,
}

impl Server {
    async fn on_sqlite(mount: &Mount) -> Self {
        Self::of(Site::build(|app| use_ledger(app, mount)).await)
    }

    async fn at(url: &str, mount: &Mount) -> Self {
        Self::of(Site::build_at(url, |app| use_ledger(app, mount)).await)
    }

    pub(crate) fn of(site: Site) -> Self {
        Self { site, reconciler: Reconciler::default() }
    }

    fn ledger(&self) -> &Ledger {
        self.site.app.ledger.as_ref().unwrap()
    }

    fn may_delete(&self) -> bool {
        self.site.app.gate.state().may_delete()
    }

    /// One round of each worker.
    pub(crate) async fn round(&mut self) -> FolderState {
        let app = &self.site.app;
        workers::ledger::round(app).await;
        workers::purge::round(app).await;
        self.reconciler.round(app).await;
        app.gate.state()
    }

    /// Rounds for as long, one a [`STEP`].
    pub(crate) async fn run(&mut self, time: Duration) -> FolderState {
        run(&mut [self], time).await;
        self.site.app.gate.state()
    }

    /// Revokes a credential, which owes a deletion.
    pub(crate) async fn revoke(&self, agent: Uuid, credential: Uuid) {
        assert_eq!(self.site.revoke(agent, credential).await.status, 204);
    }

    pub(crate) async fn jobs(&self) -> u64 {
        self.site.app.repos.changes.pending().await.unwrap()
    }
}

/// Runs several servers side by side, one after the other in each [`STEP`].
async fn run(servers: &mut [&mut Server], time: Duration) {
    for _ in 0..time.as_secs() / STEP.as_secs() {
        for server in servers.iter_mut() {
            server.site.clock.advance(STEP);
            server.round().await;
        }
    }
}

/// With Vault on `mount`, and a gate that the folder's entry opens.
fn use_ledger(app: &mut App, mount: &Mount) {
    use_vault(app, mount, &FaultLayer::new());
    add_ledger(app, mount);
}

/// A gate that the entry of the folder on `mount` opens.
pub(crate) fn add_ledger(app: &mut App, mount: &Mount) {
    let (vault, repo) = (app.vault_client.clone().unwrap(), Arc::clone(&app.repos.ledger));
    let folder = format!("{}/agentidp", mount.name);
    let ledger = Ledger::new(vault, Rows(repo), folder, Arc::clone(&app.clock));
    app.gate = ledger.gate().clone();
    app.ledger = Some(ledger);
}

/// A credential with its secret.
async fn credential(server: &Server) -> (Uuid, Uuid, String) {
    let agent = server.site.agent(&format!("{}@agents.example", Uuid::new_v4())).await;
    let (credential, secret) = server.site.credential(agent).await;
    (agent, credential, secret)
}

async fn exists(mount: &Mount, agent: Uuid, credential: Uuid) -> bool {
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    support::bao().metadata_exists(&path).await
}

fn entry_path(mount: &Mount) -> String {
    format!("{}/data/agentidp/ledger", mount.name)
}

/// What the entry holds, by root.
async fn entry(mount: &Mount) -> Value {
    support::bao().read_root(&entry_path(mount)).await.unwrap().data
}

async fn write_entry(mount: &Mount, data: Value) {
    support::bao().root(Method::POST, &entry_path(mount), json!({ "data": data })).await;
}

/// A SQLite database in a folder of its own, which can be copied while it is in use.
struct File {
    folder: TempDir,
}

impl File {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("rows.sqlite").display())
    }

    /// A copy of the rows as they are now.
    async fn copy(&self) -> Self {
        let copy = Self::new();
        let path = copy.folder.path().join("rows.sqlite").display().to_string();
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        sqlx::query("VACUUM INTO $1").bind(path).execute(&mut connection).await.unwrap();
        copy
    }
}
