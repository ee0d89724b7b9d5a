//! The services, and what is done to them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentidp_server::keys::{KeyAlgorithm, SigningKey};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::driver::Driver;
use super::fault::Fault;
use super::proxy::Proxies;
use super::{Dice, now, setting};
use crate::binary::{Place, Running};
use crate::support::bao::auth::Role;
use crate::support::bao::{Bao, Mount, least_privilege};
use crate::support::process::until;
use crate::support::{Cluster, Postgres};

/// How many operations a fault meets at least before it is mended, and how many come after.
const UNDER_LOAD: u64 = 60;

/// How long a caller waits for Vault.
const CALL: Duration = Duration::from_secs(5);

/// How long after a call was made Vault carries it out: its caller gave up `LATE_SECONDS` before, or ten.
fn late_by() -> Duration {
    CALL + Duration::from_secs(setting("LATE_SECONDS").unwrap_or(10))
}

/// Where requests go, by number of the server.
pub(super) type Origins = Arc<Mutex<[String; 2]>>;

pub(super) struct Field {
    cluster: Cluster,
    /// Between the nodes and server 0. Server 1 reaches them directly.
    pub(super) proxies: Proxies,
    postgres: Postgres,
    place: Place,
    servers: Vec<Running>,
    pub(super) origins: Origins,
    url: String,
    key: String,
    mount: Mount,
    role: Role,
    /// Of Vault, for each server.
    addresses: [String; 2],
    pub(super) operator: String,
}

impl Field {
    pub(super) async fn start() -> Self {
        let (cluster, postgres, place) = (Cluster::start().await, Postgres::start_own().await, Place::new());
        let (url, mount) = (postgres.fresh_database().await, cluster.fresh_mount().await);
        let leader = cluster.node(cluster.leader().await);
        let list = format!("path \"{}/metadata/agentidp/*\" {{ capabilities = [\"list\"] }}", mount.name);
        leader.write_policy(&mount.name, &(least_privilege(&mount.name) + &list)).await;
        leader.root(Method::DELETE, &format!("{}/metadata/agentidp/ready", mount.name), json!(null)).await;
        let role = leader.app_role(&mount, json!({})).await;
        let key = place.path().join("key.pem");
        std::fs::write(&key, SigningKey::generate_pem(KeyAlgorithm::EdDsa).unwrap().as_bytes()).unwrap();
        let proxies = Proxies::start(&cluster.addresses()).await;
        let addresses = [proxies.addresses.join(","), cluster.addresses().join(",")];
        let (key, origins) = (key.to_str().unwrap().to_owned(), Origins::default());
        let (servers, operator) = (Vec::new(), String::new());
        let mut field =
            Self { cluster, proxies, postgres, place, servers, origins, url, key, mount, role, addresses, operator };
        let minted = field.place.run(&["operator-token", "--ttl", "24h"], &field.without_vault()).await;
        field.operator = String::from_utf8(minted.stdout).unwrap().trim_end().to_owned();
        field
    }

    /// A server without Vault, to make digests with.
    pub(super) async fn digest_server(&self) -> Running {
        self.place.serve(&self.without_vault()).await
    }

    pub(super) async fn start_servers(&mut self) {
        for number in 0..2 {
            let server = self.place.serve(&self.settings(number)).await;
            self.origins.lock().unwrap()[number].clone_from(&server.origin);
            self.servers.push(server);
        }
    }

