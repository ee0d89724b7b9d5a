//! Every failure to authenticate costs the same checks, so that time does not tell which it was.

use std::time::Duration;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::testkit::FaultLayer;
use agentidp_secrets::{Operation, SecretStore, stack};
use serde_json::json;
use uuid::Uuid;

use crate::site::Site;

#[tokio::test]
async fn each_failure_checks_one_digest_whoever_is_named() {
    // Without faults it only counts.
    let counting = FaultLayer::new();
    let site = Site::build(|app| {
        let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
        app.store = SecretStore::builder(stack(bcrypt, &[&counting])).build().unwrap();
    })
    .await;
    let agent = async |name: &str| site.agent(&format!("{name}@agents.example")).await;
    let (one, none) = (agent("one").await, agent("none").await);
    let (_, secret) = site.credential(one).await;
    let suspended = agent("suspended").await;
    site.credential(suspended).await;
    site.call("PATCH", &format!("/agents/{suspended}"), json!({ "status": "suspended" })).await;
    let revoked = agent("revoked").await;
    let (credential, _) = site.credential(revoked).await;
    site.revoke(revoked, credential).await;
    let expired = agent("expired").await;
    let until = json!({ "expiresAt": site.app.now().plus(Duration::from_secs(1)) });
    assert_eq!(site.call("POST", &format!("/agents/{expired}/credentials"), until).await.status, 201);
    site.clock.advance(Duration::from_secs(1));

    for (what, client) in [
        ("a wrong secret", one.to_string()),
        ("a client that does not exist", Uuid::new_v4().to_string()),
        ("a client id that is none", "agent-7".to_owned()),
        ("a client without credentials", none.to_string()),
        ("a suspended client", suspended.to_string()),
        ("a revoked credential", revoked.to_string()),
        ("an expired credential", expired.to_string()),
    ] {
        let before = counting.calls(Operation::Verify);
        assert_eq!(site.grant(client, "wrong").await.status, 401, "{what}");
        assert_eq!(counting.calls(Operation::Verify) - before, 1, "{what}");
    }
    let before = counting.calls(Operation::Verify);
    site.granted(one, &secret).await;
    assert_eq!(counting.calls(Operation::Verify) - before, 1, "and so does the right secret");
}
