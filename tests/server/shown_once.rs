//! No secret, digest or Vault path comes out of the server, but each secret once: in the answer that made it.

use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::site::{Reply, Site, use_vault};
use crate::support;
use crate::whole_log::WholeLog;

/// What must not be seen any more.
struct Hidden(Vec<String>);

impl Hidden {
    /// Takes the secret from an answer that shows one, and makes sure that it shows nothing else.
    fn shown(&mut self, reply: &Reply) {
        self.check("an answer with a new secret", reply);
        let secret = reply.secret();
        assert_eq!(reply.text.matches(&secret).count(), 1);
        self.0.push(secret);
    }

    fn check(&self, what: &str, reply: &Reply) {
        let seen = format!("{} {:?}", reply.text, reply.headers);
        for hidden in &self.0 {
            assert!(!seen.contains(hidden.as_str()), "{what} shows a secret, digest or path");
        }
    }

    /// Asks every endpoint that answers with anything.
    async fn walk(&self, site: &Site, agent: Uuid, credential: Uuid) {
        for path in [
            "/agents".to_owned(),
            format!("/agents/{agent}"),
            format!("/agents/{agent}/credentials"),
            format!("/agents/{agent}/credentials?status=active"),
            format!("/agents/{agent}/credentials?status=revoked"),
            "/audit?limit=200".to_owned(),
            format!("/audit?agentId={agent}"),
        ] {
            let reply = site.get(&path).await;
            assert_eq!(reply.status, 200, "{path}");
            self.check(&path, &reply);
        }
        for event in site.get("/audit?limit=200").await.json()["data"].as_array().unwrap() {
            self.check("an event", &site.get(&format!("/audit/{}", event["eventId"].as_str().unwrap())).await);
        }
        for path in ["/health", "/ready", "/metrics", "/.well-known/jwks.json"] {
            self.check(path, &site.handle(hyper::Request::get(path).body(Default::default()).unwrap()).await);
        }
        // A misplaced secret is not repeated.
        let secret = self.0.last().unwrap();
        let path = format!("/agents/{agent}/credentials/{credential}/rotate");
        for body in [json!({ "expiresAt": secret }), json!({ secret.as_str(): 1, "expiresAt": 1 }), json!(secret)] {
            self.check("a refused body", &site.call("POST", &path, body).await);
        }
        let mut body = crate::site::an_agent(secret);
        body["agentType"] = json!(secret);
        self.check("a refused registration", &site.call("POST", "/agents", body).await);
        self.check(
            "a refused query",
            &site.get(&format!("/agents?status={secret}&owner={secret}&page={secret}")).await,
        );
    }
}

async fn live_and_walk(site: &Site) {
    let log = WholeLog::listen();
    let mut hidden = Hidden(vec![site.operator.clone()]);
    let agent = site.agent("a@agents.example").await;
    let path = format!("/agents/{agent}/credentials");
    for _ in 0..2 {
        hidden.shown(&site.call("POST", &path, Value::Null).await);
    }
    let credential = site.rows(agent).await[0].credential_id;
    for _ in 0..2 {
        hidden.shown(&site.rotate(agent, credential).await);
        for row in site.rows(agent).await {
            hidden.0.extend(row.secret.secret_hash.into_iter().chain(row.secret.vault_path));
        }
        hidden.walk(site, agent, credential).await;
    }
    hidden.check("a revocation", &site.revoke(agent, credential).await);
    hidden.walk(site, agent, credential).await;
    hidden.check("an end", &site.call("DELETE", &format!("/agents/{agent}"), Value::Null).await);
    hidden.walk(site, agent, credential).await;
    let log = log.text();
    assert!(log.contains("answered"), "the log was listened to");
    for hidden in &hidden.0 {
        assert!(!log.contains(hidden.as_str()), "the log shows a secret, digest, path or token");
    }
}

#[tokio::test]
async fn in_bcrypt_mode() {
    live_and_walk(&Site::bcrypt().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_vault_mode() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let site = Site::vault(&mount, &faults).await;
    // The failures of a purge are logged too.
    faults.once(Operation::Revoke, Fault::Fail(ErrorKind::Unavailable));
    live_and_walk(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    live_and_walk(&Site::build_on_postgres(|app| use_vault(app, &mount, &faults)).await).await;
}
