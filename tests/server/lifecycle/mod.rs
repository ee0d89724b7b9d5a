//! Sequences over database and Vault: what is left when something goes wrong between two steps.

mod between;
mod create;
mod late;
mod lost_answer;
mod moves;
mod revoke;
mod rotate;
mod window;

use std::time::Duration;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::testkit::FaultLayer;
use agentidp_secrets::{CredentialKey, SecretStore};
use agentidp_server::app::App;
use agentidp_server::domain::{Credential, SecretColumns};
use serde_json::json;
use uuid::Uuid;

use crate::interposed::Interposed;
use crate::repo::sql_at;
use crate::rows;
use crate::site::{Site, use_vault};
use crate::support::{self, bao::Mount};

/// How long a write keeps others out whose server says nothing any more.
const LEASE: Duration = Duration::from_secs(31);

/// A site in Vault mode on a mount of its own, with faults and losses on order.
struct Vaulted {
    site: Site,
    faults: FaultLayer,
    commits: Interposed,
    mount: Mount,
}

impl Vaulted {
    async fn new() -> Self {
        let (mount, faults, mut commits) = (support::bao().fresh_mount(2).await, FaultLayer::new(), None);
        let site = Site::build(|app| commits = Some(Self::set_up(app, &mount, &faults))).await;
        Self { site, faults, commits: commits.unwrap(), mount }
    }

    async fn on_postgres() -> Self {
        let (mount, faults, mut commits) = (support::bao().fresh_mount(2).await, FaultLayer::new(), None);
        let site = Site::build_on_postgres(|app| commits = Some(Self::set_up(app, &mount, &faults))).await;
        Self { site, faults, commits: commits.unwrap(), mount }
    }

    fn set_up(app: &mut App, mount: &Mount, faults: &FaultLayer) -> Interposed {
        use_vault(app, mount, faults);
        Interposed::into_app(app)
    }

    /// The documented path.
    fn path(&self, agent: Uuid, credential: Uuid) -> String {
        format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", self.mount.name)
    }

    /// Whether Vault has anything at the credential's path.
    async fn in_vault(&self, agent: Uuid, credential: Uuid) -> bool {
        support::bao().metadata_exists(&self.path(agent, credential)).await
    }

    async fn pending(&self) -> u64 {
        self.site.app.repos.changes.pending().await.unwrap()
    }

    /// What the background does once its time has come.
    async fn purge_after(&self, time: Duration) {
        self.site.clock.advance(time);
        self.site.app.life().round().await;
    }

    /// Gives a row other columns, as an older system or an accident would leave it.
    async fn set_columns(&self, agent: Uuid, credential: Uuid, secret: SecretColumns) {
        let before = self.site.row(agent, credential).await;
        let after = Credential { secret: secret.written_by(Uuid::new_v4()), ..before.clone() };
        if after.secret.to_secrets().is_ok() {
            return rows::replace(&self.site.app.repos, &before, &after, self.site.app.now()).await;
        }
        // No server of ours writes such a row.
        let hash = after.secret.secret_hash.map_or("NULL".to_owned(), |hash| format!("'{hash}'"));
        let sql = format!(
            "UPDATE credentials SET secret_hash = {hash}, vault_path = NULL, vault_version = NULL \
             WHERE credential_id = '{credential}'"
        );
        sql_at(&self.site.url, &sql).await.unwrap();
    }

    /// A credential from before Vault; nothing of it is in Vault.
    async fn bcrypt_credential(&self, agent: Uuid) -> (Uuid, String) {
        let (credential, _) = self.site.credential(agent).await;
        let (secret, columns) = self.digest_of(agent, credential).await;
        self.set_columns(agent, credential, columns).await;
        self.delete_from_vault(agent, credential).await;
        self.purge_after(Duration::ZERO).await;
        (credential, secret)
    }

    /// A bcrypt digest of a fresh secret for the credential.
    async fn digest_of(&self, agent: Uuid, credential: Uuid) -> (String, SecretColumns) {
        let key = CredentialKey::parse(&agent.to_string(), &credential.to_string()).unwrap();
        let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
        let issued = SecretStore::builder(bcrypt).build().unwrap().issue(&key).await.unwrap();
        let columns = SecretColumns::new(&issued.stored, issued.selector).unwrap();
        (issued.secret.expose_secret().to_owned(), columns)
    }

    /// Deletes the credential's path with all versions, by hand.
    async fn delete_from_vault(&self, agent: Uuid, credential: Uuid) {
        let metadata = self.path(agent, credential).replacen("/data/", "/metadata/", 1);
        support::bao().root(reqwest::Method::DELETE, &metadata, json!(null)).await;
    }
}
