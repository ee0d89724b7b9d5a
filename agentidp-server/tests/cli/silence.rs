//! Nothing that is secret reaches the log, at any level and in either form.

use reqwest::Method;

use crate::binary::Place;
use crate::support;

#[tokio::test]
async fn the_most_talkative_log_has_no_secret_hash_path_or_token() {
    let bao = support::bao();
    for format in ["text", "json"] {
        let (place, mount) = (Place::new(), bao.fresh_mount(2).await);
        let talkative = [("RUST_LOG", "trace"), ("LOG_FORMAT", format)];
        let operator = place.operator(&[]).await;
        let running = place.serve(&talkative).await;
        let digest = running.agent_with_credential(&operator).await;
        assert_eq!(running.token(&digest).await.0, 200);
        running.stop().await;

        let vault =
            [("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", &mount.policy_token), ("VAULT_KV_MOUNT", &mount.name)];
        let running = place.serve(&[&talkative[..], &vault].concat()).await;
        let client = running.agent_with_credential(&operator).await;
        let (status, answer) = running.token(&client).await;
        assert_eq!(status, 200);
        let access = answer["access_token"].as_str().unwrap();
        let path = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
        let rotated = running.post(&operator, &format!("{path}/rotate"), &serde_json::Value::Null).await;
        assert_eq!(running.token(&client).await.0, 401);
        assert_eq!(running.status(&operator, Method::DELETE, &path).await, 204);
        running.stop().await;

        let log = place.log();
        assert!(log.lines().count() > 20, "it was talkative: {log}");
        let secrets = [
            &digest.secret,
            &client.secret,
            rotated["clientSecret"].as_str().unwrap(),
            &operator,
            access,
            &mount.policy_token,
            "$2b$",
            "/data/agentidp/",
            "/metadata/agentidp/",
        ];
        for secret in secrets {
            assert!(!log.contains(secret), "{format}: {secret} in {log}");
        }
    }
}
