//! An own OpenBao: a dev server in memory that tests share, a persistent one that a test may stop and seal, or three of
//! those that replicate.

mod api;
pub(crate) mod auth;
pub(crate) mod cluster;
pub(crate) mod proxy;
pub(crate) mod tls;
pub(crate) mod transit;

use std::path::PathBuf;
use std::process::Output;

use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use self::api::Api;
use super::find;
use super::process::{Home, Service, until};

/// At once, paused or not: nobody needs the data any more.
const END: &str = "KILL";

/// A KV mount of a test's own, with what an operator would hand to the server.
pub(crate) struct Mount {
    pub(crate) name: String,
    /// Periodic, orphan, with the documented least-privilege policy for this mount and the prefix `agentidp`.
    pub(crate) policy_token: String,
}

/// A server that ends with the test process, or when dropped.
pub(crate) struct Bao {
    service: Service,
    api: Api,
    program: PathBuf,
    port: u16,
    unseal_key: String,
}

impl Bao {
    /// A server of a test's own, which it may stop, start again, seal and pause: a single raft node, already unsealed.
    pub(crate) async fn start_own() -> Self {
        Self::start_configured(|home, port| home.write_file("server.hcl", &configuration(port))).await
    }

    /// As [`start_own`](Self::start_own), with what `configure` puts into the folder for this port.
    async fn start_configured(configure: impl Fn(&Home, u16) + Send + Sync) -> Self {
        let mut server = Self::start_empty(configure).await;
        server.initialise().await;
        server.unseal().await;
        server
    }

    /// A server that holds nothing yet, not even a root token.
    async fn start_empty(configure: impl Fn(&Home, u16) + Send + Sync) -> Self {
        let api = Api::new();
        let program = find::bao();
        let home = Home::new();
        home.create_folder("raft");
        let server = home.within_reach(&program);
        let arguments = |home: &Home, port| {
            configure(home, port);
            own_arguments()
        };
        let (service, port) = Service::start(home, END, server, arguments, |port| api.is_up(port)).await;
        Self { service, api: api.at(port), program, port, unseal_key: String::new() }
    }

    async fn initialise(&mut self) {
        let (unseal_key, root_token) = self.api.initialise().await;
        self.api = self.api.with_root(root_token);
        self.unseal_key = unseal_key;
    }

    /// The shared one.
    pub(super) async fn start_dev() -> Self {
        let api = Api::new();
        let program = find::bao();
        let home = Home::new();
        let server = home.within_reach(&program);
        let root_token = format!("root-{}", uuid::Uuid::new_v4());
        let arguments = |_: &Home, port| {
            let dev = ["server", "-dev", "-dev-no-store-token"].map(str::to_owned);
            let own = [format!("-dev-root-token-id={root_token}"), format!("-dev-listen-address=127.0.0.1:{port}")];
            dev.into_iter().chain(own).collect()
        };
        let rooted = api.with_root(root_token.clone());
        let (service, port) = Service::start(home, END, server, arguments, |port| rooted.knows_our_token(port)).await;
        Self { service, api: rooted.at(port), program, port, unseal_key: String::new() }
    }

    pub(crate) fn address(&self) -> &str {
        self.api.address()
    }

    pub(crate) fn root_token(&self) -> &str {
        self.api.root_token()
    }

    /// A new KV mount of version 1 or 2, its policy and a token with that policy.
    pub(crate) async fn fresh_mount(&self, kv_version: u8) -> Mount {
        let name = format!("kv-{}", uuid::Uuid::new_v4().simple());
        let engine = json!({ "type": "kv", "options": { "version": kv_version.to_string() } });
        self.root(Method::POST, &format!("sys/mounts/{name}"), engine).await;
        if kv_version == 2 {
            // HashiCorp Vault turns a new mount into version 2 in the background and answers 400 until then.
            let config = format!("{name}/config");
            until("the mount", async || self.call(self.root_token(), Method::GET, &config, None).await.0 == 200).await;
        }
        self.write_policy(&name, &least_privilege(&name)).await;
        let policy_token = self.create_token(json!({ "policies": [name], "period": "768h" })).await;
        Mount { name, policy_token }
    }

    /// The command line, as an operator uses it, with `token`.
    pub(crate) async fn cli(&self, token: &str, args: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", std::env::temp_dir()).args(args);
        for (name, value) in [("ADDR", self.address()), ("TOKEN", token)] {
            command.env(format!("VAULT_{name}"), value).env(format!("BAO_{name}"), value);
        }
        command.output().await.expect("the command line starts")
    }

    /// Clean stop. The data stays for `start_again`.
    pub(crate) async fn stop(&mut self) {
        self.service.end_by("TERM").await;
    }

    /// Starts again after `stop`, on the same address, and unseals.
    pub(crate) async fn start_again(&mut self) {
        self.start_sealed().await;
        self.unseal().await;
    }

    async fn start_sealed(&mut self) {
        let (api, port) = (&self.api, self.port);
        self.service.start_again(&own_arguments(), || api.is_up(port)).await;
    }

    /// Every path answers 503 until `unseal`.
    pub(crate) async fn seal(&mut self) {
        self.root(Method::PUT, "sys/seal", json!({})).await;
    }

    /// Unseals and waits until the node is active.
    pub(crate) async fn unseal(&self) {
        self.root(Method::PUT, "sys/unseal", json!({ "key": self.unseal_key })).await;
        until("an active node", async || self.call("", Method::GET, "sys/health", None).await.0 == 200).await;
    }

    /// The server hangs: it accepts connections and never answers, until `resume`.
    pub(crate) async fn pause(&mut self) {
        self.service.signal("STOP");
        until("the server to stand still", async || self.service.stands_still()).await;
    }

    pub(crate) fn resume(&mut self) {
        self.service.signal("CONT");
    }
}

/// The policy of the operator guide: enough for all that the server does.
pub(crate) fn least_privilege(mount: &str) -> String {
    format!(
        r#"path "{mount}/data/agentidp/*" {{ capabilities = ["create", "read", "update", "delete"] }}
path "{mount}/metadata/agentidp/*" {{ capabilities = ["delete"] }}
"#
    )
}

fn own_arguments() -> Vec<String> {
    ["server", "-config=server.hcl"].map(str::to_owned).to_vec()
}

/// A single node.
fn configuration(port: u16) -> String {
    node_configuration(port, "test", "")
}

/// `performance_multiplier = 1`: the node becomes active in one second instead of five. `storage` is what else is said
/// about its storage.
fn node_configuration(port: u16, node: &str, storage: &str) -> String {
    let cluster = port + 1;
    format!(
        r#"api_addr = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
disable_mlock = true
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable = true
}}
storage "raft" {{
  path = "raft"
  node_id = "{node}"
  performance_multiplier = 1
{storage}}}
"#
    )
}
