//! Three OpenBao nodes that replicate (raft), each of which a test may kill, hang, seal and bring back.

use std::sync::Mutex;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{Bao, Mount, node_configuration};
use crate::support::process::until;

/// What makes a joined node a voter within 2 s instead of some 20 s. Before it is one, the loss of the leader is the loss
/// of the quorum.
const QUICK_VOTERS: &str = "  autopilot_reconcile_interval = \"1s\"\n  autopilot_update_interval = \"500ms\"\n";

const NODES: usize = 3;

/// The nodes, numbered from 0. They end with the test process, or when dropped.
pub(crate) struct Cluster {
    nodes: Vec<Bao>,
}

impl Cluster {
    /// Three nodes, each of them unsealed and a voter. Takes some 10 s.
    pub(crate) async fn start() -> Self {
        let mut first =
            Bao::start_empty(|home, port| home.write_file("server.hcl", &configuration(port, 0, None))).await;
        first.initialise().await;
        first.unseal().await;
        let promotion = json!({ "server_stabilization_time": "1s" });
        first.root(Method::POST, "sys/storage/raft/autopilot/configuration", promotion).await;

        let joining = (1..NODES).map(async |number| {
            let join = |port| configuration(port, number, Some(first.address()));
            let mut node = Bao::start_empty(|home, port| home.write_file("server.hcl", &join(port))).await;
            node.unseal_key.clone_from(&first.unseal_key);
            node.api = node.api.with_root(first.root_token().to_owned());
            node
        });
        let others = join_all(joining).await;
        let cluster = Self { nodes: std::iter::once(first).chain(others).collect() };
        cluster.settle().await;
        cluster
    }

    /// One node, to talk to it or to look behind its back.
    pub(crate) fn node(&self, number: usize) -> &Bao {
        &self.nodes[number]
    }

    pub(crate) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.nodes.iter().map(Bao::address).collect()
    }

    /// The number of the active node, once there is one. An election takes 1.7 to 5.5 s.
    pub(crate) async fn leader(&self) -> usize {
        self.leader_among(|_| true).await
    }

    /// The number of the active node, once another one than `former` is.
    pub(crate) async fn new_leader(&self, former: usize) -> usize {
        self.leader_among(|number| number != former).await
    }

    /// A node that is not active.
    pub(crate) async fn standby(&self) -> usize {
        (self.leader().await + 1) % self.nodes.len()
    }

    /// A KV mount of version 2 as [`Bao::fresh_mount`] makes it, once every node serves it.
    pub(crate) async fn fresh_mount(&self) -> Mount {
        let leader = &self.nodes[self.leader().await];
        let mount = leader.fresh_mount(2).await;
        let path = format!("{}/data/agentidp/ready", mount.name);
        leader.write_root(&path, "ready").await;
        let served = self.nodes.iter().map(|node| {
            let reads = async || node.call(&mount.policy_token, Method::GET, &path, None).await.0 == 200;
            until("every node to serve the mount", reads)
        });
        join_all(served).await;
        mount
    }

    /// Ends a node at once, `kill -9`.
    pub(crate) async fn kill(&mut self, number: usize) {
        self.nodes[number].service.end_by("KILL").await;
    }

    /// Starts a node again after `kill`, and unseals it.
    pub(crate) async fn start_again(&mut self, number: usize) {
        self.nodes[number].start_sealed().await;
        self.unseal(number).await;
    }

    /// The node answers 503 until `unseal`.
    pub(crate) async fn seal(&mut self, number: usize) {
        self.nodes[number].seal().await;
    }

    /// Unseals and waits until the node serves, active or not.
    pub(crate) async fn unseal(&self, number: usize) {
        let node = &self.nodes[number];
        until("an unsealed node", async || {
            // A node that has just joined may not have heard of the key yet, and refuses it.
            let key = json!({ "key": node.unseal_key });
            node.call("", Method::PUT, "sys/unseal", Some(key)).await;
            serves(node).await
        })
        .await;
    }

    /// The node hangs: it takes connections and answers nothing, until `resume`.
    pub(crate) async fn pause(&mut self, number: usize) {
        self.nodes[number].pause().await;
    }

    pub(crate) fn resume(&mut self, number: usize) {
        self.nodes[number].resume();
    }

    /// Brings every node back, whatever a test has done to it, and waits until all are well.
    pub(crate) async fn heal(&mut self) {
        for node in &mut self.nodes {
            if node.service.has_ended() {
                node.start_sealed().await;
            }
            node.resume();
        }
        self.settle().await;
    }

    /// Waits until every node serves and votes.
    async fn settle(&self) {
        join_all(self.numbers().map(|number| self.unseal(number))).await;
        until("every node to be a voter", async || {
            let leader = &self.nodes[self.leader().await];
            let path = "sys/storage/raft/configuration";
            let (_, answer) = leader.call(leader.root_token(), Method::GET, path, None).await;
            let servers = answer["data"]["config"]["servers"].as_array();
            servers.is_some_and(|servers| servers.iter().filter(|server| server["voter"] == true).count() == NODES)
        })
        .await;
    }

    async fn leader_among(&self, eligible: impl Fn(usize) -> bool + Sync) -> usize {
        let found = Mutex::new(None);
        until("an active node", async || {
            let looks = self.numbers().filter(|number| eligible(*number)).map(async |number| {
                let active = self.nodes[number].api.health().await == Some(200);
                active.then_some(number)
            });
            let active = join_all(looks).await.into_iter().flatten().next();
            *found.lock().expect("no panic holds it") = active;
            active.is_some()
        })
        .await;
        found.into_inner().expect("no panic holds it").expect("waited for it")
    }
}

async fn serves(node: &Bao) -> bool {
    // 473: a standby of HashiCorp Vault Enterprise.
    matches!(node.api.health().await, Some(200 | 429 | 473))
}

fn configuration(port: u16, number: usize, join: Option<&str>) -> String {
    let join = join.map(|address| format!("  retry_join {{ leader_api_addr = \"{address}\" }}\n")).unwrap_or_default();
    node_configuration(port, &format!("n{number}"), &format!("{QUICK_VOTERS}{join}"))
}
