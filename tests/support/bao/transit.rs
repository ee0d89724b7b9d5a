//! Keys of the transit engine, as an administrator makes them by the guide.

use reqwest::Method;
use serde_json::{Value, json};

use super::Bao;

const GUIDE: &str = include_str!("../../../agentidp-secrets/src/guide/transit.md");

/// A transit engine of a test's own with a key, and what an operator would hand to the server.
pub(crate) struct TransitMount {
    pub(crate) name: String,
    /// Periodic, orphan, with exactly the policy of the guide for this mount.
    pub(crate) policy_token: String,
}

impl TransitMount {
    /// What every test calls its key.
    pub(crate) const KEY: &'static str = "agentidp";
}

impl Bao {
    /// A new engine with a key, its policy and a token with that policy.
    pub(crate) async fn fresh_transit(&self) -> TransitMount {
        let name = format!("transit-{}", uuid::Uuid::new_v4().simple());
        self.root(Method::POST, &format!("sys/mounts/{name}"), json!({ "type": "transit" })).await;
        let kind = json!({ "type": "hmac", "key_size": 32 });
        self.root(Method::POST, &format!("{name}/keys/{}", TransitMount::KEY), kind).await;
        self.write_policy(&name, &guides_policy(&name)).await;
        let policy_token = self.create_token(json!({ "policies": [name], "period": "768h" })).await;
        TransitMount { name, policy_token }
    }

    pub(crate) async fn rotate_transit(&self, mount: &TransitMount) {
        self.root(Method::POST, &format!("{}/keys/{}/rotate", mount.name, TransitMount::KEY), Value::Null).await;
    }

    pub(crate) async fn configure_transit(&self, mount: &TransitMount, settings: Value) {
        self.root(Method::POST, &format!("{}/keys/{}/config", mount.name, TransitMount::KEY), settings).await;
    }
}

/// The policy as the guide shows it, for this mount.
pub(crate) fn guides_policy(mount: &str) -> String {
    let (_, rest) = GUIDE.split_once("```hcl\n").expect("the guide shows the policy");
    let (policy, _) = rest.split_once("```").expect("the block ends");
    policy.replace("\"transit/", &format!("\"{mount}/"))
}
