//! `reconcile`, as operators run it.

use reqwest::Method;
use serde_json::Value;

use crate::binary::Place;
use crate::support;

#[tokio::test]
async fn it_says_what_differs_and_fails_until_it_is_mended() {
    let (place, mount, bao) = (Place::new(), support::bao().fresh_mount(2).await, support::bao());
    let settings = [
        ("VAULT_ADDR", bao.address()),
        ("VAULT_TOKEN", mount.policy_token.as_str()),
        ("VAULT_KV_MOUNT", mount.name.as_str()),
        ("RECONCILE_INTERVAL", "0s"),
    ];
    let operator = place.operator(&[]).await;
    let server = place.serve(&settings).await;
    let client = server.agent_with_credential(&operator).await;
    let clean = said(&place, &["reconcile", "--dry-run"], &settings, 0).await;
    assert!(
        clean.starts_with("purges: 0 due, 0 waiting for their time\npaths without a row were not looked for: "),
        "{clean}"
    );
    assert!(clean.ends_with("\n0 found, 0 for you to mend; nothing was changed\n"), "{clean}");

    let path = format!("{}/metadata/agentidp/agents/{}/credentials/{}", mount.name, client.id, client.credential);
    bao.root(Method::DELETE, &path, Value::Null).await;
    let line = format!("row_without_path: credential {} of client {}: ", client.credential, client.id);
    for arguments in [&["reconcile", "--dry-run"][..], &["reconcile"], &["reconcile"]] {
        let lost = said(&place, arguments, &settings, 1).await;
        assert!(lost.starts_with(&line) && lost.contains("rotate the credential, or revoke it"), "{lost}");
        assert!(lost.contains("\n1 found, 1 for you to mend; "), "{lost}");
    }
    let rotate = format!("/api/v1/agents/{}/credentials/{}/rotate", client.id, client.credential);
    server.post(&operator, &rotate, &Value::Null).await;
    said(&place, &["reconcile"], &settings, 0).await;
    server.stop().await;
}

#[tokio::test]
async fn without_vault_or_with_one_that_is_down_nothing_is_claimed() {
    let place = Place::new();
    place.operator(&[]).await;
    let nobody = [("VAULT_ADDR", "http://127.0.0.1:1"), ("VAULT_TOKEN", "s.token")];
    for (settings, why) in [(&[][..], "VAULT_ADDR is not set"), (&nobody, "Vault could not be asked")] {
        place.run(&["migrate"], settings).await;
        let output = place.run(&["reconcile"], settings).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && output.stdout.is_empty() && told.contains(why), "{output:?}");
    }
}

async fn said(place: &Place, arguments: &[&str], settings: &[(&str, &str)], code: i32) -> String {
    let output = place.run(arguments, settings).await;
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
