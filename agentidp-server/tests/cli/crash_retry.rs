//! The process dies after a commit, before its answer; then the same request comes again.

use reqwest::Method;
use serde_json::Value;

use crate::binary::{Client, Place, Running};
use crate::support;

const KEY: &str = "\"the-last-one\"";

/// The answer is lost with the process; what it was about is not, and is not made again.
#[tokio::test]
async fn a_retry_finds_what_a_dead_server_has_committed() {
    for (step, path, action, made) in [
        ("die 4", "/api/v1/agents/{agent}/credentials", "credential.generated", 2),
        ("die 4", "/api/v1/agents/{agent}/credentials/{credential}/rotate", "credential.rotated", 1),
    ] {
        let (place, mount) = (Place::new(), support::bao().fresh_mount(2).await);
        let vault = [
            ("VAULT_ADDR", support::bao().address()),
            ("VAULT_TOKEN", &mount.policy_token),
            ("VAULT_KV_MOUNT", &mount.name),
        ];
        let operator = place.operator(&[]).await;
        let first = place.serve(&vault).await;
        let client = first.agent_with_credential(&operator).await;
        first.stop().await;
        let path = path.replace("{agent}", &client.id).replace("{credential}", &client.credential);

        let mut dying = place.serve(&[&vault[..], &[("AGENTIDP_FAIL_POINT", step)]].concat()).await;
        send(&dying, &operator, &path).await.expect_err("nobody is left to answer");
        assert_eq!(dying.ended().await, None, "it was not an exit");
        assert!(place.log().contains("dying at a fail point"), "{step}: {}", place.log());

        let again = place.serve(&vault).await;
        let mut answers = Vec::new();
        for _ in 0..2 {
            let reply = send(&again, &operator, &path).await.unwrap();
            assert_eq!(reply.headers()["idempotent-replayed"], "true", "{reply:?}");
            answers.push(reply.json::<Value>().await.unwrap());
        }
        assert_eq!(answers[0], answers[1], "{step}");
        let client = Client::shown(client.id, &answers[0]);
        assert_eq!(again.token(&client).await.0, 200, "{step}");
        let trail = format!("{}/api/v1/audit?agentId={}&action={action}", again.origin, client.id);
        let trail = reqwest::Client::new().get(trail).bearer_auth(&operator).send().await.unwrap();
        assert_eq!(trail.json::<Value>().await.unwrap()["total"], made, "{step}");
    }
}

async fn send(server: &Running, operator: &str, path: &str) -> reqwest::Result<reqwest::Response> {
    let request = reqwest::Client::new().request(Method::POST, format!("{}{path}", server.origin));
    request.bearer_auth(operator).header("Idempotency-Key", KEY).send().await
}