    /// Does it, waits for the services to be of use again, mends what is left; how long they were not.
    pub(super) async fn meet(&mut self, fault: Fault, driver: &Driver, dice: &mut Dice) -> Duration {
        driver.set_fault(Some(fault));
        let mut begun = now();
        let former = self.cluster.leader().await;
        match fault {
            Fault::LeaderKilled => self.cluster.kill(former).await,
            Fault::LeaderSealed => self.cluster.seal(former).await,
            Fault::LeaderCutOff => self.cluster.pause(former).await,
            Fault::StandbyCutOff => {
                let standby = self.cluster.standby().await;
                self.cluster.pause(standby).await;
            }
            Fault::TokensRevoked => self.cluster.node(former).revoke_logins(&self.role.mount).await,
            Fault::TokensExpired => {
                self.expire_tokens(self.cluster.node(former)).await;
                begun = now();
            }
            Fault::PostgresKilled => {
                self.postgres.kill().await;
                self.postgres.start_again().await;
            }
            Fault::ServerKilled => {
                let number = dice.below(2);
                self.servers[number].signal("KILL").await;
                assert_eq!(self.servers[number].ended().await, None);
                self.servers[number] = self.place.serve(&self.settings(number)).await;
                driver.restarted(number).await;
                self.origins.lock().unwrap()[number].clone_from(&self.servers[number].origin);
            }
            Fault::SecondDeployment => self.meet_neighbour().await,
            Fault::CommitsCut => driver.rotate_in_vain(self).await,
            Fault::Races => driver.race(self).await,
            Fault::CallsLate => driver.change_late(self).await,
        }
        let load = driver.operations();
        driver.of_use(2).await;
        let recovery = now() - begun;
        until("load under the fault", async || driver.operations() >= load + UNDER_LOAD).await;
        if fault == Fault::CallsLate {
            driver.carry_out(self, late_by()).await;
        }
        self.cluster.heal().await;
        driver.of_use(2).await;
        driver.set_fault(None);
        let load = driver.operations();
        until("load after the fault", async || driver.operations() >= load + UNDER_LOAD).await;
        recovery
    }

    /// Lets tokens live for two seconds. Under load servers renew and replace them ahead of that; then they are halted for
    /// longer, as a host that is suspended does it to them, so that what they hold when they go on is dead.
    async fn expire_tokens(&self, vault: &Bao) {
        self.set_token_life(vault, "2s").await;
        vault.revoke_logins(&self.role.mount).await;
        let logins = vault.logins(&self.role).await;
        until("tokens to be replaced ahead of their end", async || vault.logins(&self.role).await >= logins + 6).await;
        for server in &self.servers {
            server.signal("STOP").await;
        }
        until("every token to expire", async || self.living_tokens(vault).await == 0).await;
        self.set_token_life(vault, "1h").await;
        for server in &self.servers {
            server.signal("CONT").await;
        }
    }

    /// Of the logins from now on.
    async fn set_token_life(&self, vault: &Bao, life: &str) {
        let life = json!({ "token_ttl": life, "token_max_ttl": life });
        vault.root(Method::POST, &format!("auth/{}/role/agentidp", self.role.mount), life).await;
    }

    /// How many tokens of logins there are.
    async fn living_tokens(&self, vault: &Bao) -> usize {
        let path = format!("sys/leases/lookup/auth/{}/login?list=true", self.role.mount);
        match vault.call(vault.root_token(), Method::GET, &path, None).await {
            (200, found) => found["data"]["keys"].as_array().unwrap().len(),
            (404, _) => 0,
            (status, answer) => panic!("{path}: {status} {answer}"),
        }
    }

    /// What a crash left is finished or undone; leases and claims end with time, which is set back for that. Nothing is late any
    /// more, so one deletion of a place is enough.
    pub(super) async fn reconcile(&self) {
        self.sql("UPDATE open_writes SET lease_until = '2000-01-01T00:00:00Z'").await;
        self.sql("UPDATE purge_debts SET claimed_until = NULL, due_at = '2000-01-01T00:00:00Z', deletions = 0").await;
        let mut said = String::new();
        for _ in 0..2 {
            let output = self.place.run(&["reconcile"], &self.settings(1)).await;
            said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        }
        assert!(said.contains("purges: 0 due"), "nothing is left to be done: {said}");
        // What was given up of a new credential stays noted for as long as its deletion.
        self.sql(
            "DELETE FROM open_writes WHERE kind = 'create' AND credential_id IN (SELECT credential_id FROM purge_debts \
             WHERE kind = 'delete' AND deletions > 0 AND claimed_until IS NULL)",
        )
        .await;
        self.sql("DELETE FROM purge_debts WHERE kind = 'delete' AND deletions > 0 AND claimed_until IS NULL").await;
    }

