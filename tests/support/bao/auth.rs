//! Logins, as an administrator of Vault sets them up.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Bao, Mount};

/// How often a secret id may be used: enough for every test, and what is left of it tells how often it was.
const USES: u64 = 100_000;

/// An AppRole of a test's own, with the policy of its KV mount.
pub(crate) struct Role {
    pub(crate) mount: String,
    pub(crate) role_id: String,
    pub(crate) secret_id: String,
}

impl Bao {
    /// Mounts a login of this type, and answers where.
    pub(crate) async fn mount_login(&self, kind: &str) -> String {
        let name = format!("{kind}-{}", uuid::Uuid::new_v4().simple());
        self.root(Method::POST, &format!("sys/auth/{name}"), json!({ "type": kind })).await;
        name
    }

    /// A role with the policy of `kv` and these further options: `token_ttl`, `token_type`…
    pub(crate) async fn app_role(&self, kv: &Mount, mut options: Value) -> Role {
        let mount = self.mount_login("approle").await;
        options["token_policies"] = json!([kv.name]);
        options["secret_id_num_uses"] = json!(USES);
        let role = format!("auth/{mount}/role/agentidp");
        self.root(Method::POST, &role, options).await;
        let found = self.root(Method::GET, &format!("{role}/role-id"), Value::Null).await;
        let made = self.root(Method::POST, &format!("{role}/secret-id"), json!({})).await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Role { mount, role_id: text(&found["data"]["role_id"]), secret_id: text(&made["data"]["secret_id"]) }
    }

    /// How often the role has logged in.
    pub(crate) async fn logins(&self, role: &Role) -> u64 {
        let lookup = format!("auth/{}/role/agentidp/secret-id/lookup", role.mount);
        let found = self.root(Method::POST, &lookup, json!({ "secret_id": role.secret_id })).await;
        USES - found["data"]["secret_id_num_uses"].as_u64().expect("a number")
    }

    /// Kills every token that came from a login.
    pub(crate) async fn revoke_logins(&self, mount: &str) {
        self.root(Method::POST, &format!("sys/leases/revoke-prefix/auth/{mount}/login"), json!({})).await;
    }

    /// What Vault knows of a token.
    pub(crate) async fn inspect(&self, token: &str) -> Value {
        self.root(Method::POST, "auth/token/lookup", json!({ "token": token })).await["data"].take()
    }
}
