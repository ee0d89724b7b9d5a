//! What tests do with the root token: prepare a server, and look behind the back of the code under test.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::Bao;
use crate::support::process::pause;

/// How long a node may take to say how it is: one that hangs never does.
const PATIENCE: Duration = Duration::from_secs(1);

/// One version of a secret, read with the root token.
#[derive(Debug)]
pub(crate) struct KvEntry {
    pub(crate) data: Value,
    /// `None` on a mount of version 1.
    pub(crate) version: Option<u64>,
}

impl KvEntry {
    pub(crate) fn client_secret(&self) -> &str {
        self.data["clientSecret"].as_str().expect("a text member clientSecret")
    }
}

/// Paths are API paths without `/v1/`, as in `credentials.vault_path`: `{mount}/data/agentidp/…`, `?version=1` allowed.
impl Bao {
    /// What is stored at a path, `None` when it answers 404.
    pub(crate) async fn read_root(&self, path: &str) -> Option<KvEntry> {
        match self.call(self.root_token(), Method::GET, path, None).await {
            (200, mut body) => {
                let data = body["data"].take();
                let version = data["metadata"]["version"].as_u64();
                Some(KvEntry { data: if version.is_some() { data["data"].clone() } else { data }, version })
            }
            (404, _) => None,
            (status, body) => panic!("GET {path}: {status} {body}"),
        }
    }

    /// Writes `{"clientSecret": secret}` and answers the new version.
    pub(crate) async fn write_root(&self, path: &str, secret: &str) -> u64 {
        let body = self.root(Method::POST, path, json!({ "data": { "clientSecret": secret } })).await;
        body["data"]["version"].as_u64().expect("a mount of version 2")
    }

    /// `false`: Vault has forgotten the secret with all its versions.
    pub(crate) async fn metadata_exists(&self, path: &str) -> bool {
        let path = path.replacen("/data/", "/metadata/", 1);
        match self.call(self.root_token(), Method::GET, &path, None).await {
            (200, _) => true,
            (404, _) => false,
            (status, body) => panic!("GET {path}: {status} {body}"),
        }
    }

    /// Deletes the latest version; it could be undeleted.
    pub(crate) async fn soft_delete(&self, path: &str) {
        self.root(Method::DELETE, path, Value::Null).await;
    }

    /// Destroys one version for good; the metadata stays.
    pub(crate) async fn destroy(&self, path: &str, version: u64) {
        let path = path.replacen("/data/", "/destroy/", 1);
        self.root(Method::POST, &path, json!({ "versions": [version] })).await;
    }

    pub(crate) async fn write_policy(&self, name: &str, rules: &str) {
        self.root(Method::PUT, &format!("sys/policies/acl/{name}"), json!({ "policy": rules })).await;
    }

    /// An orphan token; `options` as the API takes them: `policies`, `ttl`, `period`, `num_uses`, `no_default_policy`…
    pub(crate) async fn create_token(&self, options: Value) -> String {
        let body = self.root(Method::POST, "auth/token/create-orphan", options).await;
        body["auth"]["client_token"].as_str().expect("a token").to_owned()
    }

    pub(crate) async fn revoke_token(&self, token: &str) {
        self.root(Method::POST, "auth/token/revoke", json!({ "token": token })).await;
    }

    /// More than `rate` requests a second to `mount` get 429, until the mount is gone.
    pub(crate) async fn limit_rate(&self, mount: &str, rate: f64) {
        let quota = json!({ "path": mount, "rate": rate, "interval": "1s" });
        self.root(Method::POST, &format!("sys/quotas/rate-limit/{mount}"), quota).await;
    }

    /// Any call with the root token that must succeed; the body of its answer, `Null` when empty.
    pub(crate) async fn root(&self, method: Method, path: &str, body: Value) -> Value {
        let mut tries = 1;
        loop {
            let (told, passes) = match self.api.call(self.root_token(), method.clone(), path, Some(body.clone())).await
            {
                Ok((200..300, answer)) => return answer,
                // OpenBao loses one of two transactions that touch the same entry, and leaves the retry to its caller.
                Ok((status, answer)) => {
                    let lost = status == 500 && answer.to_string().contains("transaction commit failed");
                    (format!("{status} {answer}"), lost)
                }
                // One that was the leader sends its callers in a circle until it has heard of the next one.
                Err(error) => (error.to_string(), error.is_redirect()),
            };
            assert!(passes && tries < 10, "{method} {path}: {told} (try {tries})");
            tries += 1;
            pause().await;
        }
    }

    /// Any call with any token (empty: none), its status and body.
    pub(crate) async fn call(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let called = self.api.call(token, method, path, body).await;
        called.unwrap_or_else(|error| panic!("OpenBao does not answer: {error}"))
    }
}

/// The HTTP client, the address and the root token.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    address: String,
    root_token: String,
}

impl Api {
    pub(super) fn new() -> Self {
        // A pooled connection belongs to the runtime of the test that opened it, which ends before the others do.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { client, address: String::new(), root_token: String::new() }
    }

    pub(super) fn at(&self, port: u16) -> Self {
        Self { address: format!("http://127.0.0.1:{port}"), ..self.clone() }
    }

    pub(super) fn with_root(&self, root_token: String) -> Self {
        Self { root_token, ..self.clone() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Whether a server answers on this port, sealed or not.
    pub(super) async fn is_up(&self, port: u16) -> bool {
        self.at(port).call("", Method::GET, "sys/seal-status", None).await.is_ok_and(|(status, _)| status == 200)
    }

    /// Whether a ready server answers that is ours: no other one knows our root token.
    pub(super) async fn knows_our_token(&self, port: u16) -> bool {
        let lookup = self.at(port).call(&self.root_token, Method::GET, "auth/token/lookup-self", None).await;
        lookup.is_ok_and(|(status, _)| status == 200)
    }

    /// What the node says of itself: 200 active, 429 standby, 503 sealed. None while it does not run or hangs.
    pub(super) async fn health(&self) -> Option<u16> {
        let health = self.client.get(format!("{}/v1/sys/health", self.address)).timeout(PATIENCE).send().await;
        health.ok().map(|answer| answer.status().as_u16())
    }

    /// Sets up a new server: the unseal key and the root token.
    pub(super) async fn initialise(&self) -> (String, String) {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let (status, body) = self.call("", Method::PUT, "sys/init", Some(shares)).await.expect("it is up");
        assert_eq!(status, 200, "sys/init: {body}");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (text(&body["keys"][0]), text(&body["root_token"]))
    }

    async fn call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(u16, Value)> {
        let request = self.client.request(method, format!("{}/v1/{path}", self.address)).header("X-Vault-Token", token);
        let answer = if let Some(body) = body { request.json(&body) } else { request }.send().await?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null)))
    }
}