    /// Has PostgreSQL cut the connection of each rotation in its commit, or not any more.
    pub(super) async fn cut_commits(&self, cut: bool) {
        let sql = if cut {
            "CREATE FUNCTION cut_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM pg_terminate_backend(pg_backend_pid()); RAISE EXCEPTION 'cut'; END $$; \
             CREATE CONSTRAINT TRIGGER cut_commit AFTER UPDATE ON credentials DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW WHEN (OLD.vault_version IS DISTINCT FROM NEW.vault_version) EXECUTE FUNCTION cut_commit()"
        } else {
            "DROP FUNCTION cut_commit CASCADE"
        };
        self.sql(sql).await;
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.database().await).await.unwrap();
    }

    /// Has Vault keep so many versions of a credential's place.
    pub(super) async fn keep_versions(&self, agent: &str, credential: &str, kept: u64) {
        let leader = self.cluster.node(self.cluster.leader().await);
        let path = format!("{}/metadata/agentidp/agents/{agent}/credentials/{credential}", self.mount.name);
        leader.root(Method::POST, &path, json!({ "max_versions": kept })).await;
    }

    /// The secret in the version that the row of a credential pins.
    pub(super) async fn held(&self, agent: &str, credential: &str) -> Option<String> {
        let sql = "SELECT vault_path || '?version=' || vault_version FROM credentials WHERE client_id::text = $1 AND \
                   credential_id::text = $2 AND status = 'active'";
        let find = sqlx::query_scalar(sql).bind(agent).bind(credential);
        let pinned: String = find.fetch_one(&mut self.database().await).await.unwrap();
        let leader = self.cluster.node(self.cluster.leader().await);
        leader.read_root(&pinned).await.map(|held| held.client_secret().to_owned())
    }

    pub(super) async fn fresh_database(&self) -> String {
        self.postgres.fresh_database().await
    }

    pub(super) async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Every path in Vault, as rows have it.
    pub(super) async fn paths(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        for agent in self.names("agents").await {
            let agent = agent.trim_end_matches('/');
            for credential in self.names(&format!("agents/{agent}/credentials")).await {
                paths.insert(format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", self.mount.name));
            }
        }
        paths
    }

    async fn names(&self, below: &str) -> Vec<String> {
        let leader = self.cluster.node(self.cluster.leader().await);
        let path = format!("{}/metadata/agentidp/{below}?list=true", self.mount.name);
        let (_, body) = leader.call(leader.root_token(), Method::GET, &path, None).await;
        let keys = body["data"]["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn without_vault(&self) -> Vec<(&str, &str)> {
        vec![
            ("DATABASE_URL", &self.url),
            ("JWT_PRIVATE_KEY_FILE", &self.key),
            ("RECONCILE_INTERVAL", "0s"),
            ("RATE_LIMIT_PER_MINUTE", "0"),
        ]
    }

    /// Of this server, with Vault.
    pub(super) fn settings(&self, server: usize) -> Vec<(&str, &str)> {
        let vault = [
            ("VAULT_ADDR", self.addresses[server].as_str()),
            ("VAULT_KV_MOUNT", &self.mount.name),
            ("VAULT_ROLE_ID", &self.role.role_id),
            ("VAULT_SECRET_ID", &self.role.secret_id),
            ("VAULT_AUTH_MOUNT", &self.role.mount),
            ("VAULT_AUTH", "approle"),
            ("WARM_VAULT_LIFETIME", "1h"),
        ];
        [self.without_vault(), vault.to_vec()].concat()
    }
}
